// The inclusion probability of half_lanes points: kernels/reference/game.py, probabilities, operation by operation. For
// translation units compiled per SIMD level.
#pragma once

#include "game.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

constexpr double half_unit = 0x1p31;  // units of 2^-62 are handled in two halves of 31 bits

// The equilibrium of each lane's game.
struct Answers {
  Double price, threshold, share;
};

RAD_FAST_INLINE Double taken(Double slope, const Answers& at) {
  return choose(greater(slope, at.threshold), doubles(1.0), keep(equal(slope, at.threshold), at.share));
}

RAD_FAST_INLINE Double probability(const Terms& t, const Answers& at) {
  const Double one = doubles(1.0);
  const Double priced = at.price * (width_units(t.gain) * 0x1p-38);
  // A gain up to the price, zero among them, is saturated; NaN stays to the end.
  const Mask reacting = both(greater(t.gain, at.price), greater(one, priced));
  const Double cap = choose(reacting, priced, one);
  const Double q = taken(t.effective, at) * cap + taken(-t.gain, at) * (one - cap);
  return keep(equal(t.gain, t.gain), q);
}

// The two halves of a probability in units of 2^-62, truncated.
struct Halves {
  Double high, low;
};
RAD_FAST_INLINE Halves halves(Double q) {
  const Double scaled = q * half_unit, high = round_down(scaled);
  return {high, round_down((scaled - high) * half_unit)};
}

// A whole number from 0 to 2^51 as an integer: added to 2^52 it is the lower bits of the float64.
RAD_FAST_INLINE Long integer(Double x) { return (Long)(x + doubles(0x1p52)) ^ (Long)doubles(0x1p52); }

// A probability in units of 2^-62, truncated.
RAD_FAST_INLINE Long truncated_units(Double q) {
#if defined(__AVX512DQ__)
  return (Long)_mm512_cvttpd_epi64((__m512d)(q * 0x1p62));
#elif defined(__AVX2__)
  // The mantissa, moved to its place: shifts by 64 and more, as by what is negative, leave nothing.
  const __m256i bits = (__m256i)q, one = _mm256_set1_epi64x(int64_t{1} << 52), place = _mm256_set1_epi64x(1023 + 52 - 62);
  const __m256i mantissa = _mm256_or_si256(_mm256_and_si256(bits, _mm256_sub_epi64(one, _mm256_set1_epi64x(1))), one);
  const __m256i exponent = _mm256_srli_epi64(bits, 52);
  return (Long)_mm256_or_si256(_mm256_sllv_epi64(mantissa, _mm256_sub_epi64(exponent, place)),
                               _mm256_srlv_epi64(mantissa, _mm256_sub_epi64(place, exponent)));
#else
  const Halves both = halves(q);
  return (integer(both.high) << 31) + integer(both.low);
#endif
}

// Bit k: whether lane k is an undecided point among those that pass.
RAD_FAST_INLINE unsigned undecided_lanes(NarrowInt what) {
  const NarrowInt open = what << 1;  // the sign
#if defined(__AVX512F__)
  return _mm256_movepi32_mask((__m256i)open);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm_movemask_ps((__m128)open));
#else
  unsigned bits = 0;
  for (int k = 0; k < half_lanes; ++k) bits |= static_cast<unsigned>(open[k] < 0) << k;
  return bits;
#endif
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
