// What points say of the thresholds, and whether it calls for others: kernels/reference/arrival.py and
// rad_fast/stream/evidence.py, bit for bit. Compiled once, for the baseline.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "arrival.hpp"

namespace rad_fast {

struct Reached {
  double sums[2], squares[2];
};

// The sums of every fourth point, side by side.
class ReachedSums {
 public:
  // Four points: their gain, 2 c - 1, and their classes' prices and middle thresholds.
  void add(const double* gain, const double* advantage, const double* price, const double* middle) {
    for (int half = 0; half < 2; ++half) {
      const Two g = load(gain + 2 * half), a = load(advantage + 2 * half), p = load(price + 2 * half), m = load(middle + 2 * half);
      const auto at = a * g >= m, dear = at & (g > p);
      const Two width = dear ? 1.0 / (dear ? g : one) : none;
      const Two budget = dear ? p * width : at ? one : none, slope = dear ? a - m * width : none;
      budgets_[half] += budget;
      slopes_[half] += slope;
      budget_squares_[half] += budget * budget;
      slope_squares_[half] += slope * slope;
    }
  }

  Reached total() const { return {{whole(budgets_), whole(slopes_)}, {whole(budget_squares_), whole(slope_squares_)}}; }

 private:
  using Two = double __attribute__((vector_size(16)));
  static constexpr Two none{}, one{1.0, 1.0};

  static Two load(const double* from) {
    Two x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static double whole(const Two* half) { return (half[0][0] + half[0][1]) + (half[1][0] + half[1][1]); }

  Two budgets_[2]{}, slopes_[2]{}, budget_squares_[2]{}, slope_squares_[2]{};
};

// Adds to `came`, one a class.
inline Reached reached_by(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                          const Course& course, double* came) {
  constexpr std::int64_t lanes = 4;
  const bool one = course.classes == 1;
  ReachedSums sums;
  double g[lanes], advantage[lanes], price[lanes], middle[lanes];
  std::fill(price, price + lanes, course.price[0]);
  std::fill(middle, middle + lanes, course.threshold[arrival_middle]);
  const std::int64_t full = count - count % lanes;
  for (std::int64_t first = 0; first < full; first += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      g[lane] = gain[first + lane];
      advantage[lane] = 2.0f * correctness[first + lane] - 1.0f;
    }
    for (std::int64_t lane = 0; !one && lane < lanes; ++lane) {
      const std::int64_t k = label[first + lane];
      came[k] += 1.0;
      price[lane] = course.price[k];
      middle[lane] = course.threshold[k * arrival_levels + arrival_middle];
    }
    sums.add(g, advantage, price, middle);
  }
  if (full < count) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::int64_t i = full + lane, k = one || i >= count ? 0 : label[i];
      g[lane] = i < count ? gain[i] : 0.0;
      advantage[lane] = i < count ? 2.0f * correctness[i] - 1.0f : -1.0f;
      price[lane] = course.price[k];
      middle[lane] = i < count ? course.threshold[k * arrival_levels + arrival_middle] : 3.0;  // what is not there is below
      if (!one && i < count) came[k] += 1.0;
    }
    sums.add(g, advantage, price, middle);
  }
  if (one) came[0] += static_cast<double>(count);
  return sums.total();
}

// What was found on the points of the solution, and what came since.
struct Evidence {
  const double *found_came, *found_sums, *found_spread, *precision;  // (classes,), (2,), (2,), (classes,)
  double *came, *sums, *weights;                                     // (classes,), (2,), (2,): how many windows, and noise
  double limit, errors, kept;
};

// Whether what came, and with it a `share` of a window of which it was not asked before, is of another kind.
inline bool others_came(const Evidence& evidence, std::int64_t classes, double share) {
  double &weight = evidence.weights[0], &noise = evidence.weights[1];
  weight += share;
  noise += share;
  const double variance = noise + weight * weight;
  bool other = false;
  for (int k = 0; k < 2; ++k)
    other |= std::fabs(evidence.sums[k] - weight * evidence.found_sums[k]) >
             evidence.errors * std::sqrt(evidence.found_spread[k] * variance) + 1.0;
  if (classes > 1 && !other) {
    double sum = 0.0;
    for (std::int64_t k = 0; k < classes; ++k) {
      const double apart = evidence.came[k] - weight * evidence.found_came[k];
      sum += apart * apart * evidence.precision[k];
    }
    other = sum > evidence.limit * variance;
  }
  for (std::int64_t k = 0; k < classes; ++k) evidence.came[k] *= evidence.kept;
  for (int k = 0; k < 2; ++k) evidence.sums[k] *= evidence.kept;
  weight *= evidence.kept;
  noise *= evidence.kept * evidence.kept;
  return other;
}

}  // namespace rad_fast
