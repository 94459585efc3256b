// Scoring, the solver, the sums of the game, probabilities and samples (not yet: games by class, decisions on arrival and
// correctness), on random input in buffers that end where the input ends: what `make
// sanitize` runs under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer. Compares the levels' sums and
// indices with one another and with one thread; whether they are right is for the tests in Python.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cpu/classes.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/game.hpp"
#include "cpu/sample.hpp"
#include "cpu/score.hpp"
#include "cpu/search.hpp"
#include "cpu/solve.hpp"

using namespace rad_fast;

namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s: %s\n", level().name, what);
  std::exit(1);
}

std::mt19937_64 generator(20230501);

double uniform() { return std::uniform_real_distribution<double>(0, 1)(generator); }
std::int64_t whole(std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(generator);
}

struct Points {
  std::vector<float> gain, correctness;

  explicit Points(std::int64_t count) : gain(static_cast<std::size_t>(count)), correctness(gain.size()) {
    const double shape = uniform() < 0.5 ? 0.25 : 1.0, ties = uniform() < 0.3 ? 8.0 : 0.0, left_out = uniform() < 0.3 ? 0.1 : 0.0;
    for (std::size_t i = 0; i < gain.size(); ++i) {
      float margin = static_cast<float>(std::pow(uniform(), shape));
      if (ties > 0) margin = static_cast<float>(std::round(margin * ties) / ties);
      gain[i] = uniform() < left_out ? std::numeric_limits<float>::quiet_NaN() : 1.0f - margin;
      correctness[i] = static_cast<float>(ties > 0 ? std::round(uniform() * ties) / ties : uniform());
    }
  }
  std::int64_t size() const { return static_cast<std::int64_t>(gain.size()); }
  std::int64_t playing() const {
    std::int64_t count = 0;
    for (const float g : gain) count += g == g;
    return count;
  }
};

bool same(const Answer& a, const Answer& b) {
  return a.price == b.price && a.threshold == b.threshold && a.share == b.share && a.value == b.value;
}

// The solver, the sample and the probabilities of one game, at every level, with one thread and with several.
void play(std::int64_t count, const Steps& steps, const std::vector<double>& random) {
  const Points points(count);
  const std::int64_t playing = points.playing();
  if (playing == 0) return;
  const double budget = static_cast<double>(whole(1, playing)), mistakes = uniform() < 0.2 ? 0.0 : uniform() * 0.3 * count;
  const double on_grid = std::floor(mistakes * 0x1p25) * 0x1p-25;
  const std::int64_t half = count / 2;
  const std::vector<Chunk> chunks{{points.gain.data(), points.correctness.data(), half},
                                  {points.gain.data() + half, points.correctness.data() + half, count - half}};
  std::optional<Answer> first;
  std::vector<std::int64_t> taken;
  bool seen = false;
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    for (const int threads : {1, 3}) {
      const Stakes stakes(budget, on_grid, count);
      const std::optional<Answer> answer = Solver(steps, random.data(), stakes, threads).solve(chunks);
      require(!seen || answer.has_value() == first.has_value(), "levels differ in what they solve");
      if (answer) require(!seen || same(*answer, *first), "levels differ in the answer");
      first = answer;
      const Equilibrium at = answer ? Equilibrium{answer->price, answer->threshold, answer->share} : Equilibrium{0.5, 0.1, 0.5};
      std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
      const Position end =
          sample_all(threads, points.gain.data(), points.correctness.data(), count, at, std::uint64_t{1} << 61, indices.data());
      indices.resize(static_cast<std::size_t>(end.taken));
      require(!seen || indices == taken, "levels differ in the sample");
      const std::uint64_t mass = mass_all(threads, points.gain.data(), points.correctness.data(), count, at);
      require(mass + (std::uint64_t{1} << 61) == end.running, "the mass is not the sample's");
      taken = std::move(indices);
      std::vector<double> q(static_cast<std::size_t>(count));
      probabilities_all(threads, points.gain.data(), points.correctness.data(), count, at, q.data());
      for (const double x : q) require(x >= 0 && x <= 1, "a probability is none");
      seen = true;
    }
  }
}

template <class T>
void score_as(DType dtype, std::int64_t rows, std::int64_t classes) {
  std::vector<T> logits(static_cast<std::size_t>(rows * classes));
  for (T& x : logits) {
    if constexpr (sizeof(T) == 2) x = static_cast<T>(whole(0, 0xffff));  // any bits: inf and NaN among them
    else x = static_cast<T>(uniform() < 0.001 ? INFINITY : 8 * uniform() - 4);
  }
  std::vector<float> margin(static_cast<std::size_t>(rows)), confidence(margin), given_probability(margin);
  std::vector<std::int32_t> label(margin.size()), given(margin.size());
  for (std::int32_t& y : given) y = static_cast<std::int32_t>(whole(-1, classes));
  const Logits z{logits.data(), dtype, rows, classes, classes};
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    Invalid invalid{0, -1};
    candidate.score->score(z, 0, rows, given.data(),
                           Scores{margin.data(), confidence.data(), label.data(), given_probability.data(), nullptr}, invalid);
    for (const std::int32_t y : label) require(y >= -1 && y < classes, "a label is none");
  }
}

}  // namespace

int main(int count, char** arguments) {
  const int games = count > 1 ? std::atoi(arguments[1]) : 40;
  std::vector<double> random(20'000);
  for (double& x : random) x = uniform();
  const Steps usual{4'000, 10'000, 5'000, 20'000, 128, {4.0, 12.0}, 0.7};
  const Steps small{200, 300, 5'000, 20'000, 128, {1.0, 4.0}, 0.9};
  for (int game = 0; game < games; ++game) {
    play(whole(1, 200), usual, random);
    play(whole(1, 20'000), small, random);
  }
  play(400'000, usual, random);
  for (const std::int64_t classes : {2, 3, 10, 31, 100, 113, 700, 5'000}) {
    const std::int64_t rows = whole(1, 70);
    score_as<float>(DType::float32, rows, classes);
    score_as<double>(DType::float64, rows, classes);
    score_as<std::uint16_t>(DType::float16, rows, classes);
    score_as<std::uint16_t>(DType::bfloat16, rows, classes);
  }
  std::puts("clean");
  return 0;
}
