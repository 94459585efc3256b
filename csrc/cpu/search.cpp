// The sums of the search: rad_fast/search.py, probed and narrowed. Of whole numbers, so that nothing depends on their order.
//
// A probe reads 32 bytes a point, from the caches: a game in memory has been narrowed to some ten thousand points before. It
// takes some 15 operations for half_lanes points. A look that narrows takes twice that, and 32 bytes written for each that
// stays.

#include "search.hpp"

#include "dispatch.hpp"
#include "simd.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {
namespace {

constexpr int64_t grid = 1 << 24, half = int64_t{1} << 32;

int64_t widen(const float* gain, const float* correctness, int64_t count, const Units& out) {
  int64_t kept = 0;
  bool whole = true;
  for (int64_t i = 0; i < count; ++i) {
    if (!(gain[i] == gain[i])) continue;
    const double g = static_cast<double>(gain[i]) * 0x1p24;
    const int64_t units = static_cast<int64_t>(g);
    whole &= static_cast<double>(units) == g && units >= 0 && units <= grid;
    out.gain[kept] = units;
    out.advantage[kept] = static_cast<int64_t>((2.0f * correctness[i] - 1.0f) * 0x1p24f);
    out.effective[kept] = out.advantage[kept] * units;
    out.width[kept] = units > 0 ? static_cast<int64_t>(__builtin_floor(0x1p62 / static_cast<double>(units) + 0.5)) : 0;
    ++kept;
  }
  return whole ? kept : -1;
}

Taken probe(const Units& points, int64_t count, int64_t floor, int64_t threshold) {
  Taken sums{};
  int64_t taken = 0, reaction = 0, high = 0, low = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t g = points.gain[i];
    const int64_t first = -int64_t{points.effective[i] > threshold}, second = -int64_t{-(g * grid) > threshold};
    const int64_t free = -int64_t{g > floor};
    const int64_t priced = first & free & ~second, full = second & free;
    taken -= (first & ~free) | full;  // a point of whom both pieces are taken has the first one taken
    reaction += (points.advantage[i] & (priced | full)) + (grid & full);
    high += (points.width[i] >> 32) & priced;
    low += (points.width[i] & (half - 1)) & priced;
  }
  sums.count = taken;
  sums.reaction = reaction;
  sums.width_high = high;
  sums.width_low = low;
  return sums;
}

int64_t narrow(const Units& points, int64_t count, const Cuts& cuts, const Units& out, Taken& decided) {
  const int64_t floor = cuts.floor, ceiling = cuts.ceiling, bottom = cuts.bottom, top = cuts.top;
  int64_t kept = 0, taken = 0, reaction = 0, high = 0, low = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t g = points.gain[i], a = points.advantage[i], d = points.effective[i], w = points.width[i];
    const int64_t second = -(g * grid);
    const int64_t inside = -int64_t{d > top}, reacting = inside & -int64_t{g > ceiling};
    const int64_t saturated = inside & -int64_t{g <= floor};
    const int64_t full = reacting & -int64_t{second > top}, priced = reacting & -int64_t{second <= bottom};
    taken -= saturated | full;
    reaction += (a & (priced | full)) + (grid & full);
    high += (w >> 32) & priced;
    low += (w & (half - 1)) & priced;
    out.gain[kept] = g;
    out.advantage[kept] = a;
    out.effective[kept] = d;
    out.width[kept] = w;
    kept += int64_t{d > bottom} & ~(saturated | full | priced);
  }
  decided = {taken, reaction, high, low};
  return kept;
}

}  // namespace

const SearchKernels search_kernels = {widen, probe, narrow};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
