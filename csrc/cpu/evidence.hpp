// What points say of the thresholds, and whether it calls for others: kernels/reference/arrival.py and
// rad_fast/stream/evidence.py, bit for bit. Compiled once, for the baseline.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "arrival.hpp"

namespace rad_fast {

struct Reached {
  double sums[2], squares[2];
};

// Adds to `came`, one a class. Sums of every fourth point are added up side by side.
inline Reached reached_by(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                          const Course& course, double* came) {
  using Two = double __attribute__((vector_size(16)));
  constexpr std::int64_t lanes = 4;
  Two sums[2][2]{}, squares[2][2]{};
  for (std::int64_t first = 0; first < count; first += lanes) {
    for (std::int64_t half = 0; half < 2; ++half) {
      Two g{}, advantage{-1.0, -1.0}, price{}, middle{3.0, 3.0};  // what is not there does not reach it
      for (std::int64_t lane = 0; lane < 2; ++lane) {
        const std::int64_t i = first + 2 * half + lane;
        if (i >= count) break;
        const std::int64_t k = course.classes > 1 ? label[i] : 0;
        came[k] += 1.0;
        g[lane] = gain[i];
        advantage[lane] = 2.0f * correctness[i] - 1.0f;
        price[lane] = course.price[k];
        middle[lane] = course.threshold[k * arrival_levels + arrival_middle];
      }
      const Two none{}, one{1.0, 1.0};
      const auto at = advantage * g >= middle, dear = at & (g > price);
      const Two width = dear ? 1.0 / (dear ? g : one) : none;
      const Two budget = dear ? price * width : at ? one : none, slope = dear ? advantage - middle * width : none;
      sums[0][half] += budget;
      sums[1][half] += slope;
      squares[0][half] += budget * budget;
      squares[1][half] += slope * slope;
    }
  }
  const auto whole = [](const Two* half) { return (half[0][0] + half[0][1]) + (half[1][0] + half[1][1]); };
  return {{whole(sums[0]), whole(sums[1])}, {whole(squares[0]), whole(squares[1])}};
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
