// Decisions on arrival: kernels/reference/arrival.py, bit for bit. Compiled once, for the baseline.
//
// Most of what decides a point is known before its turn, and computed for many points at once. What is left to their order
// is a sum for each class, without a branch that depends on the points: where such a branch is foreseen wrongly, more time
// is lost than the rest takes. Between two points that are taken it is also known from where on one may be, and from where
// on one must be. The few points that this does not settle are decided one by one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace rad_fast {

constexpr int arrival_levels = 33, arrival_middle = arrival_levels / 2, arrival_most_alike = 16;
constexpr double arrival_pull = 0.1, arrival_most_pull = 0.75, arrival_slack_alike = 0.125;

struct Course {  // one row a class; `threshold`, which falls, and `share` have arrival_levels columns
  const double *price, *threshold, *share, *due;
  std::int64_t classes;
};

struct Pace {
  double budget, of, slack, most, end;
};

struct Standing {
  std::int64_t seen, taken, since, level;
  double *phase, *got;   // one a class
  std::int64_t* chosen;  // of each label, where the classes have no phase of their own; may be null
};

class Arrival {
 public:
  // Labels are below course.classes, unless that is 1.
  Arrival(const float* gain, const float* correctness, const std::int32_t* label, const Course& course, const Pace& pace,
          Standing& standing, bool* taken)
      : gain_(gain), correctness_(correctness), label_(label), course_(course), pace_(pace), standing_(standing),
        taken_(taken), rate_(pace.budget / pace.of), one_(course.classes == 1), alike_(alike(pace, course.classes)) {}

  void decide(std::int64_t count) {
    std::memset(taken_, 0, static_cast<std::size_t>(count));
    for (std::int64_t first = 0; first < count; first += block) {
      if (used()) {  // nothing more is taken, and nothing but the number of points changes
        standing_.seen += count - first;
        break;
      }
      decide_block(first, std::min(block, count - first));
    }
    if (alike_ == 1) standing_.level = arrival_middle;  // none is looked up for points to come
  }

  // How many points have one threshold: some, where a single game serves them all.
  static std::int64_t alike(const Pace& pace, std::int64_t classes) {
    if (classes > 1) return 1;
    const double few = std::floor(arrival_slack_alike * pace.slack / (pace.budget / pace.of));
    return static_cast<std::int64_t>(std::min<double>(arrival_most_alike, std::max(1.0, few)));
  }

 private:
  static constexpr std::int64_t block = 128, chunk = 8;
  static constexpr double half = 0.5 * arrival_levels;

  bool used() const { return static_cast<double>(standing_.taken) >= pace_.most; }
  std::int64_t class_of(std::int64_t i) const { return one_ ? 0 : label_[i]; }

  using Two = double __attribute__((vector_size(16)));
  using TwoMasks = std::int64_t __attribute__((vector_size(16)));

  static Two load(const double* from) {
    Two x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static void store(double* to, Two x) { std::memcpy(to, &x, sizeof x); }
  static double masked(double x, bool keep) {
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits &= -static_cast<std::uint64_t>(keep);
    std::memcpy(&x, &bits, sizeof bits);
    return x;
  }

  void decide_block(std::int64_t first, std::int64_t count) {
    std::int64_t done = 0;
    const double last = static_cast<double>(standing_.seen + count);
    // Else the end is near: the slack narrows, or what is left of the budget has to be taken.
    if ((pace_.end - last) * rate_ * 0.5 >= pace_.slack &&
        !(pace_.most - static_cast<double>(standing_.taken) > pace_.end - last)) {
      prepare(first, count);
      while (done < count && !used()) {
        const std::int64_t free = first_free(done, count), late = first_late(done, count);
        const std::int64_t until = std::min(free, late);
        const std::int64_t here = run<false>(first, done, until);
        done = here < until ? here : run<true>(first, until, late);
        if (done < count) decide_point(first + done++);
      }
    }
    for (; done < count; ++done) decide_point(first + done);
  }

  void prepare(std::int64_t first, std::int64_t count) {
    const float *const gain = gain_ + first, *const correctness = correctness_ + first;
    for (std::int64_t i = 0; i < count; i += 2) {
      const std::int64_t next = std::min(i + 1, count - 1);
      const Two g{gain[i], gain[next]}, price{course_.price[class_of(first + i)], course_.price[class_of(first + next)]};
      const Two advantage{2.0f * correctness[i] - 1.0f, 2.0f * correctness[next] - 1.0f};
      store(effective_ + i, advantage * g);
      store(cap_ + i, g > price ? price * (1.0 / g) : Two{1.0, 1.0});
      store(turn_ + i, (1.0 - price) * (half / pace_.slack));
    }
    store(effective_ + count, Two{});
    store(cap_ + count, Two{});
  }

  // The first point of the block that may be taken, or has to be, with as many taken as now; `count` where there is none.
  std::int64_t first_free(std::int64_t begin, std::int64_t count) const {
    const double next = static_cast<double>(standing_.taken) + 1.0, seen = static_cast<double>(standing_.seen + 1 - begin);
    const auto early = [&](std::int64_t i) { return next > (seen + static_cast<double>(i)) * rate_ + pace_.slack; };
    return first_without(early, (next - pace_.slack) / rate_ - seen, begin, count);
  }
  std::int64_t first_late(std::int64_t begin, std::int64_t count) const {
    const double so_far = static_cast<double>(standing_.taken), seen = static_cast<double>(standing_.seen + 1 - begin);
    const auto in_time = [&](std::int64_t i) { return (seen + static_cast<double>(i)) * rate_ - so_far < pace_.slack; };
    return first_without(in_time, (so_far + pace_.slack) / rate_ - seen, begin, count);
  }
  template <class Holds>
  static std::int64_t first_without(const Holds& holds, double guess, std::int64_t begin, std::int64_t count) {
    auto i = static_cast<std::int64_t>(std::min(std::max(guess, static_cast<double>(begin)), static_cast<double>(count)));
    while (i > begin && !holds(i - 1)) --i;
    while (i < count && holds(i)) ++i;
    return i;
  }

  // Points of the block from `begin` on that are not taken; returns where to decide one by one, or `end`.
  template <bool free>
  std::int64_t run(std::int64_t first, std::int64_t begin, std::int64_t end) {
    const std::int64_t done = one_ ? run_alike<free>(begin, end) : run_classes<free>(first, begin, end);
    standing_.seen += done - begin;
    return done;
  }

  template <bool free>
  std::int64_t run_alike(std::int64_t begin, std::int64_t end) {
    double part[arrival_most_alike + 1], phase = standing_.phase[0];
    std::int64_t i = begin;
    while (i < end) {
      const std::int64_t seen = standing_.seen + i - begin, within = (seen - standing_.since) % alike_;
      if (within == 0) {
        standing_.phase[0] = phase;
        standing_.level = level_of(0, seen + 1, pace_.slack);
      }
      const double threshold = course_.threshold[standing_.level];
      if (threshold <= 0.0) break;
      const std::int64_t stop = std::min(end, i + alike_ - within), count = stop - i;
      TwoMasks tied{};
      for (std::int64_t j = 0; j < count; j += 2) {
        const Two effective = load(effective_ + i + j);
        store(part + j, effective > threshold ? load(cap_ + i + j) : Two{});
        tied |= effective == threshold;
      }
      if (tied[0] | tied[1]) break;
      std::int64_t j = 0;
      for (; j < count; ++j) {
        const double after = phase + part[j];
        if (free && after >= 1.0 && part[j] > 0.0) break;
        phase = free ? after : std::min(after, 1.0);
      }
      i += j;
      if (j < count) break;
    }
    standing_.phase[0] = phase;
    return i;
  }

  template <bool free>
  std::int64_t run_classes(std::int64_t first, std::int64_t begin, std::int64_t end) {
    double level[chunk + 1];
    for (std::int64_t i = begin; i < end; i += chunk) {
      const std::int64_t stop = std::min(end, i + chunk);
      levels_without_phase(first, i, stop, standing_.seen + i - begin, level);
      for (std::int64_t j = i; j < stop; ++j) {
        const std::int64_t k = label_[first + j];
        const double before = standing_.phase[k], effective = effective_[j];
        const double threshold = course_.threshold[k * arrival_levels + rounded(level[j - i] - turn_[j] * (before - 0.5))];
        const double part = masked(cap_[j], effective > threshold), after = before + part;
        if ((effective == threshold) | (threshold <= 0.0)) return j;
        if (free && after >= 1.0 && part > 0.0) return j;
        standing_.phase[k] = free ? after : std::min(after, 1.0);
      }
    }
    return end;
  }

  // What the phases are still to be subtracted from.
  void levels_without_phase(std::int64_t first, std::int64_t begin, std::int64_t end, std::int64_t seen, double* level) const {
    const double turns = half / pace_.slack, so_far = static_cast<double>(standing_.taken);
    const double most = half * arrival_most_pull, next = static_cast<double>(seen + 1), since = static_cast<double>(standing_.since);
    const std::int32_t* const label = label_ + first;
    Two at{next, next + 1.0};
    for (std::int64_t i = begin; i < end; i += 2, at += 2.0) {
      const std::int64_t k = label[i], l = label[std::min(i + 1, end - 1)];
      const Two due{course_.due[k], course_.due[l]}, got{standing_.got[k], standing_.got[l]};
      Two own = (half * arrival_pull) * (due * (at - since) - got);
      own = own < -most ? Two{-most, -most} : own;
      own = own > most ? Two{most, most} : own;
      own = due > 0.0 ? own : Two{};
      store(level + (i - begin), (at * rate_ - so_far) * turns + half + own);
    }
  }

  static std::int64_t rounded(double level) {
    return std::min<std::int64_t>(std::max<std::int64_t>(static_cast<std::int64_t>(level), 0), arrival_levels - 1);
  }

  // What a class lags behind its quota, in levels.
  double owed(std::int64_t k, double since) const {
    const double due = course_.due[k], lag = (half * arrival_pull) * (due * since - standing_.got[k]);
    return masked(std::min(std::max(lag, -(half * arrival_most_pull)), half * arrival_most_pull), due > 0.0);
  }

  std::int64_t level_of(std::int64_t k, std::int64_t seen, double slack) const {
    const double middle = (static_cast<double>(seen) + 0.5 * static_cast<double>(alike_ - 1)) * rate_;
    const double behind = middle - static_cast<double>(standing_.taken), turns = half / slack;
    const double own = owed(k, static_cast<double>(seen - standing_.since));
    return rounded((behind * turns + half + own) - (1.0 - course_.price[k]) * turns * (standing_.phase[k] - 0.5));
  }

  void decide_point(std::int64_t i) {
    const double so_far = static_cast<double>(standing_.taken);
    ++standing_.seen;
    if (so_far >= pace_.most) return;
    const std::int64_t k = class_of(i);
    const double g = gain_[i], advantage = 2.0f * correctness_[i] - 1.0f, effective = advantage * g;
    const double seen = static_cast<double>(standing_.seen), due = seen * rate_, behind = due - so_far;
    const double slack = std::min(pace_.slack, std::max(1.0, (pace_.end - seen) * rate_ * 0.5));
    if ((standing_.seen - 1 - standing_.since) % alike_ == 0) standing_.level = level_of(k, standing_.seen, slack);
    const std::int64_t at = k * arrival_levels + standing_.level;
    const double threshold = course_.threshold[at], share = course_.share[at], price = course_.price[k];
    const double cap = g > price ? price * (1.0 / g) : 1.0;
    const double first = effective > threshold ? 1.0 : effective == threshold ? share : 0.0;
    const double second = -g > threshold ? 1.0 : -g == threshold ? share : 0.0;
    const double q = first * cap + second * (1.0 - cap), phase = standing_.phase[k] + q;
    const bool late = behind >= slack || pace_.most - so_far > pace_.end - seen, early = so_far + 1.0 > due + slack;
    taken_[i] = late || (q > 0.0 && phase >= 1.0 && !early);
    if (taken_[i]) {
      ++standing_.taken;
      standing_.got[k] += 1.0;
      if (standing_.chosen) ++standing_.chosen[label_[i]];
    }
    standing_.phase[k] = std::min(std::max(taken_[i] ? phase - 1.0 : phase, 0.0), 1.0);
  }

  const float *gain_, *correctness_;
  const std::int32_t* label_;
  const Course& course_;
  const Pace& pace_;
  Standing& standing_;
  bool* taken_;
  double rate_;
  bool one_;
  std::int64_t alike_;
  double effective_[block + 2], cap_[block + 2], turn_[block + 2];
};

inline void decide_all(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                       const Course& course, const Pace& pace, Standing& standing, bool* taken) {
  Arrival(gain, correctness, label, course, pace, standing, taken).decide(count);
}

}  // namespace rad_fast
