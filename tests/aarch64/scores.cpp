// Scores of random rows against the same in double precision, at every SIMD level of the processor that runs this: for
// processors on which the tests in Python do not run (tests/aarch64/run).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/dispatch.hpp"
#include "cpu/score.hpp"

using namespace rad_fast;

namespace {

std::mt19937 generator(20230501);
double worst = 0;  // of the errors of margins and probabilities

struct Half {
  std::uint16_t bits;
};
struct Brain {
  std::uint16_t bits;
};

void assign(double& to, double x) { to = x; }
void assign(float& to, double x) { to = static_cast<float>(x); }
void assign(Brain& to, double x) {
  const float narrow = static_cast<float>(x);
  std::uint32_t bits;
  std::memcpy(&bits, &narrow, sizeof bits);
  to.bits = static_cast<std::uint16_t>(bits >> 16);
}
void assign(Half& to, double x) {  // x is a multiple of 2^-10 below 2, or infinite
  int exponent;
  const double fraction = std::frexp(std::fabs(x), &exponent);
  std::uint16_t bits = 0;
  if (std::isinf(x)) bits = 0x7c00;
  else if (x != 0) bits = static_cast<std::uint16_t>(((exponent + 14) << 10) + static_cast<int>((2 * fraction - 1) * 1024));
  to.bits = static_cast<std::uint16_t>(bits | (std::signbit(x) ? 0x8000 : 0));
}
double value(double x) { return x; }
double value(float x) { return static_cast<double>(x); }
double value(Brain x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return static_cast<double>(wide);
}
double value(Half x) {
  const int exponent = x.bits >> 10 & 31, mantissa = x.bits & 1023;
  const double size = exponent == 31 ? INFINITY : exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
  return x.bits & 0x8000 ? -size : size;
}

void require(bool condition, const char* what, DType dtype, std::int64_t classes) {
  if (condition) return;
  std::fprintf(stderr, "%s, dtype %d, %lld classes: %s\n", level().name, static_cast<int>(dtype), static_cast<long long>(classes),
               what);
  std::exit(1);
}

template <class T>
void compare(DType dtype, std::int64_t rows, std::int64_t classes) {
  std::vector<T> logits(static_cast<std::size_t>(rows * classes));
  std::uniform_int_distribution<int> steps(-2047, 2047);
  std::uniform_real_distribution<double> unit(0, 1);
  for (T& x : logits) assign(x, unit(generator) < 0.02 ? -INFINITY : steps(generator) * 0x1p-10 * (sizeof(T) == 2 ? 1 : 6));
  assign(logits[0], INFINITY);  // the first row is invalid
  std::vector<float> margin(static_cast<std::size_t>(rows)), confidence(margin), of_given(margin);
  std::vector<std::int32_t> label(margin.size()), given(margin.size());
  for (std::size_t r = 0; r < given.size(); ++r) given[r] = static_cast<std::int32_t>(r % static_cast<std::size_t>(classes));
  Invalid invalid{0, -1};
  level().score->score(Logits{logits.data(), dtype, rows, classes, classes}, 0, rows, given.data(),
                       Scores{margin.data(), confidence.data(), label.data(), of_given.data(), nullptr}, invalid);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* row = logits.data() + r * classes;
    const std::size_t i = static_cast<std::size_t>(r);
    std::int64_t best = 0, second = -1;
    bool valid = false;
    for (std::int64_t c = 0; c < classes; ++c) {
      valid = valid || std::isfinite(value(row[c]));
      if (value(row[c]) > value(row[best])) best = c;
    }
    valid = valid && !std::isinf(value(row[best]));
    require(valid == (label[i] >= 0), "a row's validity", dtype, classes);
    if (!valid) continue;
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
      sum += std::exp(value(row[c]) - value(row[best]));
      if (c != best && (second < 0 || value(row[c]) > value(row[second]))) second = c;
    }
    const auto probability = [&](std::int64_t c) { return std::exp(value(row[c]) - value(row[best])) / sum; };
    require(label[i] == best, "a label", dtype, classes);
    worst = std::max(worst, std::fabs(confidence[i] - probability(best)));
    worst = std::max(worst, std::fabs(margin[i] - (probability(best) - probability(second))));
    worst = std::max(worst, std::fabs(of_given[i] - probability(given[i])));
    require(worst <= 8 * 0x1p-24, "a score errs by more than 8 units of 2^-24", dtype, classes);
  }
}

}  // namespace

int main() {
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    worst = 0;
    for (const std::int64_t classes : {2, 3, 8, 10, 17, 33, 64, 100, 113, 257, 1'000, 5'000, 20'000}) {
      const std::int64_t rows = std::max<std::int64_t>(7, std::min<std::int64_t>(333, 100'000 / classes));
      compare<double>(DType::float64, rows, classes);
      compare<float>(DType::float32, rows, classes);
      compare<Half>(DType::float16, rows, classes);
      compare<Brain>(DType::bfloat16, rows, classes);
    }
    std::printf("%s: scores err by %.1f units of 2^-24 at most\n", level().name, worst * 0x1p24);
  }
}
