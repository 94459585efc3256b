// The points of a block whose effective gain reaches a bound, found in float32 before anything exact is done: most points
// are neither taken nor undecided, and this is all that is done for them. For translation units compiled per SIMD level.
//
// float32's a g is the exact d rounded once, and rounding keeps order: d >= bound implies a g >= float32(bound). So none is
// missed, and the few that come through below the bound are met by the exact comparison that follows.
#pragma once

#include "game.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

constexpr int64_t sifted_points = 1024;  // at a time: they stay in L1

// Points that came through, with room for what is written past the last one.
struct Sifted {
  alignas(64) float gain[sifted_points + lanes], correctness[sifted_points + lanes];
  alignas(64) int32_t place[sifted_points + lanes];
};

#if defined(__AVX2__) && !defined(__AVX512F__)
// For each set of 8 lanes, its lanes in order: what brings them to the front.
struct Orders {
  alignas(64) std::uint8_t of[256][8];
  constexpr Orders() : of{} {
    for (int set = 0; set < 256; ++set) {
      int found = 0;
      for (int lane = 0; lane < 8; ++lane)
        if (set >> lane & 1) of[set][found++] = static_cast<std::uint8_t>(lane);
    }
  }
};
static constexpr Orders orders;
#endif

// Moves the chosen lanes to the front of `to`; may write all lanes.
RAD_FAST_INLINE void pack(float* to, Float x, unsigned chosen) {
#if defined(__AVX512F__)
  // Into a register first: compressing straight to memory is microcoded on Zen 4.
  store(to, (Float)_mm512_maskz_compress_ps(static_cast<__mmask16>(chosen), (__m512)x));
#elif defined(__AVX2__)
  const __m256i order = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(orders.of[chosen])));
  store(to, (Float)_mm256_permutevar8x32_ps((__m256)x, order));
#else
  for (int k = 0; k < lanes; ++k) {
    *to = x[k];
    to += chosen >> k & 1;
  }
#endif
}

RAD_FAST_INLINE unsigned reaching(Float d, Float bound) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)d, (__m512)bound, _CMP_GE_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)d, (__m256)bound, _CMP_GE_OQ)));
#elif defined(__SSE4_1__)
  return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpge_ps((__m128)d, (__m128)bound)));
#else
  unsigned bits = 0;
  for (int i = 0; i < lanes; ++i) bits |= static_cast<unsigned>(d[i] >= bound[i]) << i;
  return bits;
#endif
}

RAD_FAST_INLINE unsigned set_lanes(Int mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps((__m256)mask));
#elif defined(__SSE4_1__)
  return static_cast<unsigned>(_mm_movemask_ps((__m128)mask));
#else
  unsigned bits = 0;
  for (int k = 0; k < lanes; ++k) bits |= static_cast<unsigned>(mask[k] & 1) << k;
  return bits;
#endif
}

RAD_FAST_INLINE unsigned above(Float a, Float b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
#else
  return reaching(a, b) & ~reaching(b, a);
#endif
}

// Of points first .. first + sifted_points - 1, below `count`, those that may have an effective gain of at least `bound`;
// returns how many. Points left out do not come through.
RAD_FAST_INLINE int64_t sift(const float* gain, const float* correctness, int64_t first, int64_t count, double bound,
                             Sifted& out) {
  const Float least = broadcast(static_cast<float>(bound));
  int64_t found = 0, i = first;
  if (count > first + sifted_points) count = first + sifted_points;
  const auto step = [&](Float g, Float c, unsigned some) RAD_FAST_FORCED {
    const unsigned chosen = reaching((c * 2.0f - 1.0f) * g, least) & some;
    if (!chosen) return;  // where few come through it is nearly always so, where many do hardly ever: foreseen either way
    pack(out.gain + found, g, chosen);
    pack(out.correctness + found, c, chosen);
    pack(reinterpret_cast<float*>(out.place + found), (Float)(counting() + static_cast<int32_t>(i)), chosen);
    found += __builtin_popcount(chosen);
  };
  for (; i + lanes <= count; i += lanes) step(load<Float>(gain + i), load<Float>(correctness + i), ~0u);
  if (i < count) {
    Float g{}, c{};
    __builtin_memcpy(&g, gain + i, static_cast<unsigned>(count - i) * sizeof(float));
    __builtin_memcpy(&c, correctness + i, static_cast<unsigned>(count - i) * sizeof(float));
    step(g, c, (1u << (count - i)) - 1);
  }
  return found;
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
