// What one block finds of an equilibrium: from a sample a corner of the box that it lies in, from all points that are left
// the answer.
#pragma once

#include "kernels.hpp"
#include "team.cuh"

namespace rad_fast {
namespace cuda {

constexpr int corners = 4;
constexpr float deviations = 4.0f;  // standard errors that a box reaches; more means more undecided, fewer more misses

// A fixed mixing of bits: where in its stretch a sampled point lies. The answer does not depend on it.
__device__ __forceinline__ std::uint32_t mixed(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

__device__ __forceinline__ Bounds box_of(const Bounds* corner) {
  Bounds box = corner[0];
  for (int k = 1; k < corners; ++k) {
    box.low = lesser(box.low, corner[k].low);
    box.high = greater(box.high, corner[k].high);
    box.bottom = lesser(box.bottom, corner[k].bottom);
    box.top = greater(box.top, corner[k].top);
  }
  return box;
}

// Where a search has ended: a point where it has found one, else what it has left of the box.
__device__ __forceinline__ Bounds ended(const Found& found, const Iterate& at, const Bounds& start, const Bounds& left) {
  if (found.ending == Ending::between)
    return {2 * found.floor, 2 * found.floor + 1, found.threshold, found.threshold + 1};
  if (found.ending != Ending::close) return left;
  const std::int64_t u = lesser(greater(at.step, start.low), start.high - 1);
  const std::int64_t t = lesser(greater(at.threshold, start.bottom), start.top);
  const std::int64_t by_u = at.by_step + 2, by_t = at.by_threshold + 2;  // the answer is hardly further off than the last step
  return {u - by_u, u + by_u, t - by_t, t + by_t};
}

// Where the equilibrium of a sample lies: to a point, or what a search has left of the bounds.
template <class SomeTeam>
__device__ __forceinline__ Bounds placed(SomeTeam& team, Problem& problem, const Bounds& start, Iterate& at) {
  if (approach(team, problem, start, at)) return {at.step, at.step + 1, at.threshold, at.threshold + 1};
  Exact known;
  Bounds left = start;
  const Found found = search<false>(team, problem, left, known, at);
  return ended(found, at, start, left);
}

// Where the equilibrium of a sample lies, budget and mistakes moved to one corner by what the sample errs, and where it lies
// in the middle: what bounds both. `problem` is the sample's own.
template <class SomeTeam>
__device__ __forceinline__ Bounds corner_of(SomeTeam& team, Problem problem, const Bounds& start, int which, bool mistakes) {
  Iterate at{};
  const Bounds middle = placed(team, problem, start, at);
  const double price = static_cast<double>(middle.low + middle.high) * 0x1p-26;
  const double threshold = static_cast<double>(middle.bottom + middle.top) * 0x1p-49;
  const std::int64_t t = middle.bottom + (middle.top - middle.bottom) / 2;
  const std::int64_t floor = greater(middle.low + middle.high, std::int64_t{0}) >> 2;
  const double fill = team.spread([&](Point p, std::uint64_t width) {
    const Part part = part_of(p, cuts_at(floor, t));
    return part == Part::priced ? price * static_cast<double>(width) * 0x1p-38 : part == Part::out ? 0.0 : 1.0;
  });
  const double slope = team.spread([&](Point p, std::uint64_t width) {
    const Part part = part_of(p, cuts_at(floor, t));
    const double advantage = static_cast<double>(p.advantage) * 0x1p-24;
    if (part == Part::full) return advantage + 1.0;
    return part == Part::priced ? advantage - threshold * static_cast<double>(width) * 0x1p-38 : 0.0;
  });
  // 2^31 and two shifts: the numbers are of some thousand points, far from what 64 bits hold at 2^-31.
  const auto moved = [](double by) {
    return static_cast<int128>(static_cast<std::int64_t>(by * 0x1p31)) * (std::int64_t{1} << 31);
  };
  problem.budget += moved((which & 1 ? deviations : -deviations) * fill);
  if (mistakes) problem.spend += moved((which & 2 ? deviations : -deviations) * slope);
  const Bounds corner = placed(team, problem, start, at);
  // A price is often a gain itself: one grid point further out that gain is undecided, and can be the answer.
  return {greater(lesser(corner.low, middle.low) - 2, start.low), lesser(greater(corner.high, middle.high) + 2, start.high),
          greater(lesser(corner.bottom, middle.bottom) - 1, start.bottom),
          lesser(greater(corner.top, middle.top) + 1, start.top)};
}

// The answer, from the points that the box `start` left and the sums over those it decided; checked against all of them.
template <class SomeTeam>
__device__ __forceinline__ Status settled(SomeTeam& team, Problem problem, const Bounds& start, Exact known, int128 budget,
                                          int128 spend, Equilibrium& answer) {
  Bounds bounds = start;
  Iterate from{};
  approach(team, problem, start, from);
  const Found found = search<true>(team, problem, bounds, known, from);
  if (found.ending == Ending::unfinished) return Status::unfinished;
  // An end of the box that no probe has confirmed proves nothing, unless it is an end of all prices.
  const bool edge =
      (bounds.low == start.low && start.low != first_step) || (bounds.high == start.high && start.high != end_step);
  if (found.ending == Ending::kink && edge) return Status::outside;
  Tied tied{};
  if (found.ending == Ending::kink) tied = team.tied(found.floor, found.threshold);
  known.add([&] {
    Exact sums;
    sums.add(team.narrow(cuts_at(found.floor, found.threshold)));
    return sums;
  }());
  return concluded(found, known, tied, budget, spend, answer) ? Status::solved : Status::outside;
}

}  // namespace cuda
}  // namespace rad_fast
