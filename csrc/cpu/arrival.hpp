// Decisions on arrival: kernels/reference/arrival.py, bit for bit. One point after the other, each from those before it, so
// that there is nothing to run side by side; compiled once, for the baseline.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rad_fast {

constexpr int arrival_levels = 33, arrival_middle = arrival_levels / 2;
constexpr double arrival_pull = 0.1, arrival_most_pull = 0.75;

struct Course {  // one row a class; `threshold`, which falls, and `share` have arrival_levels columns
  const double *price, *threshold, *share, *due;
  std::int64_t classes;
};

struct Pace {
  double budget, of, slack, most, end;
};

struct Standing {
  std::int64_t seen, taken, since;
  double *phase, *got, *came;  // one a class
  double* reached;             // two
};

// Labels are below course.classes, unless that is 1. Writes whether each point is taken.
//
// Whether a point is worth its threshold is a branch, not a choice of numbers: foreseen, it lets the next point begin
// before this one's threshold is even looked up. Half the time of code without branches.
inline void decide_all(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                       const Course& course, const Pace& pace, Standing& standing, bool* taken) {
  const double rate = pace.budget / pace.of;
  double slack = pace.slack, turns = 0.5 * arrival_levels / slack;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t k = course.classes > 1 ? label[i] : 0;
    const double price = course.price[k], g = gain[i], advantage = 2.0f * correctness[i] - 1.0f, effective = advantage * g;
    const double seen = static_cast<double>(++standing.seen), due = seen * rate;
    const double so_far = static_cast<double>(standing.taken), behind = due - so_far;
    const double slack_here = std::min(pace.slack, std::max(1.0, (pace.end - seen) * rate * 0.5));
    if (slack_here != slack) {
      slack = slack_here;
      turns = 0.5 * arrival_levels / slack;
    }
    double own = 0.0;
    if (course.due[k] > 0.0) {
      const double owed = course.due[k] * (seen - static_cast<double>(standing.since)) - standing.got[k];
      own = std::min(std::max(arrival_pull * owed, -arrival_most_pull), arrival_most_pull) * slack;
    }
    const double lag = behind - (1.0 - price) * (standing.phase[k] - 0.5) + own;
    const double level = std::min(std::max(lag * turns + 0.5 * arrival_levels, 0.0), arrival_levels - 1.0);
    const double* const ladder = course.threshold + k * arrival_levels;
    const auto at = static_cast<std::int64_t>(level);
    const double threshold = ladder[at], middle = ladder[arrival_middle];
    const bool dear = g > price;
    standing.came[k] += 1.0;
    taken[i] = false;
    if (effective >= middle) {
      standing.reached[0] += dear ? price * (1.0 / g) : 1.0;
      standing.reached[1] += dear ? advantage - middle * (1.0 / g) : 0.0;
    }
    const bool late = behind >= slack || pace.most - so_far > pace.end - seen;
    if (effective < threshold && -g < threshold && !late) continue;  // q is 0
    const double cap = dear ? price * (1.0 / g) : 1.0;
    double q = cap;
    if (!(effective > threshold) || !(-g < threshold)) {
      const double share = course.share[k * arrival_levels + at];
      const double first = effective > threshold ? 1.0 : effective == threshold ? share : 0.0;
      const double second = -g > threshold ? 1.0 : -g == threshold ? share : 0.0;
      q = first * cap + second * (1.0 - cap);
    }
    const double phase = standing.phase[k] + q;
    standing.phase[k] = phase;
    if (phase < 1.0 && !late) continue;
    const bool early = so_far + 1.0 > due + slack;
    if (so_far < pace.most && (late || (q > 0.0 && !early))) {
      ++standing.taken;
      standing.got[k] += 1.0;
      taken[i] = true;
    }
    standing.phase[k] = std::min(std::max(taken[i] ? phase - 1.0 : phase, 0.0), 1.0);
  }
}

}  // namespace rad_fast
