// Vectors of `lanes` numbers for the level that this translation unit is compiled for: 16 with AVX-512, 8 with AVX2, 4 with
// SSE4, NEON and elsewhere. Plain arithmetic is written with GCC's vector extensions; intrinsics only where those cannot say it.
// Everything is in the level's namespace and forced inline (see dispatch.hpp for why).
#pragma once

#if !defined(RAD_FAST_LEVEL)
#error "simd.hpp is for translation units compiled per SIMD level"
#endif

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "../constants.hpp"

#if defined(RAD_FAST_SANITIZED)
#define RAD_FAST_FORCED  // whole rows in one function take compilers minutes under sanitizers
#else
#define RAD_FAST_FORCED __attribute__((always_inline))
#endif
#define RAD_FAST_INLINE static inline RAD_FAST_FORCED
#define RAD_FAST_APART static __attribute__((noinline))
#define RAD_FAST_MEMBER inline RAD_FAST_FORCED

namespace rad_fast {
namespace RAD_FAST_LEVEL {

using std::int32_t;
using std::int64_t;

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX2__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif
constexpr int half_lanes = lanes / 2;

typedef float Float __attribute__((vector_size(lanes * 4)));
typedef int32_t Int __attribute__((vector_size(lanes * 4)));
typedef std::uint32_t Bits __attribute__((vector_size(lanes * 4)));
typedef std::uint16_t HalfBits __attribute__((vector_size(lanes * 2)));
typedef std::uint8_t Bytes __attribute__((vector_size(lanes)));
typedef double Double __attribute__((vector_size(lanes * 4)));  // half_lanes of them
typedef int64_t Long __attribute__((vector_size(lanes * 4)));
typedef float NarrowFloat __attribute__((vector_size(lanes * 2)));  // half_lanes of them
typedef int32_t NarrowInt __attribute__((vector_size(lanes * 2)));

// `lanes` float64 numbers, and the indices that go with them, as two registers.
struct Doubles {
  Double low, high;
};
struct Longs {
  Long low, high;
};

// Storage types of 16-bit logits.
struct float16 {
  std::uint16_t bits;
};
struct bfloat16 {
  std::uint16_t bits;
};

// What a row of T is compared in: float64 for float64, else float32.
template <class T>
struct Compared {
  using Scalar = float;
  using Vector = Float;
  using Index = Int;
};
template <>
struct Compared<double> {
  using Scalar = double;
  using Vector = Doubles;
  using Index = Longs;
};

// ---------------------------------------------------------------------------------------------------- loads, broadcasts

template <class V>
RAD_FAST_INLINE V load(const void* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
template <class V>
RAD_FAST_INLINE void store(void* to, V v) {
  __builtin_memcpy(to, &v, sizeof v);
}

RAD_FAST_INLINE Float broadcast(float x) { return x - Float{}; }  // x - 0 is x for every x, -0 and NaN included
RAD_FAST_INLINE Int broadcast(int32_t x) { return x - Int{}; }
RAD_FAST_INLINE Doubles broadcast(double x) { return {x - Double{}, x - Double{}}; }

RAD_FAST_INLINE Int counting() {  // 0, 1, 2, ...
  Int v{};
  for (int i = 0; i < lanes; ++i) v[i] = i;
  return v;
}

RAD_FAST_INLINE void set(Int& v, int32_t x) { v = broadcast(x); }
RAD_FAST_INLINE void set(Longs& v, int32_t x) { v.low = v.high = static_cast<int64_t>(x) - Long{}; }
RAD_FAST_INLINE void set(Float& v, float x) { v = broadcast(x); }
RAD_FAST_INLINE void set(Doubles& v, double x) { v = broadcast(x); }

RAD_FAST_INLINE void load_lanes(const float* from, Float& v) { v = load<Float>(from); }
RAD_FAST_INLINE void load_lanes(const double* from, Doubles& v) {
  v = {load<Double>(from), load<Double>(from + half_lanes)};
}
RAD_FAST_INLINE void store_lanes(float* to, Float v) { store(to, v); }
RAD_FAST_INLINE void store_lanes(double* to, Doubles v) {
  store(to, v.low);
  store(to + half_lanes, v.high);
}

// ------------------------------------------------------------------------------------------------------ float32 arithmetic

RAD_FAST_INLINE Float multiply_add(Float a, Float b, Float c) {  // a b + c: one rounding where the level has fma, else two
#if defined(__AVX512F__)
  return (Float)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (Float)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (Float)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

// Where a or b is NaN, maximum and minimum return b or NaN: what processors do in one instruction.
RAD_FAST_INLINE Float maximum(Float a, Float b) {
#if defined(__AVX512F__)
  return (Float)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Float)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE4_1__)
  return (Float)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__aarch64__)
  return (Float)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
  return a > b ? a : b;
#endif
}
RAD_FAST_INLINE Float minimum(Float a, Float b) {
#if defined(__AVX512F__)
  return (Float)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Float)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE4_1__)
  return (Float)_mm_min_ps((__m128)a, (__m128)b);
#elif defined(__aarch64__)
  return (Float)vminq_f32((float32x4_t)a, (float32x4_t)b);
#else
  return a < b ? a : b;
#endif
}

RAD_FAST_INLINE Float round_down(Float x) {
#if defined(__AVX512F__)
  return (Float)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (Float)_mm256_floor_ps((__m256)x);
#elif defined(__SSE4_1__)
  return (Float)_mm_floor_ps((__m128)x);
#elif defined(__aarch64__)
  return (Float)vrndmq_f32((float32x4_t)x);
#else
  const Float truncated = __builtin_convertvector(__builtin_convertvector(x, Int), Float);
  return truncated > x ? truncated - 1.0f : truncated;
#endif
}

// log(x) for normal positive x.
RAD_FAST_INLINE Float logarithm(Float x) {
  using namespace constants;
  // Taking the bits of sqrt(1/2) off brings the exponent of x / sqrt(1/2) into the upper bits, and so m into [sqrt 1/2, sqrt 2).
  const Int shifted = (Int)x - (Int)broadcast(sqrt_half);
  const Int exponent = shifted >> 23;       // arithmetic
  const Float m = (Float)((Int)x - (exponent << 23));
  const Float s = (m - 1.0f) / (m + 1.0f);
  const Float s2 = s * s;
  Float p = multiply_add(broadcast(log_9), s2, broadcast(log_7));
  p = multiply_add(p, s2, broadcast(log_5));
  p = multiply_add(p, s2, broadcast(log_3));
  p = multiply_add(p * s2, s, s);
  return multiply_add(__builtin_convertvector(exponent, Float), broadcast(ln_2), p + p);
}

// A sum as two floats, sum + lost: what rounding takes from `sum` is kept (Knuth's two-sum, exact in any order of size).
struct Sum {
  Float sum{}, lost{};
  RAD_FAST_MEMBER void add(Float x) {
    const Float next = sum + x, added = next - sum;
    lost += (sum - (next - added)) + (x - added);
    sum = next;
  }
};

// --------------------------------------------------------------- the operations of a row, for float32 and float64 alike

RAD_FAST_INLINE Double maximum(Double a, Double b) {
#if defined(__AVX512F__)
  return (Double)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__)
  return (Double)_mm256_max_pd((__m256d)a, (__m256d)b);
#else
  return a > b ? a : b;
#endif
}
RAD_FAST_INLINE Double minimum(Double a, Double b) {
#if defined(__AVX512F__)
  return (Double)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__)
  return (Double)_mm256_min_pd((__m256d)a, (__m256d)b);
#else
  return a < b ? a : b;
#endif
}
RAD_FAST_INLINE Doubles maximum(Doubles a, Doubles b) { return {maximum(a.low, b.low), maximum(a.high, b.high)}; }
RAD_FAST_INLINE Doubles minimum(Doubles a, Doubles b) { return {minimum(a.low, b.low), minimum(a.high, b.high)}; }

RAD_FAST_INLINE NarrowFloat narrow(Double x) {
#if defined(__AVX512F__)
  return (NarrowFloat)_mm512_cvtpd_ps((__m512d)x);
#elif defined(__AVX2__)
  return (NarrowFloat)_mm256_cvtpd_ps((__m256d)x);
#else
  return __builtin_convertvector(x, NarrowFloat);
#endif
}

template <class Wide, class Half>
RAD_FAST_INLINE Wide join(Half low, Half high) {
#if defined(__AVX512F__)
  return (Wide)_mm512_insertf64x4(_mm512_castpd256_pd512((__m256d)low), (__m256d)high, 1);
#elif defined(__AVX2__)
  return (Wide)_mm256_set_m128((__m128)high, (__m128)low);
#else
  Wide v;
  __builtin_memcpy(&v, &low, sizeof low);
  __builtin_memcpy(reinterpret_cast<char*>(&v) + sizeof low, &high, sizeof high);
  return v;
#endif
}

// x - top as float32: subtracted in the row's own precision, rounded once.
RAD_FAST_INLINE Float difference(Float x, Float top) { return x - top; }
RAD_FAST_INLINE Float difference(Doubles x, Doubles top) {
  return join<Float>(narrow(x.low - top.low), narrow(x.high - top.high));
}

// The index `j` in the lanes where x > y (x == y), else what was there.
// As float32: AVX2's blend of these leaves the shuffle unit to the transposition.
RAD_FAST_INLINE Int where_greater(Float x, Float y, Int j, Int otherwise) { return (Int)(x > y ? (Float)j : (Float)otherwise); }
RAD_FAST_INLINE Longs where_greater(Doubles x, Doubles y, Longs j, Longs otherwise) {
  return {x.low > y.low ? j.low : otherwise.low, x.high > y.high ? j.high : otherwise.high};
}
RAD_FAST_INLINE Float where_greater(Float x, Float y, Float a, Float otherwise) { return x > y ? a : otherwise; }
RAD_FAST_INLINE Doubles where_greater(Doubles x, Doubles y, Doubles a, Doubles otherwise) {
  return {x.low > y.low ? a.low : otherwise.low, x.high > y.high ? a.high : otherwise.high};
}
RAD_FAST_INLINE Int where_equal(Float x, Float y, Int j, Int otherwise) { return x == y ? j : otherwise; }
RAD_FAST_INLINE Float where_equal(Float x, Float y, Float a, Float otherwise) { return x == y ? a : otherwise; }
RAD_FAST_INLINE Doubles where_equal(Doubles x, Doubles y, Doubles a, Doubles otherwise) {
  return {x.low == y.low ? a.low : otherwise.low, x.high == y.high ? a.high : otherwise.high};
}
RAD_FAST_INLINE Longs where_equal(Doubles x, Doubles y, Longs j, Longs otherwise) {
  return {x.low == y.low ? j.low : otherwise.low, x.high == y.high ? j.high : otherwise.high};
}

RAD_FAST_INLINE Int where_same(Int a, Int b, Int j, Int otherwise) { return a == b ? j : otherwise; }
RAD_FAST_INLINE Longs where_same(Longs a, Longs b, Longs j, Longs otherwise) {
  return {a.low == b.low ? j.low : otherwise.low, a.high == b.high ? j.high : otherwise.high};
}

RAD_FAST_INLINE void load_index(const void* from, Int& v) { v = load<Int>(from); }  // `lanes` int32
RAD_FAST_INLINE void load_index(const void* from, Longs& v) {
  v.low = __builtin_convertvector(load<NarrowInt>(from), Long);
  v.high = __builtin_convertvector(load<NarrowInt>(static_cast<const char*>(from) + sizeof(NarrowInt)), Long);
}

RAD_FAST_INLINE Int plus(Int a, Int b) { return a + b; }
RAD_FAST_INLINE Longs plus(Longs a, Longs b) { return {a.low + b.low, a.high + b.high}; }
RAD_FAST_INLINE Float minus(Float a, Float b) { return a - b; }
RAD_FAST_INLINE Doubles minus(Doubles a, Doubles b) { return {a.low - b.low, a.high - b.high}; }
RAD_FAST_INLINE Int minus(Int a, Int b) { return a - b; }
RAD_FAST_INLINE Longs minus(Longs a, Longs b) { return {a.low - b.low, a.high - b.high}; }
RAD_FAST_INLINE Int lesser(Int a, Int b) { return a < b ? a : b; }
RAD_FAST_INLINE Longs lesser(Longs a, Longs b) {
  return {a.low < b.low ? a.low : b.low, a.high < b.high ? a.high : b.high};
}
// Numbers from 0 to 255. The compiler would take them one by one.
RAD_FAST_INLINE Bytes bytes_of(Int x) {
#if defined(__AVX512F__)
  return (Bytes)_mm512_cvtepi32_epi8((__m512i)x);
#elif defined(__AVX2__)
  const __m128i pairs = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
  const __m128i packed = _mm_packus_epi16(pairs, pairs);
  return load<Bytes>(&packed);
#else
  return __builtin_convertvector(x, Bytes);
#endif
}

RAD_FAST_INLINE Int whole_number(Float a) { return __builtin_convertvector(a, Int); }
RAD_FAST_INLINE Longs whole_number(Doubles a) { return {__builtin_convertvector(a.low, Long), __builtin_convertvector(a.high, Long)}; }
RAD_FAST_INLINE Int to_int(Int a) { return a; }
RAD_FAST_INLINE Int to_int(Longs a) {
  return join<Int>(__builtin_convertvector(a.low, NarrowInt), __builtin_convertvector(a.high, NarrowInt));
}

// NaN, which equals nothing, in the lanes of the mask `out`.
RAD_FAST_INLINE Float rule_out(Float x, Int out) { return (Float)((Int)x | out); }
RAD_FAST_INLINE Doubles rule_out(Doubles x, Int out) {
  NarrowInt low, high;
  __builtin_memcpy(&low, &out, sizeof low);
  __builtin_memcpy(&high, reinterpret_cast<const char*>(&out) + sizeof low, sizeof high);
  return {(Double)((Long)x.low | __builtin_convertvector(low, Long)), (Double)((Long)x.high | __builtin_convertvector(high, Long))};
}

// Bit i: a[i] == b[i].
RAD_FAST_INLINE unsigned equal_lanes(Float a, Float b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_EQ_OQ)));
#elif defined(__SSE4_1__)
  return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpeq_ps((__m128)a, (__m128)b)));
#else
  unsigned bits = 0;
  for (int i = 0; i < lanes; ++i) bits |= static_cast<unsigned>(a[i] == b[i]) << i;
  return bits;
#endif
}
RAD_FAST_INLINE unsigned equal_lanes(Double a, Double b) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_EQ_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_EQ_OQ)));
#else
  unsigned bits = 0;
  for (int i = 0; i < half_lanes; ++i) bits |= static_cast<unsigned>(a[i] == b[i]) << i;
  return bits;
#endif
}
RAD_FAST_INLINE unsigned equal_lanes(Doubles a, Doubles b) {
  return equal_lanes(a.low, b.low) | equal_lanes(a.high, b.high) << half_lanes;
}

// x where its position is at least `first`, else -inf.
RAD_FAST_INLINE Float keep_from(Float x, Int position, int32_t first) {
  return position >= first ? x : broadcast(-__builtin_inff());
}
RAD_FAST_INLINE Doubles keep_from(Doubles x, Longs position, int32_t first) {
  const Double none = -__builtin_inf() - Double{};
  return {position.low >= int64_t{first} ? x.low : none, position.high >= int64_t{first} ? x.high : none};
}

// ------------------------------------------------------------------------------------------- 16-bit and 64-bit elements

// float16 bits in the lower half of each lane to float32, by integer arithmetic: exponent and mantissa are moved into place,
// and a product with 2^112 corrects the bias, for subnormal numbers too; exponent 31 (inf, NaN) is put back by hand.
RAD_FAST_INLINE Float from_half_bits(Bits h) {
  const Bits magnitude = (h & 0x7fffu) << 13;
  const Bits scaled = (Bits)((Float)magnitude * 0x1p112f);
  const Bits finite_or_not = magnitude >= 0x0f800000u ? (magnitude | 0x7f800000u) : scaled;
  return (Float)(finite_or_not | ((h & 0x8000u) << 16));
}

// Two float16 a lane, the first in the lower half, to float32.
RAD_FAST_INLINE void from_half_pairs(Bits pairs, Float& first, Float& second) {
#if defined(__AVX512F__)
  first = (Float)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)pairs));
  second = (Float)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)(pairs >> 16)));
#elif defined(__AVX2__) && defined(__F16C__)
  // Within 16 bytes the first of each pair move down and the second up; then all first into the lower half.
  const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,  //
                                         0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  const __m256i apart = _mm256_permute4x64_epi64(_mm256_shuffle_epi8((__m256i)pairs, order), _MM_SHUFFLE(3, 1, 2, 0));
  first = (Float)_mm256_cvtph_ps(_mm256_castsi256_si128(apart));
  second = (Float)_mm256_cvtph_ps(_mm256_extracti128_si256(apart, 1));
#elif defined(__aarch64__)
  first = (Float)vcvt_f32_f16((float16x4_t)vmovn_u32((uint32x4_t)pairs));
  second = (Float)vcvt_f32_f16((float16x4_t)vshrn_n_u32((uint32x4_t)pairs, 16));
#else
  first = from_half_bits(pairs & 0xffffu);
  second = from_half_bits(pairs >> 16);
#endif
}

RAD_FAST_INLINE float scalar(float x) { return x; }
RAD_FAST_INLINE double scalar(double x) { return x; }
RAD_FAST_INLINE float scalar(bfloat16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
RAD_FAST_INLINE float scalar(float16 x) { return from_half_bits(Bits{x.bits})[0]; }

// 2 lanes elements from `from` on, as two vectors; position() says which element each lane holds.
RAD_FAST_INLINE void load_pair(const float* from, Float& a, Float& b) {
  a = load<Float>(from);
  b = load<Float>(from + lanes);
}
RAD_FAST_INLINE void load_pair(const double* from, Doubles& a, Doubles& b) {
  load_lanes(from, a);
  load_lanes(from + lanes, b);
}
RAD_FAST_INLINE void load_pair(const bfloat16* from, Float& a, Float& b) {  // even and odd elements: no shuffle is needed
  const Bits both = load<Bits>(from);
  a = (Float)(both << 16);
  b = (Float)(both & 0xffff0000u);
}
RAD_FAST_INLINE Float load_half(const float16* from) {
#if defined(__AVX512F__)
  return (Float)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__F16C__)
  return (Float)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(__aarch64__)
  return (Float)vcvt_f32_f16((float16x4_t)load<HalfBits>(from));
#else
  return from_half_bits(__builtin_convertvector(load<HalfBits>(from), Bits));
#endif
}
RAD_FAST_INLINE void load_pair(const float16* from, Float& a, Float& b) {
  a = load_half(from);
  b = load_half(from + lanes);
}

RAD_FAST_INLINE void set_positions(Int& v, int32_t first, int32_t step) { v = counting() * step + first; }
RAD_FAST_INLINE void set_positions(Longs& v, int32_t first, int32_t step) {
  for (int i = 0; i < half_lanes; ++i) {
    v.low[i] = first + step * i;
    v.high[i] = first + step * (half_lanes + i);
  }
}
template <class T, class Index>
RAD_FAST_INLINE void pair_positions(const T*, Index& a, Index& b) {
  set_positions(a, 0, 1);
  set_positions(b, lanes, 1);
}
template <class Index>
RAD_FAST_INLINE void pair_positions(const bfloat16*, Index& a, Index& b) {
  set_positions(a, 0, 2);
  set_positions(b, 1, 2);
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
