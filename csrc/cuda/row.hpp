// One row of logits: elements, the two largest, the sum of exponentials, and what a point gets from them.
//
// The same arithmetic as csrc/cpu/simd.hpp, with the same constants: float32, of differences to the row's maximum taken in
// the logits' own precision. A row's NaN is found by its sum: every element goes through the exponential, which keeps NaN
// (maxima lose it); +inf turns its own difference inf - inf into NaN, a row of -inf likewise.
#pragma once

#include "../constants.hpp"
#include "platform.hpp"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

namespace rad_fast {
namespace cuda {

// greater2, lesser2: of two pairs of numbers in the halves of words, half by half; above2: all bits where the first is above. narrowed: of a
// number that is one of them.
struct Float16 {
  std::uint16_t bits;
  static constexpr std::uint32_t lowest_bits = 0xfc00;  // -inf
#if defined(__CUDA_ARCH__)
  static __device__ __forceinline__ std::uint32_t narrowed(float x) { return __half_as_ushort(__float2half_rn(x)); }
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  static __device__ __forceinline__ std::uint32_t greater2(std::uint32_t a, std::uint32_t b) {
    std::uint32_t out;
    asm("max.f16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
    return out;
  }
  static __device__ __forceinline__ std::uint32_t lesser2(std::uint32_t a, std::uint32_t b) {
    std::uint32_t out;
    asm("min.f16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
    return out;
  }
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  static __device__ __forceinline__ std::uint32_t above2(std::uint32_t a, std::uint32_t b) {
    std::uint32_t out;
    asm("set.gt.u32.f16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
    return out;
  }
#endif
};
struct BFloat16 {
  std::uint16_t bits;
  static constexpr std::uint32_t lowest_bits = 0xff80;  // -inf
#if defined(__CUDA_ARCH__)
  static __device__ __forceinline__ std::uint32_t narrowed(float x) { return bits_as<std::uint32_t>(x) >> 16; }
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  static __device__ __forceinline__ std::uint32_t greater2(std::uint32_t a, std::uint32_t b) {
    std::uint32_t out;
    asm("max.bf16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
    return out;
  }
  static __device__ __forceinline__ std::uint32_t lesser2(std::uint32_t a, std::uint32_t b) {
    std::uint32_t out;
    asm("min.bf16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
    return out;
  }
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  static __device__ __forceinline__ std::uint32_t above2(std::uint32_t a, std::uint32_t b) {
    std::uint32_t out;
    asm("set.gt.u32.bf16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
    return out;
  }
#endif
};

// What elements of a type are compared in.
template <class T>
struct Compared {
  typedef float type;
};
template <>
struct Compared<double> {
  typedef double type;
};

RAD_FAST_BOTH float infinity() { return bits_as<float>(std::uint32_t{0x7f800000u}); }

RAD_FAST_BOTH float widened(float x) { return x; }
RAD_FAST_BOTH double widened(double x) { return x; }
RAD_FAST_BOTH float widened(BFloat16 x) { return bits_as<float>(static_cast<std::uint32_t>(x.bits) << 16); }
RAD_FAST_BOTH float widened(Float16 x) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(x.bits));
#else
  // Exponent and mantissa moved into place; a product with 2^112 corrects the bias, of subnormal numbers too.
  const std::uint32_t magnitude = (x.bits & 0x7fffu) << 13, sign = (x.bits & 0x8000u) << 16;
  const std::uint32_t scaled = bits_as<std::uint32_t>(bits_as<float>(magnitude) * 0x1p112f);
  return bits_as<float>((magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : scaled) | sign);
#endif
}

template <class T>
RAD_FAST_BOTH T minus_infinity();
template <>
RAD_FAST_BOTH float minus_infinity<float>() {
  return -infinity();
}
template <>
RAD_FAST_BOTH double minus_infinity<double>() {
  return -static_cast<double>(infinity());
}
template <>
RAD_FAST_BOTH Float16 minus_infinity<Float16>() {
  return Float16{Float16::lowest_bits};
}
template <>
RAD_FAST_BOTH BFloat16 minus_infinity<BFloat16>() {
  return BFloat16{BFloat16::lowest_bits};
}

// max and min that drop NaN, as fmax and the processors do.
RAD_FAST_BOTH float maximum(float a, float b) { return fmaxf(a, b); }
RAD_FAST_BOTH double maximum(double a, double b) { return fmax(a, b); }
RAD_FAST_BOTH float minimum(float a, float b) { return fminf(a, b); }
RAD_FAST_BOTH double minimum(double a, double b) { return fmin(a, b); }

// -------------------------------------------------------------------------------------------------- elementary functions

// 2^t for t <= 0, NaN for NaN: the polynomial of constants.hpp on the fractional part, the exponent by integer arithmetic.
RAD_FAST_BOTH float power_of_two(float t) {
  using namespace constants;
  t = t < exp2_underflow ? exp2_underflow : t;  // false for NaN, which stays
#if defined(__CUDA_ARCH__)
  // Adding 1.5 * 2^23, rounded down, leaves the integer part in the lower bits: an addition at full rate, where floor and
  // the conversion to an integer run at an eighth of it.
  const float shifted = __fadd_rd(t, 12582912.0f);
  const float f = t - (shifted - 12582912.0f);
  const float scale = __int_as_float((__float_as_int(shifted) << 23) + 0x3f800000);
#else
  const float whole = floorf(t);
  const float f = t - whole;
  const float scale = t != t ? 1.0f : bits_as<float>(static_cast<std::uint32_t>(static_cast<std::int32_t>(whole) + 127) << 23);
#endif
  float p = fmaf(exp2_6, f, exp2_5);
  p = fmaf(p, f, exp2_4);
  p = fmaf(p, f, exp2_3);
  p = fmaf(p, f, exp2_2);
  p = fmaf(p, f, exp2_1);
  p = fmaf(p, f, 1.0f);
  return p * scale;  // t = -127: the bits of scale are 0
}

// exp(x) for x <= 0; log2(e) in two parts, see constants.hpp.
RAD_FAST_BOTH float exponential(float x) { return power_of_two(fmaf(x, constants::log2_e_low, x * constants::log2_e)); }

// 2^t for t <= 0 in sums, where a GPU's own instruction does: it errs by at most 2^-22 of the result, the polynomial by 2^-24,
// and takes one instruction in place of 14. Of 0 it makes 1 just so. What is written of a row, a margin, uses the polynomial.
RAD_FAST_BOTH float summed_power(float t) {
#if defined(__CUDA_ARCH__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(t));
  return power;
#else
  return power_of_two(t);
#endif
}

// exp(x - top) in sums, x <= top. In float64 the product with log2(e) is taken before the one rounding to float32.
RAD_FAST_BOTH float exp_difference(float x, float top) { return summed_power((x - top) * constants::log2_e); }
RAD_FAST_BOTH float exp_difference(double x, double top) {
  return summed_power(static_cast<float>((x - top) * constants::log2_e_double));
}

// log(x) for normal positive x.
RAD_FAST_BOTH float logarithm(float x) {
  using namespace constants;
  const std::int32_t bits = bits_as<std::int32_t>(x);
  const std::int32_t exponent = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3: the bits of sqrt(1/2)
  const float m = bits_as<float>(bits - exponent * (1 << 23));
  const float s = ieee_divide(m - 1.0f, m + 1.0f), s2 = s * s;
  float p = fmaf(log_9, s2, log_7);
  p = fmaf(p, s2, log_5);
  p = fmaf(p, s2, log_3);
  p = fmaf(p * s2, s, s);
  return fmaf(static_cast<float>(exponent), ln_2, p + p);
}

RAD_FAST_BOTH float logit(float p) {
  const float x = fminf(1.0f - constants::logit_clip, fmaxf(constants::logit_clip, p));
  return logarithm(ieee_divide(x, 1.0f - x));
}

RAD_FAST_BOTH float sigmoid(float u) {  // exp of a number <= 0 alone, so that nothing overflows
  const float e = exponential(u < 0.0f ? u : -u);
  return ieee_divide(u < 0.0f ? e : 1.0f, 1.0f + e);
}

// ----------------------------------------------------------------------------------------------------- the two largest

template <class V>
struct TopTwo {
  V first, second;
};

template <class V>
RAD_FAST_BOTH TopTwo<V> no_top() {
  return {minus_infinity<V>(), minus_infinity<V>()};
}

template <class V>
RAD_FAST_BOTH void include(TopTwo<V>& top, V x) {
  top.second = maximum(top.second, minimum(top.first, x));
  top.first = maximum(top.first, x);
}

// The two largest of two disjoint sets, from each one's two largest.
template <class V>
RAD_FAST_BOTH TopTwo<V> merged(TopTwo<V> a, TopTwo<V> b) {
  return {maximum(a.first, b.first), maximum(minimum(a.first, b.first), maximum(a.second, b.second))};
}

constexpr std::int32_t no_label = 0x7fffffff;  // above every label

// -------------------------------------------------------------- what remains of a row, and what a point gets from it

struct Row {
  float sum;           // of exp(z - top); NaN: invalid
  float second;        // second largest - largest
  float given;         // z[given label] - largest; -inf where there is no such class
  std::int32_t label;  // the lowest index among equal maxima
  std::int32_t other;  // the lowest index of the second largest, where it is asked for
};

struct RowScores {
  float margin, confidence;
  std::int32_t label;
};

// 1 / sum and x / sum as IEEE 754 rounds them, of a sum from 1 to 2^31 and x of 0 or from 2^-24 to 1; NaN of a sum that is NaN.
// A device's own division looks for numbers outside these first, and shares nothing between the two.
struct Quotients {
  float one, x;
};

RAD_FAST_BOTH Quotients quotients(float x, float sum) {
#if defined(__CUDA_ARCH__)
  float near;  // to 1 / sum by a unit in its last place
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(near) : "f"(sum));
  const float one = __fmaf_rn(near, __fmaf_rn(-sum, near, 1.0f), near);
  const float quotient = x * one;
  return {one, __fmaf_rn(__fmaf_rn(-sum, quotient, x), one, quotient)};
#else
  return {ieee_divide(1.0f, sum), ieee_divide(x, sum)};
#endif
}

RAD_FAST_BOTH RowScores finished(const Row& row) {
  const bool invalid = row.sum != row.sum;
  const float difference = 1.0f - exponential(row.second);
  // A rounding may bring exp to 1 + 2^-23 just below 0; a margin is not negative. False for NaN, which stays.
  const float gap = difference < 0.0f ? 0.0f : difference;
  const Quotients of = quotients(gap, row.sum);
  return {of.x, of.one, invalid ? -1 : row.label};
}

// Where it is asked for: it takes as long as the other three together.
RAD_FAST_BOTH float given_probability(const Row& row) { return ieee_divide(exponential(row.given), row.sum); }

// 1 - margin in float32: a multiple of 2^-24, on which the game's exact sums rest.
RAD_FAST_BOTH float gain_of(float margin) { return ieee_add(1.0f, -margin); }

// A given gain on the grid: kernels of the host round it in float64, too.
RAD_FAST_BOTH float gain_on_grid(float gain) {
  return static_cast<float>(floor(ieee_add(static_cast<double>(gain) * 0x1p24, 0.5)) * 0x1p-24);
}

// Values: those of rad_fast.kernels.reference.score.Kind and Gain.
enum class Kind : std::int32_t { confidence = 0, constant = 1, given = 2, steps = 3, logistic = 4 };
enum class Gain : std::int32_t { margin = 0, label = 1 };

// Where correctness and gain come from; pointers are to device memory.
struct Rule {
  Kind kind;
  float constant;
  const float* given;       // given: one a row; logistic: the share of neighbours that agree, where `agrees`
  const float* thresholds;  // steps: ascending, `steps` of them
  const float* levels;      // steps: one more; the level of k thresholds at most the margin is levels[k]
  std::int64_t steps;
  float weights[4];  // logistic: 1, logit(teacher's margin), logit(student's probability of the teacher's label),
                     // student's margin
  float low, high;   // logistic: the result is held within
  bool agrees;
  float agreement, neighbours;  // the weight of that share's logit, and of how many neighbours it is
  Gain gain;
  const float* gains;  // one a row, in place of what is computed; may be null
};

RAD_FAST_BOTH float level_of(const Rule& rule, float margin) {
  std::int64_t base = 0, left = rule.steps;
  while (left > 0) {
    const std::int64_t half = (left + 1) / 2;
    base += rule.thresholds[base + half - 1] <= margin ? half : 0;
    left -= half;
  }
  return rule.levels[base];
}

// The logit of a share of neighbours, drawn away from 0 and 1 by half a neighbour.
RAD_FAST_BOTH float logit_of_share(float share, float neighbours) {
  return logit(ieee_divide(fmaf(neighbours, share, 0.5f), neighbours + 1.0f));
}

// The probability that the teacher's label of row `row` is right; `probability`: the student's of it, where there is a student.
RAD_FAST_BOTH float correctness_of(const Rule& rule, std::int64_t row, float teacher_margin, float teacher_confidence,
                                   bool student, float student_margin, float probability) {
  switch (rule.kind) {
    case Kind::confidence: return teacher_confidence;
    case Kind::constant: return rule.constant;
    case Kind::given: return rule.given[row];
    case Kind::steps: return level_of(rule, teacher_margin);
    case Kind::logistic: break;
  }
  float u = fmaf(rule.weights[1], logit(teacher_margin), rule.weights[0]);
  if (student) u = fmaf(rule.weights[3], student_margin, fmaf(rule.weights[2], logit(probability), u));
  if (rule.agrees) u = fmaf(rule.agreement, logit_of_share(rule.given[row], rule.neighbours), u);
  return fminf(rule.high, fmaxf(rule.low, sigmoid(u)));
}

// --------------------------------------------------------------------------------------------------------- width classes

// A row is cut into chunks of 16 bytes from its own start, not from the next multiple of 16 bytes in memory: which element
// is added to which, and so every bit of the result, does not depend on where the row lies.
RAD_FAST_BOTH std::int64_t chunks_of(std::int64_t classes, std::int64_t element_bytes) {
  return (classes * element_bytes + 15) / 16;
}

constexpr std::int64_t tile_chunks = 16;  // rows up to 256 bytes are taken by one thread each, many to a block
constexpr int tile_threads = 128;
constexpr int block_threads = 128;
constexpr int short_threads = 64;  // of rows up to 32 KiB
constexpr std::int64_t short_chunks = 2048;
// Rows from 128 KiB on are summed in 8 parts, by one block or by a cluster of 8: the same additions. 8 is the largest
// cluster that every device of compute capability 9.0 and above runs.
constexpr int long_parts = 8;
constexpr std::int64_t long_chunks = 8192;

enum class Width : int { thread, lanes_4, lanes_8, lanes_16, warp, block, cluster };

// `blocks`: how many keep the device's memory busy. A cluster shares a long row where there are fewer rows: on an H200 clusters
// reach 66 to 86% of a read, however many rows there are, and blocks 95%.
RAD_FAST_BOTH Width width_of(std::int64_t chunks, std::int64_t rows, std::int64_t blocks, bool clusters) {
  if (chunks <= tile_chunks) return Width::thread;
  if (chunks <= 32) return Width::lanes_4;
  if (chunks <= 64) return Width::lanes_8;
  if (chunks <= 128) return Width::lanes_16;
  if (chunks <= 512) return Width::warp;
  return clusters && chunks >= long_chunks && rows < blocks ? Width::cluster : Width::block;
}

}  // namespace cuda
}  // namespace rad_fast
