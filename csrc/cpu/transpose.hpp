// Rows into columns: `lanes` rows of logits become vectors in which lane r holds row r. The unit is 16 bytes of a row, at any
// alignment: 16-byte loads put the rows where one in-lane transposition of 4 x 4 leaves them in order, half the shuffles of
// a transposition of whole registers. For translation units compiled per SIMD level.
#pragma once

#include "simd.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

// 16 bytes each from `from`, from + stride, from + 2 stride, ...: as many as a register holds.
RAD_FAST_INLINE Float gather_quads(const char* from, int64_t stride) {
#if defined(__AVX512F__)
  // A masked broadcast is a load and a blend; insertion would take the shuffle unit, which the transposition needs.
  const auto quad = [=](int k) { return _mm_loadu_ps(reinterpret_cast<const float*>(from + k * stride)); };
  __m512 v = _mm512_castps128_ps512(quad(0));
  v = _mm512_mask_broadcast_f32x4(v, 0x00f0, quad(1));
  v = _mm512_mask_broadcast_f32x4(v, 0x0f00, quad(2));
  return (Float)_mm512_mask_broadcast_f32x4(v, 0xf000, quad(3));
#elif defined(__AVX2__)
  return (Float)_mm256_set_m128(_mm_loadu_ps(reinterpret_cast<const float*>(from + stride)),
                                _mm_loadu_ps(reinterpret_cast<const float*>(from)));
#else
  (void)stride;
  return load<Float>(from);
#endif
}

// Within each 16 bytes: the lower (upper) halves of a and b, interleaved by 4 or by 8 bytes.
#if defined(__AVX512F__)
#define RAD_FAST_UNPACK(V, name, type, suffix) \
  RAD_FAST_INLINE V name(V a, V b) { return (V)_mm512_##suffix((type)a, (type)b); }
RAD_FAST_UNPACK(Float, unpack_low, __m512, unpacklo_ps)
RAD_FAST_UNPACK(Float, unpack_high, __m512, unpackhi_ps)
RAD_FAST_UNPACK(Double, unpack_low, __m512d, unpacklo_pd)
RAD_FAST_UNPACK(Double, unpack_high, __m512d, unpackhi_pd)
#elif defined(__AVX2__)
#define RAD_FAST_UNPACK(V, name, type, suffix) \
  RAD_FAST_INLINE V name(V a, V b) { return (V)_mm256_##suffix((type)a, (type)b); }
RAD_FAST_UNPACK(Float, unpack_low, __m256, unpacklo_ps)
RAD_FAST_UNPACK(Float, unpack_high, __m256, unpackhi_ps)
RAD_FAST_UNPACK(Double, unpack_low, __m256d, unpacklo_pd)
RAD_FAST_UNPACK(Double, unpack_high, __m256d, unpackhi_pd)
#elif defined(__aarch64__)
RAD_FAST_INLINE Float unpack_low(Float a, Float b) { return (Float)vzip1q_f32((float32x4_t)a, (float32x4_t)b); }
RAD_FAST_INLINE Float unpack_high(Float a, Float b) { return (Float)vzip2q_f32((float32x4_t)a, (float32x4_t)b); }
RAD_FAST_INLINE Double unpack_low(Double a, Double b) { return (Double)vzip1q_f64((float64x2_t)a, (float64x2_t)b); }
RAD_FAST_INLINE Double unpack_high(Double a, Double b) { return (Double)vzip2q_f64((float64x2_t)a, (float64x2_t)b); }
#else
RAD_FAST_INLINE Float unpack_low(Float a, Float b) { return Float{a[0], b[0], a[1], b[1]}; }
RAD_FAST_INLINE Float unpack_high(Float a, Float b) { return Float{a[2], b[2], a[3], b[3]}; }
RAD_FAST_INLINE Double unpack_low(Double a, Double b) { return Double{a[0], b[0]}; }
RAD_FAST_INLINE Double unpack_high(Double a, Double b) { return Double{a[1], b[1]}; }
#endif

// Four 4-byte columns of `lanes` rows, `stride` bytes apart: out[j] holds column j, lane r row r.
RAD_FAST_INLINE void transpose_quads(const char* from, int64_t stride, Float out[4]) {
  const Float a = gather_quads(from, 4 * stride), b = gather_quads(from + stride, 4 * stride);
  const Float c = gather_quads(from + 2 * stride, 4 * stride), d = gather_quads(from + 3 * stride, 4 * stride);
  const Double ab_low = (Double)unpack_low(a, b), ab_high = (Double)unpack_high(a, b);
  const Double cd_low = (Double)unpack_low(c, d), cd_high = (Double)unpack_high(c, d);
  out[0] = (Float)unpack_low(ab_low, cd_low);
  out[1] = (Float)unpack_high(ab_low, cd_low);
  out[2] = (Float)unpack_low(ab_high, cd_high);
  out[3] = (Float)unpack_high(ab_high, cd_high);
}

// The first, third, ... (second, fourth, ...) numbers of each 16 bytes of a, then of b.
RAD_FAST_INLINE Float every_first(Float a, Float b) {
#if defined(__AVX512F__)
  return (Float)_mm512_shuffle_ps((__m512)a, (__m512)b, _MM_SHUFFLE(2, 0, 2, 0));
#elif defined(__AVX2__)
  return (Float)_mm256_shuffle_ps((__m256)a, (__m256)b, _MM_SHUFFLE(2, 0, 2, 0));
#else
  return Float{a[0], a[2], b[0], b[2]};
#endif
}
RAD_FAST_INLINE Float every_second(Float a, Float b) {
#if defined(__AVX512F__)
  return (Float)_mm512_shuffle_ps((__m512)a, (__m512)b, _MM_SHUFFLE(3, 1, 3, 1));
#elif defined(__AVX2__)
  return (Float)_mm256_shuffle_ps((__m256)a, (__m256)b, _MM_SHUFFLE(3, 1, 3, 1));
#else
  return Float{a[1], a[3], b[1], b[3]};
#endif
}

// 16 bytes of every row into columns: 4 of float32, 8 of 16 bits (of these no more than hold `count`), 2 of float64.
// Column j starts at columns + j lanes.
RAD_FAST_INLINE void transpose_group(const float* from, int64_t stride, int, float* columns) {
  Float out[4];
  transpose_quads(reinterpret_cast<const char*>(from), stride * 4, out);
  for (int j = 0; j < 4; ++j) store(columns + j * lanes, out[j]);
}
RAD_FAST_INLINE void transpose_group(const bfloat16* from, int64_t stride, int count, float* columns) {
  Float out[4];
  transpose_quads(reinterpret_cast<const char*>(from), stride * 2, out);
  for (int j = 0; j < 4 && 2 * j < count; ++j) {  // each 4-byte unit is two elements, the first in the lower half (little endian)
    store(columns + (2 * j) * lanes, (Float)((Bits)out[j] << 16));
    store(columns + (2 * j + 1) * lanes, (Float)((Bits)out[j] & 0xffff0000u));
  }
}
RAD_FAST_INLINE void transpose_group(const float16* from, int64_t stride, int count, float* columns) {
  Float out[4];
  transpose_quads(reinterpret_cast<const char*>(from), stride * 2, out);
  for (int j = 0; j < 4 && 2 * j < count; ++j) {
    Float first, second;
    from_half_pairs((Bits)out[j], first, second);
    store(columns + (2 * j) * lanes, first);
    store(columns + (2 * j + 1) * lanes, second);
  }
}
RAD_FAST_INLINE void transpose_group(const double* from, int64_t stride, int, double* columns) {
  const char* bytes = reinterpret_cast<const char*>(from);
  for (int half = 0; half < 2; ++half) {
    const char* row = bytes + half * half_lanes * stride * 8;
    const Double a = (Double)gather_quads(row, 2 * stride * 8), b = (Double)gather_quads(row + stride * 8, 2 * stride * 8);
    store(columns + half * half_lanes, unpack_low(a, b));
    store(columns + lanes + half * half_lanes, unpack_high(a, b));
  }
}

// Four columns of `lanes` rows of which each starts elsewhere: row r at rows + r stride + first[r]. Reads a row's four elements alone.
RAD_FAST_INLINE void copy_four(const float* from, float* to) { __builtin_memcpy(to, from, 16); }
RAD_FAST_INLINE void copy_four(const double* from, double* to) { __builtin_memcpy(to, from, 32); }
RAD_FAST_INLINE void copy_four(const bfloat16* from, float* to) {
  typedef std::uint16_t Four __attribute__((vector_size(8)));
  typedef std::uint32_t Wide __attribute__((vector_size(16)));
  store(to, __builtin_convertvector(load<Four>(from), Wide) << 16);
}
RAD_FAST_INLINE void copy_four(const float16* from, float* to) {
#if defined(__F16C__)
  _mm_storeu_ps(to, _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
  for (int k = 0; k < 4; ++k) to[k] = scalar(from[k]);
#endif
}
template <class T>
RAD_FAST_INLINE void four_columns(const T* rows, int64_t stride, Int first, typename Compared<T>::Vector (&out)[4]) {
  using Scalar = typename Compared<T>::Scalar;
  alignas(64) Scalar copy[4 * lanes], columns[4 * lanes];
  for (int r = 0; r < lanes; ++r) {
    std::uint32_t at = static_cast<std::uint32_t>(first[r]);
    asm("" : "+r"(at));  // a scalar: the compiler would multiply vectors to get the addresses
    copy_four(rows + r * stride + at, copy + 4 * r);
  }
  for (int k = 0; k < 4; k += 16 / sizeof(Scalar)) transpose_group(copy + k, 4, 4 - k, columns + k * lanes);
  for (int k = 0; k < 4; ++k) load_lanes(columns + k * lanes, out[k]);
}

// The first `count` columns of `lanes` rows. Reads each row up to the next 16 bytes, and writes that many columns.
template <class T>
RAD_FAST_INLINE void transpose(const T* from, int64_t stride, int count, typename Compared<T>::Scalar* columns) {
  constexpr int group = 16 / sizeof(T);
  for (int j = 0; j < count; j += group) transpose_group(from + j, stride, count - j, columns + j * lanes);
}

// The two columns of `lanes` rows of two classes.
template <class T>
RAD_FAST_INLINE void two_columns(const T* rows, int64_t stride, typename Compared<T>::Vector& x, typename Compared<T>::Vector& y) {
  alignas(64) typename Compared<T>::Scalar columns[16 / sizeof(T) * lanes];
  transpose_group(rows, stride, 2, columns);
  load_lanes(columns, x);
  load_lanes(columns + lanes, y);
}

// The same of rows without gaps: of 16 bits a row is a lane already, of float32 a quarter of the shuffles remain.
RAD_FAST_INLINE void two_columns_dense(const double* rows, Doubles& x, Doubles& y) { two_columns(rows, 2, x, y); }
RAD_FAST_INLINE void two_columns_dense(const float* rows, Float& x, Float& y) {
  const char* bytes = reinterpret_cast<const char*>(rows);
  const Float a = gather_quads(bytes, 32), b = gather_quads(bytes + 16, 32);
  x = every_first(a, b);
  y = every_second(a, b);
}
RAD_FAST_INLINE void two_columns_dense(const bfloat16* rows, Float& x, Float& y) { load_pair(rows, x, y); }
RAD_FAST_INLINE void two_columns_dense(const float16* rows, Float& x, Float& y) { from_half_pairs(load<Bits>(rows), x, y); }

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
