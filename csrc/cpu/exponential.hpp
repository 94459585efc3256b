// Exponentials of numbers that are not positive. For translation units compiled per SIMD level.
//
// With AVX2 or AVX-512: exp(d) = 2^(k/8) exp(r) (16 in place of 8), k whole, |r| <= ln 2 / 16. The powers come from a table in a
// register, by one permutation, so that three fma do for exp(r); the last multiplication joins the sum's addition. That is
// 12 operations, of which 6 are fma. Elsewhere: 2^n times a polynomial of degree 6, 16 operations.
#pragma once

#include "simd.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

constexpr int at_a_time = 2;  // exponentials: with more of them the registers of AVX2 do not suffice; AVX-512 is no faster

#if defined(__AVX2__) && defined(__FMA__)

RAD_FAST_INLINE Float power_of_table(Int k) {  // 2^(k / lanes) for the whole number in k's lowest bits
  using constants::sixteenths;
  Float table;
  for (int j = 0; j < lanes; ++j) table[j] = sixteenths[j * (16 / lanes)];
  constexpr int shift = lanes == 16 ? 19 : 20;
  // k's bits above the table's go to the exponent; what the lower ones add there is taken off the table beforehand.
  const Int lowered = (Int)table - (counting() << shift);
#if defined(__AVX512F__)
  const Int chosen = (Int)_mm512_permutexvar_epi32((__m512i)k, (__m512i)lowered);
#else
  const Int chosen = (Int)_mm256_permutevar8x32_epi32((__m256i)lowered, (__m256i)k);
#endif
  return (Float)((Bits)chosen + ((Bits)k << shift));
}

// exp(d) as power x near_one, of `n` numbers at a time, every step for all of them before the next: one after another each would
// wait for its own chain of 9 operations, and what waits fills the processor's queue.
template <int n>
RAD_FAST_INLINE void exponential_factors(Float (&d)[n], Float (&power)[n], Float (&near_one)[n]) {
  using namespace constants;
  Float shifted[n], k[n], whole = broadcast(whole_numbers);
  asm("" : "+x"(whole));  // one register: the compiler would add its negative
  for (int i = 0; i < n; ++i) d[i] = maximum(broadcast(exp_lowest), d[i]);  // in this order NaN stays
  for (int i = 0; i < n; ++i) shifted[i] = multiply_add(d[i], broadcast(lanes * log2_e), whole);
  for (int i = 0; i < n; ++i) k[i] = shifted[i] - whole;
  for (int i = 0; i < n; ++i) d[i] = multiply_add(k[i], broadcast(-ln_2 / lanes), d[i]);
  for (int i = 0; i < n; ++i)
    near_one[i] = multiply_add(d[i], broadcast(lanes == 16 ? exp_3_sixteenth : exp_3_eighth),
                               broadcast(lanes == 16 ? exp_2_sixteenth : exp_2_eighth));
  for (int i = 0; i < n; ++i) near_one[i] = multiply_add(near_one[i], d[i], broadcast(1.0f));
  for (int i = 0; i < n; ++i) near_one[i] = multiply_add(near_one[i], d[i], broadcast(1.0f));
  for (int i = 0; i < n; ++i) power[i] = power_of_table((Int)shifted[i]);
}

// exp(x) for x <= 0: 1 at 0, 0 below exp_lowest.
RAD_FAST_INLINE Float exponential(Float x) {
  Float d[] = {x}, power[1], near_one[1];
  exponential_factors(d, power, near_one);
  return x < constants::exp_lowest ? Float{} : power[0] * near_one[0];
}

// exp(x - top) joins the sums in turn, x <= top: exactly 1 for x = top, a number below 2^-124 for any x below top - 86.
template <int n, int sums, class V>
RAD_FAST_INLINE void add_exponentials(const V (&x)[n], V top, Float (&sum)[sums]) {
  Float d[n], power[n], near_one[n];
  for (int i = 0; i < n; ++i) d[i] = difference(x[i], top);
  exponential_factors(d, power, near_one);
  for (int i = 0; i < n; ++i) sum[i % sums] = multiply_add(power[i], near_one[i], sum[i % sums]);
}

#else

// 2^f for 0 <= f <= 1.
RAD_FAST_INLINE Float exp2_fraction(Float f) {
  using namespace constants;
  Float p = multiply_add(broadcast(exp2_6), f, broadcast(exp2_5));
  p = multiply_add(p, f, broadcast(exp2_4));
  p = multiply_add(p, f, broadcast(exp2_3));
  p = multiply_add(p, f, broadcast(exp2_2));
  p = multiply_add(p, f, broadcast(exp2_1));
  return multiply_add(p, f, broadcast(1.0f));
}

// exp(x) for x <= 0: 1 at 0, 0 below 2^-127, NaN for NaN. Without fma n ln 2 is taken off in two parts, the first of them exact.
RAD_FAST_INLINE Float exponential(Float x) {
  using namespace constants;
  x = maximum(broadcast(exp2_underflow * ln_2), x);
  const Float n = maximum(broadcast(exp2_underflow), round_down(x * log2_e));
#if defined(__aarch64__)
  const Float f = multiply_add(n, broadcast(-ln_2), x) * log2_e;
#else
  const Float f = ((x - n * ln_2_high) - n * ln_2_low) * log2_e;
#endif
  return exp2_fraction(f) * (Float)((__builtin_convertvector(n, Int) + 127) << 23);  // 2^-127 counts as 0
}

template <int n, int sums, class V>
RAD_FAST_INLINE void add_exponentials(const V (&x)[n], V top, Float (&sum)[sums]) {
  for (int i = 0; i < n; ++i) sum[i % sums] += exponential(difference(x[i], top));
}

#endif

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
