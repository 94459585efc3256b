// Exponentials. For translation units compiled per SIMD level.
//
// With AVX2 or AVX-512: exp(x) = 2^(k/8) exp(r) (16 in place of 8), k whole, |r| <= ln 2 / 16. The powers come from a table in a
// register, by one permutation, so that a cubic polynomial does for exp(r). Elsewhere: 2^n times a polynomial of degree 6.
//
// Sums of exponentials have a scale of their own (Reference): the whole power of their reference is taken off while k is found, and the
// numbers themselves are never reduced by it; nor is the polynomial's highest coefficient multiplied with. That is 11 operations with
// the sum's addition, 5 of them fma, in place of 13 and 6. Processors multiply and add on different pipes: both matter.
#pragma once

#include "simd.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

namespace constants {  // of the CPU's alone

using namespace rad_fast::constants;

// The polynomial of constants.hpp divided by exp_3: ((r + square) r + one) r + one, the first step an addition. For
// sums whose scale does not matter.
constexpr float square_eighth = exp_2_eighth / exp_3_eighth;
constexpr float one_eighth = 1.0f / exp_3_eighth;
constexpr float square_sixteenth = exp_2_sixteenth / exp_3_sixteenth;
constexpr float one_sixteenth = 1.0f / exp_3_sixteenth;

// Its powers times a number with which they err little: 2^(j/8) by 5.4e-9 at most, 2^(j/16) by 1.7e-8. With it the exponential of
// what a sum is relative to is about 14: just below 16 the sum's rounding errors are smallest.
constexpr float scaled_eighths[8] = {0x1.277fccp+1f, 0x1.423e82p+1f, 0x1.5f68e6p+1f, 0x1.7f370ep+1f,
                                     0x1.a1e624p+1f, 0x1.c7b8dap+1f, 0x1.f0f7ecp+1f, 0x1.0ef956p+2f};
constexpr float scaled_sixteenths[16] = {0x1.338144p+1f, 0x1.411e8ep+1f, 0x1.4f5626p+1f, 0x1.5e2ee2p+1f,
                                         0x1.6dafe4p+1f, 0x1.7de09ep+1f, 0x1.8ec8dap+1f, 0x1.a070b6p+1f,
                                         0x1.b2e0aep+1f, 0x1.c621a0p+1f, 0x1.da3ccap+1f, 0x1.ef3bd6p+1f,
                                         0x1.02946ep+2f, 0x1.0e0732p+2f, 0x1.19fbb8p+2f, 0x1.2677bep+2f};

// Up to this size logits are taken as they are: 16 / ln 2 times it is far below 2^22, and the whole powers' product
// with an inexact ln 2 leaves |r| within 2e-4 of its bound.
constexpr float near_zero = 8192.0f;

}  // namespace constants

// What sums of exponentials are relative to: a whole power of 2^(1/8) (2^(1/16), 2) near exp(reference). What matters is their ratio to
// the exponential of the row's largest, from the same function; so the power need not be near the largest either, only within
// [-reach_down, reach_up] of it.
struct Reference {
  Float whole, lowest;  // the power, in the form that its use needs; what lies below `lowest` counts as that
};
constexpr float reach_up = 60.0f, reach_down = 40.0f;

#if defined(__AVX2__) && defined(__FMA__)

constexpr bool of_sixteenths = lanes == 16;

// The sum of the table's entry for the lowest bits of k and of k's upper bits as an exponent: 2^(k / lanes), times table[0].
RAD_FAST_INLINE Float power_of_table(Float table, Int k) {
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

// exp(x) for x <= 0: 1 at 0, 0 below exp_lowest.
RAD_FAST_INLINE Float exponential(Float x) {
  using namespace constants;
  Float table, whole = broadcast(whole_numbers);
  for (int j = 0; j < lanes; ++j) table[j] = sixteenths[j * (16 / lanes)];
  asm("" : "+x"(whole));  // one register: the compiler would add its negative
  const Float d = maximum(broadcast(exp_lowest), x);  // in this order NaN stays
  const Float shifted = multiply_add(d, broadcast(lanes * log2_e), whole);
  const Float r = multiply_add(shifted - whole, broadcast(-ln_2 / lanes), d);
  Float near_one = multiply_add(r, broadcast(of_sixteenths ? exp_3_sixteenth : exp_3_eighth),
                                broadcast(of_sixteenths ? exp_2_sixteenth : exp_2_eighth));
  near_one = multiply_add(near_one, r, broadcast(1.0f));
  near_one = multiply_add(near_one, r, broadcast(1.0f));
  return x < exp_lowest ? Float{} : power_of_table(table, (Int)shifted) * near_one;
}

RAD_FAST_INLINE Reference relative_to(Float x) {  // |x| <= near_zero
  using namespace constants;
  Float whole = broadcast(whole_numbers);
  asm("" : "+x"(whole));
  const Float power = multiply_add(x, broadcast(lanes * log2_e), whole) - whole;
  return {whole - power, x + exp_lowest};  // the first is exact
}

// exp(x), relative, as power x near_one, of `n` numbers at a time, every step for all of them before the next: one after another each
// would wait for its own chain of 9 operations, and what waits fills the processor's queue.
template <int n>
RAD_FAST_INLINE void exponential_factors(const Float (&x)[n], const Reference& to, Float (&power)[n], Float (&near_one)[n]) {
  using namespace constants;
  Float shifted[n], r[n], table;
  for (int j = 0; j < lanes; ++j) table[j] = of_sixteenths ? scaled_sixteenths[j] : scaled_eighths[j % 8];
  const Float one = broadcast(of_sixteenths ? one_sixteenth : one_eighth);
  for (int i = 0; i < n; ++i) r[i] = maximum(to.lowest, x[i]);  // in this order NaN stays
  for (int i = 0; i < n; ++i) shifted[i] = multiply_add(r[i], broadcast(lanes * log2_e), to.whole);
  for (int i = 0; i < n; ++i) r[i] = multiply_add(shifted[i] - to.whole, broadcast(-ln_2 / lanes), r[i]);
  for (int i = 0; i < n; ++i) near_one[i] = r[i] + broadcast(of_sixteenths ? square_sixteenth : square_eighth);
  for (int i = 0; i < n; ++i) near_one[i] = multiply_add(near_one[i], r[i], one);
  for (int i = 0; i < n; ++i) near_one[i] = multiply_add(near_one[i], r[i], one);
  for (int i = 0; i < n; ++i) power[i] = power_of_table(table, (Int)shifted[i]);
}

// exp(x), relative: what add_exponentials adds, with what rounding takes from it, since add_exponentials does not round it by itself.
RAD_FAST_INLINE Sum exponential(Float x, const Reference& to) {
  const Float one_of[] = {x};
  Float power[1], near_one[1];
  exponential_factors(one_of, to, power, near_one);
  Sum product;
  product.sum = power[0] * near_one[0];
  product.lost = multiply_add(power[0], near_one[0], -product.sum);
  return product;
}

// exp(x), relative, joins the sums in turn. x - reference <= reach_up, or the sum means nothing; NaN for NaN and for +inf.
template <int n, int sums>
RAD_FAST_INLINE void add_exponentials(const Float (&x)[n], const Reference& to, Float (&sum)[sums]) {
  Float power[n], near_one[n];
  exponential_factors(x, to, power, near_one);
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

// x log2(e) without its whole part n. Without fma n ln 2 is taken off in two parts, the first of them exact.
RAD_FAST_INLINE Float without_powers(Float x, Float n) {
  using namespace constants;
#if defined(__aarch64__)
  return multiply_add(n, broadcast(-ln_2), x) * log2_e;
#else
  return ((x - n * ln_2_high) - n * ln_2_low) * log2_e;
#endif
}

// exp(x) for x <= 0: 1 at 0, 0 below 2^-127, NaN for NaN.
RAD_FAST_INLINE Float exponential(Float x) {
  using namespace constants;
  x = maximum(broadcast(exp2_underflow * ln_2), x);
  const Float n = maximum(broadcast(exp2_underflow), round_down(x * log2_e));
  return exp2_fraction(without_powers(x, n)) * (Float)((__builtin_convertvector(n, Int) + 127) << 23);  // 2^-127 counts as 0
}

RAD_FAST_INLINE Reference relative_to(Float x) {  // |x| <= near_zero
  using namespace constants;
  return {round_down(x * log2_e), x + exp_lowest};
}

// exp(x), relative; x - reference <= reach_up, or it means nothing; NaN for NaN and for +inf.
RAD_FAST_INLINE Sum exponential(Float x, const Reference& to) {
  using namespace constants;
  x = maximum(to.lowest, x);  // in this order NaN stays
  const Float n = round_down(x * log2_e);
  Sum exact;
  exact.sum = exp2_fraction(without_powers(x, n)) * (Float)((__builtin_convertvector(n - to.whole, Int) + 127) << 23);
  return exact;
}

template <int n, int sums>
RAD_FAST_INLINE void add_exponentials(const Float (&x)[n], const Reference& to, Float (&sum)[sums]) {
  for (int i = 0; i < n; ++i) sum[i % sums] += exponential(x[i], to).sum;
}

#endif

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
