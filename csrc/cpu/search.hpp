// The search for the equilibrium among points in memory: rad_fast/game/search.py, but for medians of fewer points. Interface of its
// kernels, a table of functions per SIMD level, and the search that calls them.
#pragma once

#include <cstdint>

namespace rad_fast {

// Points in whole units: gain and advantage 2^-24, effective gain 2^-48, width 2^-38.
struct Units {
  std::int64_t *gain, *advantage, *effective, *width;
};

// What points add to the sums of a probe. A width of 62 bits comes in two parts, high 2^32 + low; enough for 2^31 points.
struct Taken {
  std::int64_t count, reaction;
  std::int64_t width_high, width_low;
};

// Where a point's slopes and gain make its part known: pieces that pay more than top are taken, those that pay bottom or less
// are not; gains up to floor are saturated, those above ceiling react to the price.
struct Cuts {
  std::int64_t floor, ceiling, bottom, top;
};

struct SearchKernels {
  // Points that are not left out, in their order; returns how many, or -1 where a gain is no multiple of 2^-24 in [0, 1].
  // All outputs have room for `count` + 8 numbers.
  std::int64_t (*widen)(const float* gain, const float* correctness, std::int64_t count, const Units& out);
  Taken (*probe)(const Units& points, std::int64_t count, std::int64_t floor, std::int64_t threshold);
  // The points that the cuts leave undecided, in their order (`out` may be `points`), and what the decided ones add.
  std::int64_t (*narrow)(const Units& points, std::int64_t count, const Cuts& cuts, const Units& out, Taken& decided);
};

}  // namespace rad_fast

#if !defined(RAD_FAST_LEVEL)  // the rest is for the baseline translation units alone

#include <algorithm>
#include <memory>
#include <optional>

#include "dispatch.hpp"
#include "wide.hpp"

namespace rad_fast {

constexpr std::int64_t end_step = std::int64_t{1} << 25, most_slope = std::int64_t{1} << 48;
constexpr std::int64_t looked_at = 16;  // points that a median is taken of: search.py's 64 take as long as some probes of a small game
constexpr int narrowed_every = 3;  // probes: a look for points that the bounds decide costs as much as two

struct Bounds {  // low <= u* < high; pieces that pay more than top are taken, those that pay bottom or less are not
  std::int64_t low = -1, high = std::int64_t{1} << 25;
  std::int64_t bottom = -(std::int64_t{1} << 48) - 1, top = std::int64_t{1} << 48;

  bool pinned() const { return high - low == 1 && (low & 1); }  // to the gain high / 2: that the price is
  std::int64_t floor() const { return pinned() ? high >> 1 : (low > 0 ? low : 0) >> 1; }  // gains up to it are saturated
  std::int64_t ceiling() const { return (high + 1) >> 1; }                                // gains above it react
  Cuts cuts() const { return {floor(), ceiling(), bottom, top}; }
};

// What the pieces that are taken have to come to: probability and reaction in 2^-62, and the width of the decided, 2^-38.
struct Demand {
  int128 budget, spend, width;
};

inline int128 width_of(const Taken& taken) { return (static_cast<int128>(taken.width_high) << 32) + taken.width_low; }

inline Demand left_of(const Demand& demand, const Taken& taken) {
  return {demand.budget - (static_cast<int128>(taken.count) << 62),
          demand.spend - static_cast<int128>(taken.reaction) * (std::int64_t{1} << 38), demand.width + width_of(taken)};
}

// Numbers that are not set to begin with, in memory that is kept from one use to the next: the first touch of fresh pages
// takes longer than a search.
template <class T>
class Kept {
 public:
  T* at_least(std::int64_t count) {
    if (count > room_) {
      numbers_.reset(new T[static_cast<std::size_t>(count)]);
      room_ = count;
    }
    return numbers_.get();
  }

 private:
  std::unique_ptr<T[]> numbers_;
  std::int64_t room_ = 0;
};

class Room {
 public:
  Units at_least(std::int64_t count) {
    const std::int64_t each = count + 8;
    std::int64_t* const first = numbers_.at_least(4 * each);
    return {first, first + each, first + 2 * each, first + 3 * each};
  }

 private:
  Kept<std::int64_t> numbers_;
};

struct Spot {
  bool at_gain;
  std::int64_t floor, ceiling, threshold;

  Bounds bounds() const {
    if (at_gain) return {2 * ceiling - 1, 2 * ceiling, threshold - 1, threshold};
    return {2 * floor, 2 * ceiling - 1, threshold, threshold + 1};
  }
};

// A probe's sums, as what they leave of the demand.
struct Probe {
  std::int64_t step;
  int128 left, surplus, width;

  Probe(const Demand& demand, const Taken& taken, std::int64_t u) : step(u) {
    const Demand rest = left_of(demand, taken);
    left = rest.budget;
    surplus = -rest.spend;
    width = rest.width;
  }
  bool covers() const { return left <= width * ((step + 1) >> 1); }
  bool rises(std::int64_t threshold) const { return Wide(surplus).shifted(24) >= Wide(threshold) * Wide(width); }
  bool price_within(std::int64_t floor, std::int64_t ceiling) const { return width * floor < left && left <= width * ceiling; }
};

struct Found {
  bool settled;  // else at most `enough` points are undecided
  Spot spot;
  Bounds bounds;
};

class Search {
 public:
  // `points` stay as they are; what the bounds leave of them goes to `room`.
  Search(const Units& points, std::int64_t count, const Demand& demand, Room& room, Kept<std::int64_t>& some)
      : kernels_(*level().search),
        points_(points),
        count_(count),
        demand_(demand),
        room_(room.at_least(count)),
        some_(some.at_least(2 * count)) {}

  // `near`: where the answer may be. By default the middle of limits that were read off a sample.
  Found run(const Bounds& limits, std::int64_t enough = 0, const Spot* near = nullptr) {
    bounds_ = limits;
    const bool narrow_limits = limits.low >= 0;
    std::int64_t step = near ? 2 * near->ceiling - 1 : narrow_limits ? (limits.low + limits.high) >> 1 : 0;  // where the iteration stands
    std::int64_t threshold = near ? near->threshold : narrow_limits ? (limits.bottom + limits.top) >> 1 : 0;
    bool by_medians = false;
    for (std::int64_t probes = 0;; ++probes) {
      if (probes > 0 && probes % narrowed_every == 0) {  // at first the limits are those that the points were chosen by, or none
        narrow();
        if (enough > 0 && count_ <= enough) return {false, {}, bounds_};
      }
      const Bounds before = bounds_;
      auto& [low, high, bottom, top] = bounds_;
      const bool pinned = before.pinned();
      const bool between = !pinned && low >= 0 && (high & 1) && !holds_gain();
      if (top - bottom == 1 && (pinned || between))
        return {true, {pinned, before.floor(), before.ceiling(), pinned ? top : bottom}, bounds_};
      std::int64_t u = step, t = threshold;
      if (pinned || by_medians) {
        const std::optional<std::int64_t> paid = slope_within(), some = gain_within();
        if (pinned && !paid) {
          bottom = top - 1;
          continue;
        }
        t = paid ? *paid : (bottom + top) >> 1;
        u = some ? 2 * *some : low >= 0 ? high - 1 : 0;
        if (u >= high) --u;
      }
      if (pinned) u = high;
      else if (between) u = high - 1;
      else u = std::min(std::max(u, low + 1), high - 1);
      t = top - bottom > 1 ? std::min(std::max(t, bottom + 1), top - 1) : top;
      const Probe probe = look(u, t);
      const bool covers = probe.covers(), rises = probe.rises(t);
      const std::int64_t floor = between ? before.floor() : u >> 1, ceiling = between ? before.ceiling() : (u >> 1) + 1;
      if (!pinned && rises && !probe.rises(t + 1) && probe.price_within(floor, ceiling))
        return {true, {false, floor, ceiling, t}, bounds_};
      if (pinned || between) {
        ((pinned ? covers : rises) ? bottom : top) = t;
      } else if (covers != rises) {
        (rises ? low : high) = u;
      } else if (top - bottom > 1) {
        (rises ? bottom : top) = t;
      } else {  // the threshold lies between neighbours: the fill's at u is the upper one, or the lower one
        (look(u, bottom).covers() ? high : low) = u;
      }
      const bool halved =
          2 * (high - low) <= before.high - before.low || 2 * (top - bottom) <= before.top - before.bottom;
      const bool away = !(bottom < threshold && threshold < top) || !(between || (low < step && step < high));
      if (probe.width > 0 && probe.left > 0 && !pinned && (away || !by_medians)) {
        step = 2 * static_cast<std::int64_t>(std::min<int128>(probe.left / probe.width, end_step));
        const int128 exact = floor_of_quotient(probe.surplus * (std::int64_t{1} << 24), probe.width);
        threshold = static_cast<std::int64_t>(std::min<int128>(std::max<int128>(exact, -most_slope), most_slope));
      }
      by_medians = !halved && !by_medians;
    }
  }

 private:
  Probe look(std::int64_t u, std::int64_t t) const {
    return Probe(demand_, kernels_.probe(points_, count_, u >> 1, t), u);
  }

  void narrow() {
    const Bounds anywhere;
    if (bounds_.bottom == anywhere.bottom && bounds_.top == anywhere.top) return;  // no point is decided
    Taken decided;
    count_ = kernels_.narrow(points_, count_, bounds_.cuts(), room_, decided);
    points_ = room_;
    demand_ = left_of(demand_, decided);
  }

  bool holds_gain() const {
    for (std::int64_t i = 0; i < count_; ++i)
      if (const std::int64_t step = 2 * points_.gain[i]; step > bounds_.low && step <= bounds_.high) return true;
    return false;
  }
  // About the median of the gains, and of what pieces pay, between the bounds; none where there is none.
  std::optional<std::int64_t> gain_within() {
    return middle([this](std::int64_t i, const auto& add) {
      const std::int64_t step = 2 * points_.gain[i];
      if (step > bounds_.low && step <= bounds_.high) add(points_.gain[i]);
    });
  }
  std::optional<std::int64_t> slope_within() {
    return middle([this](std::int64_t i, const auto& add) {
      const std::int64_t first = points_.effective[i], second = -(points_.gain[i] * (std::int64_t{1} << 24));
      if (first > bounds_.bottom && first < bounds_.top) add(first);
      if (second > bounds_.bottom && second < bounds_.top) add(second);
    });
  }

  // The median of what at most 64 points, spread over all, give; of what all give, where those give nothing.
  template <class Give>
  std::optional<std::int64_t> middle(const Give& give) {
    std::int64_t found = 0;
    const auto add = [&](std::int64_t x) { some_[found++] = x; };
    const std::int64_t stride = (count_ + looked_at - 1) / looked_at;
    for (std::int64_t i = 0; i < count_; i += stride) give(i, add);
    if (found == 0 && stride > 1)
      for (std::int64_t i = 0; i < count_; ++i) give(i, add);
    if (found == 0) return {};
    std::nth_element(some_, some_ + found / 2, some_ + found);
    return some_[found / 2];
  }

  const SearchKernels& kernels_;
  Units points_;
  std::int64_t count_;
  Demand demand_;
  Bounds bounds_;
  Units room_;
  std::int64_t* some_;
};

}  // namespace rad_fast

#endif
