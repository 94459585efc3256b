// The sums of the search: rad_fast/game/search.py, probed and narrowed. Of whole numbers, so that their order does not matter.
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

// Bit k: lane k of a mask of all bits or none.
RAD_FAST_INLINE unsigned chosen_lanes(Long mask) {
#if defined(__AVX512F__)
  return _mm512_movepi64_mask((__m512i)mask);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_pd((__m256d)mask));
#elif defined(__SSE4_1__)
  return static_cast<unsigned>(_mm_movemask_pd((__m128d)mask));
#else
  unsigned bits = 0;
  for (int k = 0; k < half_lanes; ++k) bits |= static_cast<unsigned>(mask[k] & 1) << k;
  return bits;
#endif
}

// Moves the chosen lanes to the front of `to`; may write all lanes.
RAD_FAST_INLINE void pack(int64_t* to, Long x, unsigned chosen) {
#if defined(__AVX512F__)
  store(to, (Long)_mm512_maskz_compress_epi64(static_cast<__mmask8>(chosen), (__m512i)x));
#elif defined(__AVX2__)
  alignas(32) static constexpr int32_t orders[16][8] = {
      {0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7}, {2, 3, 0, 1, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7},
      {4, 5, 0, 1, 2, 3, 6, 7}, {0, 1, 4, 5, 2, 3, 6, 7}, {2, 3, 4, 5, 0, 1, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7},
      {6, 7, 0, 1, 2, 3, 4, 5}, {0, 1, 6, 7, 2, 3, 4, 5}, {2, 3, 6, 7, 0, 1, 4, 5}, {0, 1, 2, 3, 6, 7, 4, 5},
      {4, 5, 6, 7, 0, 1, 2, 3}, {0, 1, 4, 5, 6, 7, 2, 3}, {2, 3, 4, 5, 6, 7, 0, 1}, {0, 1, 2, 3, 4, 5, 6, 7}};
  store(to, _mm256_permutevar8x32_epi32((__m256i)x, _mm256_load_si256(reinterpret_cast<const __m256i*>(orders[chosen]))));
#else
  for (int k = 0; k < half_lanes; ++k) {
    *to = x[k];
    to += chosen >> k & 1;
  }
#endif
}

int64_t narrow(const Units& points, int64_t count, const Cuts& cuts, const Units& out, Taken& decided) {
  const Long floor = cuts.floor - Long{}, ceiling = cuts.ceiling - Long{};
  const Long bottom = cuts.bottom - Long{}, top = cuts.top - Long{};
  int64_t kept = 0;
  Long taken{}, reaction{}, high{}, low{};
  const auto step = [&](Long g, Long a, Long d, Long w, Long here) RAD_FAST_FORCED {
    const Long second = -(g << 24);
    const Long inside = here & (d > top), reacting = inside & (g > ceiling);
    const Long saturated = inside & (g <= floor), full = reacting & (second > top), priced = reacting & (second <= bottom);
    taken -= saturated | full;
    reaction += (a & (priced | full)) + (grid & full);
    high += (w >> 32) & priced;
    low += (w & (half - 1)) & priced;
    const unsigned chosen = chosen_lanes(here & (d > bottom) & ~(saturated | full | priced));
    pack(out.gain + kept, g, chosen);
    pack(out.advantage + kept, a, chosen);
    pack(out.effective + kept, d, chosen);
    pack(out.width + kept, w, chosen);
    kept += __builtin_popcount(chosen);
  };
  int64_t i = 0;
  for (; i + half_lanes <= count; i += half_lanes)
    step(load<Long>(points.gain + i), load<Long>(points.advantage + i), load<Long>(points.effective + i),
         load<Long>(points.width + i), ~Long{});
  if (i < count) {
    Long last[4]{}, here{};
    const int64_t* const fields[] = {points.gain, points.advantage, points.effective, points.width};
    for (int field = 0; field < 4; ++field)
      for (int k = 0; k < count - i; ++k) last[field][k] = fields[field][i + k];
    for (int k = 0; k < count - i; ++k) here[k] = -1;
    step(last[0], last[1], last[2], last[3], here);
  }
  decided = {};
  for (int k = 0; k < half_lanes; ++k) {
    decided.count += taken[k];
    decided.reaction += reaction[k];
    decided.width_high += high[k];
    decided.width_low += low[k];
  }
  return kept;
}

}  // namespace

const SearchKernels search_kernels = {widen, probe, narrow};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
