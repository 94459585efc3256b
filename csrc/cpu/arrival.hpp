// Decisions on arrival: kernels/reference/arrival.py, bit for bit. One point after the other, each from those before it, so
// that there is nothing to run side by side; compiled once, for the baseline.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rad_fast {

constexpr int arrival_levels = 33;

struct Course {  // one row a class; `threshold` and `share` have arrival_levels columns
  const double *price, *threshold, *share;
  std::int64_t classes;
};

struct Pace {
  double budget, of, slack, most, end;
};

struct Standing {
  std::int64_t seen, taken;
  double* phase;  // one a class
};

inline double probability_on_arrival(double gain, double effective, double price, double threshold, double share) {
  const double cap = gain > price ? price / gain : 1.0;
  const double first = effective > threshold ? 1.0 : effective == threshold ? share : 0.0;
  const double second = -gain > threshold ? 1.0 : -gain == threshold ? share : 0.0;
  return first * cap + second * (1.0 - cap);
}

// Labels are below course.classes, unless that is 1. Writes whether each point is taken.
inline void decide_all(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                       const Course& course, const Pace& pace, Standing& standing, bool* taken) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t k = course.classes > 1 ? label[i] : 0;
    const double price = course.price[k], g = gain[i], advantage = 2.0f * correctness[i] - 1.0f;
    const double seen = static_cast<double>(++standing.seen), due = seen * pace.budget / pace.of;
    const double slack = std::min(pace.slack, std::max(1.0, (pace.end - seen) * pace.budget / pace.of / 2.0));
    const double so_far = static_cast<double>(standing.taken), behind = due - so_far;
    const double lag = behind - (1.0 - price) * (standing.phase[k] - 0.5);
    const double level = std::min(std::max((lag / slack + 1.0) * (0.5 * arrival_levels), 0.0), arrival_levels - 1.0);
    const std::int64_t at = k * arrival_levels + static_cast<std::int64_t>(level);
    const double q = probability_on_arrival(g, advantage * g, price, course.threshold[at], course.share[at]);
    double phase = standing.phase[k] + q;
    const bool late = behind >= slack || pace.most - so_far > pace.end - seen;
    const bool early = so_far + 1.0 > due + slack;
    taken[i] = so_far < pace.most && (late || (q > 0.0 && phase >= 1.0 && !early));
    if (taken[i]) {
      ++standing.taken;
      phase -= 1.0;
    }
    standing.phase[k] = std::min(std::max(phase, 0.0), 1.0);
  }
}

}  // namespace rad_fast
