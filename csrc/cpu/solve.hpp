// The solver of the game for points in memory: rad_fast/game/solver.py, step by step, so that both give the same answer to
// the bit.
// Baseline code alone (see dispatch.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "game.hpp"
#include "sample.hpp"
#include "search.hpp"
#include "wide.hpp"

namespace rad_fast {

// The numbers of rad_fast/game/solver.py that say how the solver goes about it; none of them changes the answer.
struct Steps {
  std::int64_t sample, direct, spared, most_sampled, enough;
  std::vector<double> deviations;
  double shrinks;
};

struct Answer {
  double price, threshold, share, value;
};

// Exact sums over decided points, in the units of kernels/reference/game.py.
struct Known {
  std::int64_t saturated = 0, full = 0, full_advantage = 0, full_gain = 0, advantage = 0;
  int128 value = 0, width = 0;

  void add(const Sums& sums) {
    saturated += sums.saturated;
    full += sums.full;
    full_advantage += sums.full_advantage;
    full_gain += sums.full_gain;
    advantage += sums.advantage;
    value += static_cast<int128>(sums.value_high) * (std::int64_t{1} << 24) + sums.value_low;
    width += static_cast<int128>(sums.width_high) * (std::int64_t{1} << 31) + sums.width_low;
  }
};

// A number from 0 on in units of 2^-62, rounded down.
inline int128 in_units(double x) {
  const double whole = std::floor(x);
  return static_cast<int128>(whole) * (std::int64_t{1} << 62) + static_cast<std::int64_t>((x - whole) * 0x1p62);
}

struct Stakes {
  int128 budget, spend;  // 2^-62; what is spent is twice the mistakes
  bool without_mistakes;

  // More mistakes than points change nothing: the price is 0 then.
  Stakes(double budget_of, double mistakes, std::int64_t points)
      : budget(in_units(budget_of)),
        spend(in_units(2.0 * std::min(mistakes, 2.0 * static_cast<double>(points) + 2.0))),
        without_mistakes(mistakes == 0) {}

  // What the undecided points have to come to.
  Demand left(const Known& known) const {
    const int128 both = static_cast<int128>(known.full) * (1 << 24);
    const int128 reacting = static_cast<int128>(known.advantage) + known.full_advantage + both;
    return {budget - (static_cast<int128>(known.saturated + known.full) << 62), spend - reacting * (std::int64_t{1} << 38),
            known.width};
  }
};

inline Bounds bounds_of(const Box& box) {
  const auto low = static_cast<std::int64_t>(box.price_low * 0x1p24), high = static_cast<std::int64_t>(box.price_high * 0x1p24);
  const std::int64_t step = low == high ? 2 * high - 1 : 2 * low;  // between the two there is a gain, or just one price
  return {low ? step : -1, 2 * high, static_cast<std::int64_t>(box.threshold_low * 0x1p48) - 1,
          static_cast<std::int64_t>(box.threshold_high * 0x1p48)};
}

inline Box box_of(const Bounds& bounds) {
  return {static_cast<double>(bounds.floor()) * 0x1p-24, static_cast<double>(bounds.ceiling()) * 0x1p-24,
          static_cast<double>(bounds.bottom + 1) * 0x1p-48, static_cast<double>(bounds.top) * 0x1p-48};
}

constexpr int kept_levels = 3;
constexpr std::int64_t kept_points = std::int64_t{1} << 20;  // of larger pools what is undecided goes back to the system

// What a thread keeps between games: some 100 bytes for each of the points that are searched or sampled at a time, and the
// points that boxes leave undecided.
struct Scratch {
  Room points, left;
  Kept<std::int64_t> some;
  Kept<float> gain, correctness;
  Kept<double> q, reaction;
  Kept<float> rest_gain[kept_levels], rest_correctness[kept_levels];

  static Scratch& mine() {
    thread_local Scratch scratch;
    return scratch;
  }
};

// The game on a few points, in whole units.
class SmallGame {
 public:
  SmallGame(const Units& points, std::int64_t count, const Stakes& stakes, Scratch& scratch)
      : points_(points), count_(count), stakes_(stakes), scratch_(scratch) {}

  Found search(const Demand& demand, const Bounds& limits, std::int64_t enough = 0, const Spot* near = nullptr) {
    return Search(points_, count_, demand, scratch_.left, scratch_.some).run(limits, enough, near);
  }

  // The equilibrium, from exact sums over the sets that the search found; none where it is not in the bounds.
  std::optional<Answer> solve(const Known& known, const Bounds& limits, bool everywhere) {
    const Demand wanted = stakes_.left(known);
    Spot spot = search(wanted, limits).spot;
    std::optional<Answer> answer = concluded(spot, known, limits.high);
    if (answer || !everywhere) return answer;
    // Where a set of pieces holds just the budget the rounded widths 1 / g can contradict one another. The price is then
    // known but for that rounding, and what it fills is as good as any.
    spot = search(wanted, {2 * spot.ceiling - 1, 2 * spot.ceiling, limits.bottom, limits.top}).spot;
    return concluded(spot, known, end_step);
  }

  // The standard errors of the budget and of twice the mistakes at an equilibrium read off these points.
  std::pair<double, double> spread(const Demand& demand, const Spot& spot, bool heaviest) const {
    const Probe probe(demand, level().search->probe(points_, count_, spot.floor, spot.threshold), 2 * spot.floor);
    const double price =
        (spot.at_gain || probe.width == 0 ? static_cast<double>(spot.ceiling) : ratio(Wide(probe.left), Wide(probe.width), 0)) *
        0x1p-24;
    const double threshold = static_cast<double>(spot.threshold) * 0x1p-48;
    double *const q = scratch_.q.at_least(count_), *const reaction = scratch_.reaction.at_least(count_);
    for (std::int64_t i = 0; i < count_; ++i) {
      const Part part = part_of(i, spot);
      const double advantage = static_cast<double>(points_.advantage[i]) * 0x1p-24;
      const double width = static_cast<double>(points_.width[i]) * 0x1p-38;
      q[i] = part == Part::priced ? price * width : part == Part::out ? 0.0 : 1.0;
      reaction[i] = part == Part::priced ? advantage - threshold * width : part == Part::full ? advantage + 1.0 : 0.0;
    }
    return {error_of_sum(q, count_, heaviest), error_of_sum(reaction, count_, heaviest)};
  }

 private:
  enum class Part { out, saturated, priced, full };

  Part part_of(std::int64_t i, const Spot& spot) const {
    if (points_.effective[i] <= spot.threshold) return Part::out;
    if (points_.gain[i] <= spot.floor) return Part::saturated;
    return second(i) > spot.threshold ? Part::full : Part::priced;
  }
  std::int64_t second(std::int64_t i) const { return -(points_.gain[i] * (std::int64_t{1} << 24)); }

  // And one point more or less, which weighs as much as the heaviest of these, or 1.
  static double error_of_sum(const double* values, std::int64_t count, bool heaviest) {
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += values[i];
    const double mean = sum / static_cast<double>(count);
    for (std::int64_t i = 0; i < count; ++i) squares += (values[i] - mean) * (values[i] - mean);
    const double one = heaviest ? *std::max_element(values, values + count) : 0.0;
    return std::sqrt(squares) + (one > 0.0 ? one : 1.0);
  }

  // Where no second piece pays more than the threshold.
  void add_first_pieces(const Spot& spot, Known& sums) const {
    const Taken taken = level().search->probe(points_, count_, spot.floor, spot.threshold);
    sums.saturated += taken.count;
    sums.advantage += taken.reaction;
    sums.width += width_of(taken);
    if (taken.count == 0) return;
    for (std::int64_t i = 0; i < count_; ++i)
      if (part_of(i, spot) == Part::saturated) sums.value += points_.effective[i];
  }
  void add_all_pieces(const Spot& spot, Known& sums) const {
    for (std::int64_t i = 0; i < count_; ++i) {
      switch (part_of(i, spot)) {
        case Part::out: break;
        case Part::saturated:
          ++sums.saturated;
          sums.value += points_.effective[i];
          break;
        case Part::full:
          ++sums.full;
          sums.full_advantage += points_.advantage[i];
          sums.full_gain += points_.gain[i];
          break;
        case Part::priced:
          sums.advantage += points_.advantage[i];
          sums.width += points_.width[i];
          break;
      }
    }
  }

  std::optional<Answer> concluded(const Spot& spot, const Known& known, std::int64_t high) const {
    Known sums = known;
    if (spot.threshold >= 0) add_first_pieces(spot, sums);
    else add_all_pieces(spot, sums);
    return spot.at_gain ? at_gain(spot, sums, high) : between(spot, sums);
  }

  // At a price between two gains: the one that fills the budget, and the threshold where the slope is zero. None where the
  // sums show that the equilibrium is elsewhere.
  std::optional<Answer> between(const Spot& spot, const Known& sums) const {
    const Demand left = stakes_.left(sums);
    const Wide slope = Wide(-left.spend).shifted(24), width(left.width), next(spot.threshold + 1);
    if (slope < Wide(spot.threshold) * width || slope >= next * width) return {};
    if (left.budget <= left.width * spot.floor || left.budget > left.width * spot.ceiling) return {};
    double threshold = ratio(slope, width, -48);
    const double beyond = static_cast<double>(spot.threshold + 1) * 0x1p-48;
    if (threshold >= beyond) threshold = std::nextafter(threshold, -HUGE_VAL);  // but for rounding below pieces taken whole
    const Wide worth = Wide(-left.spend) * Wide(left.budget) + sure(sums).shifted(38) * width;  // 2^-86, times the width
    return Answer{ratio(Wide(left.budget), width, -24), threshold, 0.0, ratio(worth, width, -86)};
  }

  // At a price that is a gain, or an end of all prices: pieces on the threshold share what is left of the budget.
  std::optional<Answer> at_gain(const Spot& spot, const Known& sums, std::int64_t high) const {
    std::int64_t whole = 0;
    int128 tied = 0;
    for (std::int64_t i = 0; i < count_; ++i) {
      const bool free = points_.gain[i] > spot.floor;
      if (points_.effective[i] == spot.threshold) {
        if (free) tied += points_.width[i];
        else ++whole;
      }
      if (free && second(i) == spot.threshold) {
        ++whole;
        tied -= points_.width[i];
      }
    }
    const Demand left = stakes_.left(sums);
    const int128 over = left.budget - left.width * spot.ceiling, on = (static_cast<int128>(whole) << 62) + tied * spot.ceiling;
    if (over <= 0 || over > on) return {};
    const Wide due = Wide(spot.threshold) * Wide(left.width);  // 2^-86
    const bool falls = Wide(-left.spend).shifted(24) < due;
    if (2 * spot.ceiling == high && high < end_step && !falls) return {};  // the price may be higher, for all that is known
    const Wide reacting = (Wide(-left.spend).shifted(24) - due) * Wide(spot.ceiling);  // 2^-110, as what follows
    const Wide worth = Wide(spot.threshold) * Wide(left.budget) + sure(sums).shifted(62) + reacting;
    return Answer{static_cast<double>(spot.ceiling) * 0x1p-24, static_cast<double>(spot.threshold) * 0x1p-48,
                  ratio(Wide(over), Wide(on), 0), ratio(worth, Wide(1), -110)};
  }

  // What points with q = 1 are worth whatever the price, 2^-48.
  static Wide sure(const Known& sums) { return Wide(sums.value - static_cast<int128>(sums.full_gain) * (1 << 24)); }

  Units points_;
  std::int64_t count_;
  const Stakes& stakes_;
  Scratch& scratch_;
};

// Points in one or more arrays.
struct Chunk {
  const float *gain, *correctness;
  std::int64_t count;
};

class Solver {
 public:
  // `random`: most_sampled numbers from 0 to 1, which spread the sample.
  Solver(const Steps& steps, const double* random, const Stakes& stakes, int threads)
      : steps_(steps), random_(random), stakes_(stakes), threads_(threads) {}

  // None where points are alike, so that they had better be counted, or where bounds were wrong too often.
  std::optional<Answer> solve(const std::vector<Chunk>& chunks) { return solve(chunks, Known(), {0.0, 1.0, -1.0, 1.0}); }

  // The same where sums over other points are known, those that the box decides; none, too, where the answer is not in it.
  std::optional<Answer> solve(const std::vector<Chunk>& chunks, const Known& known, const Box& box) {
    whole_ = box.price_low == 0.0 && box.price_high == 1.0 && box.threshold_low == -1.0 && box.threshold_high == 1.0;
    return narrow(chunks, known, box, 0);
  }

  // A box around the answer, but for bad luck; which part of all points it leaves undecided, and which reach its lower threshold.
  struct Around {
    Box box;
    double undecided, passing;
  };
  // Read off a sample, which is this part of all points; `widened`: so many times as many standard errors as usual.
  Around around(const Chunk& sample, double part, double widened = 1.0) {
    const Units points = scratch_.points.at_least(sample.count);
    const std::int64_t count = widen(sample, points, 0);
    const Box box =
        estimate(points, count, part, Known(), {0.0, 1.0, -1.0, 1.0}, widened * steps_.deviations.front(), true);
    const Bounds bounds = bounds_of(box);
    const auto passing = std::count_if(points.effective, points.effective + count,
                                       [&](std::int64_t effective) { return effective > bounds.bottom; });
    Taken decided;
    const std::int64_t left = level().search->narrow(points, count, bounds.cuts(), points, decided);
    return {box, static_cast<double>(left) / static_cast<double>(count), static_cast<double>(passing) / static_cast<double>(count)};
  }

 private:
  std::optional<Answer> narrow(const std::vector<Chunk>& chunks, const Known& known, Box box, int depth) {
    if (stakes_.without_mistakes) box.price_low = 1.0;
    std::int64_t size = 0;
    for (const Chunk& chunk : chunks) size += chunk.count;
    if (size <= steps_.direct) {
      const Units points = scratch_.points.at_least(size);
      std::int64_t count = 0;
      for (const Chunk& chunk : chunks) count += widen(chunk, points, count);
      return SmallGame(points, count, stakes_, scratch_).solve(known, bounds_of(box), depth == 0 && whole_);
    }
    for (std::size_t attempt = 0; attempt < steps_.deviations.size(); ++attempt) {
      const Box smaller = estimate(chunks, size, known, box, steps_.deviations[attempt], attempt == 0);
      Known sums = known;
      // Room for all, of which only what is written is ever backed by the system.
      Kept<float> own_gain, own_correctness;
      const bool keeps = depth < kept_levels && size <= kept_points;
      float* const gain = (keeps ? scratch_.rest_gain[depth] : own_gain).at_least(size);
      float* const correctness = (keeps ? scratch_.rest_correctness[depth] : own_correctness).at_least(size);
      std::int64_t kept = 0;
      for (const Chunk& chunk : chunks) {
        Sums decided{};
        kept += reduce_all(threads_, chunk.gain, chunk.correctness, chunk.count, smaller, decided, gain + kept,
                           correctness + kept);
        sums.add(decided);
      }
      if (static_cast<double>(kept) > steps_.shrinks * static_cast<double>(size)) return {};
      const std::optional<Answer> answer = narrow({{gain, correctness, kept}}, sums, smaller, depth + 1);
      if (answer) return answer;
    }
    return {};
  }

  // A box that holds the equilibrium but for bad luck: searched on a sample, budget and mistakes moved both ways.
  Box estimate(const std::vector<Chunk>& chunks, std::int64_t size, const Known& known, const Box& box, double deviations,
               bool heaviest) {
    const std::int64_t wanted = std::max(steps_.sample, std::min(size / steps_.spared, steps_.most_sampled));
    const std::int64_t sampled = std::min(wanted, size);
    const Units points = scratch_.points.at_least(sampled);
    const std::int64_t count = peek(chunks, size, sampled, points);
    if (count == 0) return box;  // nearly all points are left out: adding up within the same box drops them
    return estimate(points, count, static_cast<double>(sampled) / static_cast<double>(size), known, box, deviations,
                    heaviest);
  }

  Box estimate(const Units& points, std::int64_t count, double part, const Known& known, Box box, double deviations,
               bool heaviest) {
    if (stakes_.without_mistakes) box.price_low = 1.0;
    const Bounds limits = bounds_of(box);
    const Demand left = stakes_.left(known);
    const Demand middle{scaled(left.budget, part), scaled(left.spend, part), scaled(left.width, part)};
    SmallGame game(points, count, stakes_, scratch_);
    const Spot spot = game.search(middle, limits).spot;
    const std::pair<double, double> errors = game.spread(middle, spot, heaviest);
    const auto fill = static_cast<int128>(deviations * errors.first * 0x1p62);
    const auto slope = static_cast<int128>(deviations * errors.second * 0x1p62);
    Bounds found = spot.bounds();
    for (const int x : {-1, 1}) {
      for (const int y : {-1, 1}) {
        if (stakes_.without_mistakes && y > 0) break;  // without mistakes the price is 1, whatever the sample
        const Demand moved{middle.budget + x * fill, stakes_.without_mistakes ? middle.spend : middle.spend + y * slope,
                           middle.width};
        const Found corner = game.search(moved, limits, std::max<std::int64_t>(1, count / steps_.enough), &spot);
        const Bounds at = corner.settled ? corner.spot.bounds() : corner.bounds;
        found = {std::min(found.low, at.low), std::max(found.high, at.high), std::min(found.bottom, at.bottom),
                 std::max(found.top, at.top)};
      }
    }
    // A step further out: what lies on a bound is not proved by what lies beyond.
    return box_of({std::max(found.low - 1, limits.low), std::min(found.high + 1, limits.high), found.bottom, found.top});
  }

  static int128 scaled(int128 x, double part) { return static_cast<int128>(static_cast<double>(x) * part); }

  std::int64_t widen(const Chunk& chunk, const Units& points, std::int64_t at) const {
    const Units out{points.gain + at, points.advantage + at, points.effective + at, points.width + at};
    const std::int64_t kept = level().search->widen(chunk.gain, chunk.correctness, chunk.count, out);
    if (kept < 0) throw std::domain_error("gain");
    return kept;
  }

  // Points at places spread over all, one from each of as many equal stretches; returns how many are not left out.
  std::int64_t peek(const std::vector<Chunk>& chunks, std::int64_t size, std::int64_t count, const Units& points) {
    float *const gain = scratch_.gain.at_least(count), *const correctness = scratch_.correctness.at_least(count);
    const double stretch = static_cast<double>(size) / static_cast<double>(count);
    std::size_t chunk = 0;
    std::int64_t begin = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t place =
          count == size ? i
                        : std::min(static_cast<std::int64_t>((static_cast<double>(i) + random_[i]) * stretch), size - 1);
      while (place >= begin + chunks[chunk].count) begin += chunks[chunk++].count;
      gain[i] = chunks[chunk].gain[place - begin];
      correctness[i] = chunks[chunk].correctness[place - begin];
    }
    return widen({gain, correctness, count}, points, 0);
  }

  const Steps& steps_;
  const double* random_;
  Stakes stakes_;
  int threads_;
  bool whole_ = true;
  Scratch& scratch_ = Scratch::mine();
};

}  // namespace rad_fast
