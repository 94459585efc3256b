// The equilibrium by exact search: what rad_fast/game/solver.py finds from float64 sums over sorted points, found here from integer
// sums over points in any order, by whoever can add them up (a thread block; a loop on the CPU in the tests).
//
// Two numbers are sought. The price is a step u of a ladder: step 2k is the price k 2^-24 seen from above (gains up to k are
// saturated), step 2k + 1 the price (k + 1) 2^-24 seen from below (gains of k + 1 are not yet). F'(u), the slope of the value
// in the price, falls along the ladder, and the answer's step u* is the last one where it is not negative: if u* is odd the
// price is the gain (u* + 1)/2, if even it lies between two grid points. The threshold t is an integer, in units of 2^-48.
// The budget is taken to be less than it is by less than any sum can show, so that no set of pieces holds just the budget.
//
// A probe (u, t) sums over the pieces that pay more than t and answers two questions:
//   covers: do they hold the budget?    rises: is their reaction to the price not negative?
// Each of the four answers moves one of the four bounds:
//   covers, not rises    the fill's threshold at u is above t, where the slope is negative:    u* <  u
//   rises, not covers    the fill's threshold at u is at most t, where it is not:              u* >= u
//   both                 the answer's threshold is above t   (t at least, where u* is even)
//   neither              the answer's threshold is at most t (below t, where u* is even)
// (The last two rest on the fill's threshold rising and the slope falling with the price: at prices below u the slope at t is
// the higher, at prices above it the fill's threshold is.) So two bisections run at once, in at most 25 + 49 halvings. Most
// probes are placed by the fixed-point iteration of the sums themselves (Dinkelbach's), which lands within a few steps; where
// it does not halve a bound, the next probe does, and the iteration goes on after it from where it was. Where it steps back
// and forth it is damped: the next probe is halfway.
//
// Where the fill is exact (b points hold just b) several prices and thresholds describe the same probabilities; the one found
// here can be another than the host's.
#pragma once

#include "point.hpp"

namespace rad_fast {
namespace cuda {

constexpr std::int64_t first_step = -1;                                // price 0 at the latest
constexpr std::int64_t end_step = std::int64_t{1} << (grid_bits + 1);  // price 1 at the latest
constexpr std::int64_t most_slope = std::int64_t{1} << (2 * grid_bits);

struct Bounds {
  std::int64_t low = first_step, high = end_step;           // low <= u* < high
  std::int64_t bottom = -most_slope - 1, top = most_slope;  // of the threshold
};

RAD_FAST_BOTH Cuts cuts_of(const Bounds& b) {
  return {b.top, b.bottom + 1, static_cast<std::int32_t>(greater(b.low, std::int64_t{0}) >> 1),
          static_cast<std::int32_t>(((b.high - 1) >> 1) + 1)};
}

// Pieces that pay more than t, gains up to `floor` saturated: no point is undecided.
RAD_FAST_BOTH Cuts cuts_at(std::int64_t floor, std::int64_t t) {
  return {t, t + 1, static_cast<std::int32_t>(floor), static_cast<std::int32_t>(floor)};
}

// The same for a probe's sums, with a comparison of 64 bits a point.
struct PieceCuts {
  std::int64_t t;
  std::int32_t floor, full;  // gains up to `floor` are saturated; of those that are not, below `full` both pieces pay more than t

  RAD_FAST_BOTH explicit PieceCuts(const Cuts& at)
      : t(at.above), floor(at.saturated), full(static_cast<std::int32_t>((-at.above + (1 << grid_bits) - 1) >> grid_bits)) {}
  RAD_FAST_BOTH Part part_of(Point p) const {
    if (p.gain < 0 || effective(p) <= t) return Part::out;
    if (p.gain <= floor) return Part::saturated;
    return p.gain < full ? Part::full : Part::priced;
  }
};

// Sums in whole numbers of 128 bits.
struct Exact {
  std::int64_t saturated = 0, full = 0, full_advantage = 0, full_gain = 0, advantage = 0;
  int128 value = 0;
  uint128 width = 0;

  RAD_FAST_BOTH void add(const Sums& s) {
    saturated += s.saturated;
    full += s.full;
    full_advantage += s.full_advantage;
    full_gain += s.full_gain;
    advantage += s.advantage;
    value += static_cast<int128>(s.value_high) * (std::int64_t{1} << 32) + s.value_low;
    width += (static_cast<uint128>(s.width_high) << 32) + s.width_low;
  }
  RAD_FAST_BOTH void add(const Exact& s) {
    saturated += s.saturated;
    full += s.full;
    full_advantage += s.full_advantage;
    full_gain += s.full_gain;
    advantage += s.advantage;
    value += s.value;
    width += s.width;
  }
  RAD_FAST_BOTH std::int64_t count() const { return saturated + full; }
  // What the slope gains from them, 2^-24: (d + g)/g is a + 1 for a full point.
  RAD_FAST_BOTH std::int64_t reaction() const { return advantage + full_advantage + full * (1 << grid_bits); }
};

// What the undecided points have to come to; the decided ones are taken off.
struct Problem {
  int128 budget;  // 2^-62
  int128 spend;   // twice the mistakes, 2^-62
  uint128 width;  // of the decided, 2^-38

  RAD_FAST_BOTH void take_off(const Exact& decided) {
    budget -= static_cast<int128>(decided.count()) << 62;
    spend -= static_cast<int128>(decided.reaction()) * (std::int64_t{1} << 38);
    width += decided.width;
  }
};

// A number from 0 to 2^40 in units of 2^-62, rounded down.
RAD_FAST_BOTH int128 in_units(double x) {
  const double whole = floor(x);
  return static_cast<int128>(static_cast<std::int64_t>(whole)) * (std::int64_t{1} << 62) +
         static_cast<std::int64_t>((x - whole) * 0x1p62);
}

// Mistakes rounded to the unit that all backends count them in, as rad_fast/game/solver.py does.
RAD_FAST_BOTH double on_grid(double mistakes) { return floor(ieee_add(mistakes * 0x1p25, 0.5)) * 0x1p-25; }

// Twice the mistakes, 2^-62; below 2^40 of them.
RAD_FAST_BOTH int128 spend_of(double mistakes) {
  const double scaled = mistakes * 0x1p23, high = floor(scaled);
  return static_cast<int128>(static_cast<std::int64_t>(high)) * (std::int64_t{1} << 40) +
         static_cast<std::int64_t>((scaled - high) * 0x1p40);
}

// What a probe adds up.
struct Totals {
  std::int64_t count;     // points with q = 1
  std::int64_t reaction;  // 2^-24
  uint128 width;          // 2^-38
};

RAD_FAST_BOTH void add_point(Totals& totals, Point p, Part part, std::uint64_t width) {
  if (part == Part::saturated) {
    ++totals.count;
  } else if (part == Part::full) {
    ++totals.count;
    totals.reaction += p.advantage + (1 << grid_bits);
  } else if (part == Part::priced) {
    totals.reaction += p.advantage;
    totals.width += width;
  }
}

// The pieces that pay exactly t: how many of extent 1, and the width of the others (a second piece takes width off).
struct Tied {
  std::int64_t whole;
  int128 width;
};

RAD_FAST_BOTH void add_point(Tied& tied, Point p, std::int64_t floor, std::int64_t t, std::uint64_t width) {
  if (p.gain < 0) return;
  const bool free = p.gain > floor;
  if (effective(p) == t) {
    if (free)
      tied.width += width;
    else
      ++tied.whole;
  }
  if (free && second_slope(p) == t) {
    ++tied.whole;
    tied.width -= width;
  }
}

// x 2^24 >= t w, x any and t within 2^49: a comparison of 192 bits.
RAD_FAST_BOTH bool not_less(int128 x, std::int64_t t, uint128 w) {
  if ((x < 0) != (t < 0)) return x >= 0;
  const uint128 size = static_cast<uint128>(x < 0 ? -x : x);
  const auto factor = static_cast<std::uint64_t>(t < 0 ? -t : t);
  const uint128 low = static_cast<uint128>(static_cast<std::uint64_t>(w)) * factor;
  const uint128 high = (w >> 64) * factor + (low >> 64);
  const uint128 left_high = size >> 40, left_low = static_cast<std::uint64_t>(size << 24);  // 2^64 and above; below
  const bool at_least = left_high != high ? left_high > high : left_low >= static_cast<std::uint64_t>(low);
  const bool at_most = left_high != high ? left_high < high : left_low <= static_cast<std::uint64_t>(low);
  return x < 0 ? at_most : at_least;
}

RAD_FAST_BOTH double real(uint128 x) {
  return static_cast<double>(static_cast<std::uint64_t>(x >> 64)) * 0x1p64 + static_cast<double>(static_cast<std::uint64_t>(x));
}
RAD_FAST_BOTH double real(int128 x) { return x < 0 ? -real(static_cast<uint128>(-x)) : real(static_cast<uint128>(x)); }

// A probe's sums with what was decided before, and its two answers.
struct Probe {
  std::int64_t step, threshold;
  int128 left, surplus;  // budget and reaction left over, 2^-62
  uint128 width;
  bool covers, rises;

  RAD_FAST_BOTH std::int64_t floor() const { return step >> 1; }
  RAD_FAST_BOTH std::int64_t price() const { return (step + 1) >> 1; }

  RAD_FAST_BOTH Probe(const Problem& problem, const Totals& totals, std::int64_t u, std::int64_t t) {
    step = u;
    threshold = t;
    left = problem.budget - (static_cast<int128>(totals.count) << 62);
    surplus = static_cast<int128>(totals.reaction) * (std::int64_t{1} << 38) - problem.spend;
    width = problem.width + totals.width;
    const int128 held = static_cast<int128>(width) * price();
    covers = left <= held;
    rises = not_less(surplus, t, width);
  }

  // Whether budget and reaction are met to half a point: in a sample, less than what sampling errs by.
  RAD_FAST_BOTH bool is_close() const {
    const double w = real(width) * 0x1p-38;
    return fabs(real(left) * 0x1p-62 - w * (static_cast<double>(step) * 0x1p-25)) <= 0.5 &&
           fabs(real(surplus) * 0x1p-62 - w * (static_cast<double>(threshold) * 0x1p-48)) <= 0.5;
  }

  // Whether the price and threshold that these sums give are the ones that they were taken at: the equilibrium.
  RAD_FAST_BOTH bool is_fixed() const {
    return width > 0 && rises && !not_less(surplus, threshold + 1, width) && left > static_cast<int128>(width) * floor() &&
           left < static_cast<int128>(width) * (floor() + 1);
  }
};

enum class Ending : int { between, kink, close, unfinished };

struct Found {
  Ending ending;
  std::int64_t price;      // kink: 2^-24
  std::int64_t floor;      // gains up to it are saturated
  std::int64_t threshold;  // sums are over the pieces that pay more
};

// Where the iteration begins, and where it has got to, by its last step.
struct Iterate {
  std::int64_t step, threshold, by_step, by_threshold;
  bool known;
};

constexpr int most_probes = 400;
constexpr int most_approaches = 24;  // beyond, the iteration hardly settles by itself
constexpr int probes_between_narrowings = 3;
// Where a search begins that knows its bounds alone.
RAD_FAST_BOTH Iterate beginning(const Bounds& bounds) {
  Iterate at{(bounds.low + bounds.high) / 2, bounds.bottom + (bounds.top - bounds.bottom) / 2, 0, 0, false};
  if (bounds.low == first_step) at.step = 0;  // all points free: Dinkelbach's iteration without caps
  if (bounds.bottom < 0 && bounds.top > 0) at.threshold = 0;
  return at;
}

// The iteration alone, in float64 and without bounds: a probe's answers on 128 bits take longer than its sums. It proves
// nothing: the search begins where this ends, mostly with its last probe. True where it has settled; `at` is left where it has
// no next step.
template <class Team>
RAD_FAST_BOTH bool approach(Team& team, const Problem& problem, const Bounds& bounds, Iterate& at) {
  const double budget = real(problem.budget) * 0x1p-62, spend = real(problem.spend) * 0x1p-62;
  const double known_width = real(problem.width) * 0x1p-38;
  if (problem.spend == 0) return false;  // the price is 1 at once, and thresholds are halved
  const Iterate begin = at.known ? at : beginning(bounds);
  std::int64_t u = begin.step, t = begin.threshold, moved_u = 0, moved_t = 0;
  for (int turn = 0; turn < most_approaches; ++turn) {
    const Totals totals = team.probe(cuts_at(u >> 1, t));
    const double width = known_width + real(totals.width) * 0x1p-38, left = budget - static_cast<double>(totals.count);
    if (!(width > 0.0 && left > 0.0)) return false;
    const double per = 1.0 / width;
    const double price = floor(left * per * gain_scale);
    const double threshold = floor((static_cast<double>(totals.reaction) * 0x1p-24 - spend) * per * slope_scale);
    const std::int64_t own_u = lesser(greater(2 * static_cast<std::int64_t>(fmin(price, 0x1p24)), bounds.low), bounds.high - 1);
    const auto far = static_cast<std::int64_t>(fmax(fmin(threshold, 0x1p48), -0x1p48));
    const std::int64_t own_t = lesser(greater(far, bounds.bottom), bounds.top);
    const std::int64_t by_u = own_u - u, by_t = own_t - t;
    at = {own_u, own_t, by_u < 0 ? -by_u : by_u, by_t < 0 ? -by_t : by_t, true};
    if (by_u == 0 && by_t == 0) return true;
    const bool back = turn > 0 && (by_u > 0) != (moved_u > 0) && (by_t > 0) != (moved_t > 0);
    moved_u = back ? by_u / 2 : by_u;
    moved_t = back ? by_t / 2 : by_t;
    u += moved_u;
    t += moved_t;
  }
  return false;
}

// Narrows `bounds` until the answer is known. `team` sums over the points that are left: probe(cuts) -> Totals, narrow(cuts)
// -> Sums of those that the cuts decide, which it drops; size(); Team::narrow_above, below which points cost next to nothing to
// sum. All threads of a team take the same path. Without `proves`
// it narrows no pool, and ends where budget and reaction are met to half a point: `close`, the iterate in `from`.
template <bool proves, class Team>
RAD_FAST_BOTH Found search(Team& team, Problem& problem, Bounds& bounds, Exact& known, Iterate& from) {
  bool trust = true, stepped = false;  // whether the next probe is the iteration's; whether that has moved yet
  if (problem.spend == 0 && known.count() == 0 && known.reaction() == 0) bounds.low = bounds.high - 1;
  const Iterate begin = from.known ? from : beginning(bounds);
  std::int64_t next_u = begin.step, next_t = begin.threshold;
  std::int64_t moved_u = 0, moved_t = 0;  // the iteration's last step
  for (int probes = 0; probes < most_probes; ++probes) {
    if (proves && probes > 0 && probes % probes_between_narrowings == 0 && team.size() > Team::narrow_above) {
      Exact decided;
      decided.add(team.narrow(cuts_of(bounds)));
      problem.take_off(decided);
      known.add(decided);
    }
    const bool pinned = bounds.high - bounds.low == 1, at_kink = pinned && (bounds.low & 1) != 0;
    const std::int64_t half_u = bounds.low + (bounds.high - bounds.low) / 2;
    const std::int64_t half_t = bounds.bottom + (bounds.top - bounds.bottom) / 2;
    std::int64_t u, t;
    if (pinned) {
      if (bounds.top - bounds.bottom == 1) {
        if (at_kink) return {Ending::kink, (bounds.low + 1) >> 1, (bounds.low + 1) >> 1, bounds.top};
        return {Ending::between, 0, bounds.low >> 1, bounds.bottom};
      }
      u = at_kink ? bounds.low + 1 : bounds.low;
      t = lesser(greater(trust && !at_kink ? next_t : half_t, bounds.bottom + 1), bounds.top - 1);
    } else {
      u = lesser(greater(trust ? next_u : half_u, bounds.low + 1), bounds.high - 1);
      t = lesser(greater(trust ? next_t : half_t, bounds.bottom), bounds.top);
    }
    const bool iterated = trust;
    const Probe probe(problem, team.probe(cuts_at(u >> 1, t)), u, t);
    if (!at_kink && probe.is_fixed()) return {Ending::between, 0, probe.floor(), t};
    const Bounds before = bounds;
    if (pinned) {
      if (at_kink ? probe.covers : probe.rises)
        bounds.bottom = t;
      else
        bounds.top = t;
    } else if (probe.covers != probe.rises) {
      if (probe.rises)
        bounds.low = u;
      else
        bounds.high = u;
    } else if (probe.rises) {
      bounds.bottom = greater(bounds.bottom, t);
    } else {
      bounds.top = lesser(bounds.top, t);
    }
    if (!pinned && !trust && bounds.top - bounds.bottom == 1 && t == bounds.bottom && probe.covers && probe.rises) {
      // The threshold lies between neighbours: the fill's at u is the upper one, unless it covers the budget there too.
      const Probe above(problem, team.probe(cuts_at(u >> 1, bounds.top)), u, bounds.top);
      if (above.rises && !above.covers)
        bounds.low = u;
      else
        bounds.high = u;
    }
    trust = bounds.high - bounds.low <= (before.high - before.low) / 2 ||
            bounds.top - bounds.bottom <= (before.top - before.bottom) / 2;
    // A halving leaves the iteration where it was, unless the bounds now exclude that.
    if (!iterated && next_u >= bounds.low && next_u < bounds.high && next_t >= bounds.bottom && next_t <= bounds.top) continue;
    // Where the sums' own equilibrium lies; out of range it is clamped by the next round.
    const double w = real(probe.width);
    if (probe.width > 0 && probe.left > 0) {
      const double price = floor(ieee_divide(real(probe.left), w)), threshold = floor(real(probe.surplus) / w * gain_scale);
      const auto own_u = 2 * static_cast<std::int64_t>(fmin(price, static_cast<double>(end_step)));
      const auto own_t =
          static_cast<std::int64_t>(fmax(fmin(threshold, static_cast<double>(most_slope)), static_cast<double>(-most_slope)));
      if (!proves && iterated) {
        from = {own_u, own_t, own_u < u ? u - own_u : own_u - u, own_t < t ? t - own_t : own_t - t, true};
        if (probe.is_close()) return {Ending::close, 0, 0, 0};
      }
      const std::int64_t by_u = own_u - u, by_t = own_t - t;
      const bool back = stepped && iterated && (by_u > 0) != (moved_u > 0) && (by_t > 0) != (moved_t > 0);
      next_u = back ? u + by_u / 2 : own_u;
      next_t = back ? t + by_t / 2 : own_t;
      moved_u = next_u - u;
      moved_t = next_t - t;
      stepped = iterated;
    } else {
      trust = false;
    }
  }
  return {Ending::unfinished, 0, 0, 0};
}

// n / d 2^exponent in float64, rounded to nearest, ties to even: as Python's float(Fraction(n, d)). Below 2^127 both.
RAD_FAST_BOTH double ratio(uint128 n, uint128 d, int exponent) {
  if (n == 0) return 0.0;
  int k = 0;
  for (uint128 x = n; x > 1; x >>= 1) ++k;
  for (uint128 x = d; x > 1; x >>= 1) --k;
  if (k > 0)
    d <<= k;
  else
    n <<= -k;
  if (n < d) {
    n <<= 1;
    --k;
  }
  std::uint64_t q = 0;  // 55 binary digits of n / d in [1, 2), the last two for rounding
  for (int i = 0; i < 55; ++i) {
    q <<= 1;
    if (n >= d) {
      n -= d;
      q |= 1;
    }
    n <<= 1;
  }
  const std::uint64_t rest = q & 3;
  q >>= 2;
  if (rest == 3 || (rest == 2 && (n != 0 || (q & 1) != 0))) ++q;
  return ldexp(static_cast<double>(q), k - 52 + exponent);
}
RAD_FAST_BOTH double signed_ratio(int128 n, uint128 d, int exponent) {
  return n < 0 ? -ratio(static_cast<uint128>(-n), d, exponent) : ratio(static_cast<uint128>(n), d, exponent);
}

// The equilibrium from exact sums over the pieces that pay more than the threshold, and those that pay just that. False where
// the sums do not bear the search's answer out: where the bounds it started from were wrong.
RAD_FAST_BOTH bool concluded(const Found& found, const Exact& sums, const Tied& tied, int128 budget, int128 spend,
                             Equilibrium& answer) {
  const int128 left = budget - (static_cast<int128>(sums.count()) << 62);
  const int128 surplus = static_cast<int128>(sums.reaction()) * (std::int64_t{1} << 38) - spend;
  const double points = real(left) * 0x1p-62;
  const double unpriced = signed_ratio(sums.value - static_cast<int128>(sums.full_gain) * (1 << grid_bits), 1, -2 * grid_bits);
  if (found.ending == Ending::between) {
    if (sums.width == 0 || !not_less(surplus, found.threshold, sums.width) ||
        not_less(surplus, found.threshold + 1, sums.width) || left < static_cast<int128>(sums.width) * found.floor ||
        left > static_cast<int128>(sums.width) * (found.floor + 1))
      return false;
    answer.price = signed_ratio(left, sums.width, width_bits - probability_bits);
    answer.threshold = signed_ratio(surplus, sums.width, width_bits - probability_bits);
    // But for rounding below pieces that are taken whole.
    if (answer.threshold >= static_cast<double>(found.threshold + 1) * 0x1p-48)
      answer.threshold = nextafter(answer.threshold, -2.0);
    answer.share = 0.0;
    answer.value = ieee_add(ieee_multiply(answer.threshold, points), unpriced);
    return true;
  }
  const int128 over = left - static_cast<int128>(sums.width) * found.price;
  const int128 on = (static_cast<int128>(tied.whole) << 62) + tied.width * found.price;
  if (over < 0 || over > on) return false;
  answer.price = static_cast<double>(found.price) * 0x1p-24;
  answer.threshold = static_cast<double>(found.threshold) * 0x1p-48;
  answer.share = on > 0 ? ratio(static_cast<uint128>(over), static_cast<uint128>(on), 0) : 0.0;
  const double slope = ieee_add(signed_ratio(surplus, 1, -probability_bits),
                                -ieee_multiply(answer.threshold, ratio(sums.width, 1, -width_bits)));
  answer.value = ieee_add(ieee_add(ieee_multiply(answer.threshold, points), unpriced), ieee_multiply(answer.price, slope));
  return true;
}

}  // namespace cuda
}  // namespace rad_fast
