// The likeliest class of a row besides its label: kernels/reference/score.py, likeliest_other. The rows were scored just
// before, and come from the cache. For translation units compiled per SIMD level.
#pragma once

#include "score.hpp"
#include "short_rows.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

constexpr int other_classes = 256;  // as kernels/reference/score.py, OTHERS: the class fits a byte

// `lanes` rows in columns, every lane its own row; a label of -1 rules no class out.
template <class T>
RAD_FAST_INLINE Int others_in_lanes(const T* rows, int64_t stride, int classes, Int label) {
  alignas(64) float columns[other_classes * lanes];
  transpose(rows, stride, classes, columns);
  Float best = broadcast(-infinity);
  Int other = label == 0 ? broadcast(int32_t{1}) : Int{};  // where all others are ruled out: the first of them
  Int j{};
  for (int c = 0; c < classes; ++c, j += 1) {
    const Float x = j == label ? broadcast(-infinity) : load<Float>(columns + c * lanes);
    other = where_greater(x, best, j, other);
    best = maximum(best, x);
  }
  return other;
}

RAD_FAST_INLINE Int others_in_lanes(const double* rows, int64_t stride, int classes, Int label) {
  Int other{};
  for (int r = 0; r < lanes; ++r) {
    const double* row = rows + r * stride;
    double best = -__builtin_inf();
    int32_t at = label[r] == 0;
    for (int c = 0; c < classes; ++c) {
      if (c == label[r] || !(row[c] > best)) continue;
      best = row[c];
      at = c;
    }
    other[r] = at;
  }
  return other;
}

template <class T>
void likeliest_others(const Logits& z, int64_t first, int64_t count, const int32_t* label, std::uint8_t* out) {
  const T* data = static_cast<const T*>(z.data);
  const int64_t stride = z.row_stride, padded = padded_classes<T>(z.classes);
  const int64_t highest = (stride > 0 ? z.rows - 1 : 0) * stride + z.classes;
  alignas(64) char copy[lanes * other_classes * sizeof(T)];
  for (int64_t at = 0; at < count; at += lanes) {
    const int64_t row = first + at, some = count - at < lanes ? count - at : lanes;
    const T* rows = data + row * stride;
    const bool whole = some == lanes && (stride > 0 ? row + lanes - 1 : row) * stride + padded <= highest;
    if (!whole) {  // reading whole groups would pass the end of the array: the same on a padded copy
      __builtin_memset(copy, 0, static_cast<unsigned long>(lanes * padded) * sizeof(T));
      for (int64_t r = 0; r < some; ++r)
        __builtin_memcpy(copy + r * padded * int64_t{sizeof(T)}, rows + r * stride,
                         static_cast<unsigned long>(z.classes) * sizeof(T));
    }
    Int labels = broadcast(int32_t{-1});
    if (label) __builtin_memcpy(&labels, label + at, static_cast<unsigned long>(some) * sizeof(int32_t));
    const Int other = whole ? others_in_lanes(rows, stride, static_cast<int>(z.classes), labels)
                            : others_in_lanes(reinterpret_cast<const T*>(copy), padded, static_cast<int>(z.classes), labels);
    for (int64_t r = 0; r < some; ++r) out[at + r] = static_cast<std::uint8_t>(other[r]);
  }
}

RAD_FAST_INLINE void likeliest_others(const Logits& z, int64_t first, int64_t count, const int32_t* label, std::uint8_t* out) {
  switch (z.dtype) {
    case DType::float64: return likeliest_others<double>(z, first, count, label, out);
    case DType::float32: return likeliest_others<float>(z, first, count, label, out);
    case DType::float16: return likeliest_others<float16>(z, first, count, label, out);
    case DType::bfloat16: return likeliest_others<bfloat16>(z, first, count, label, out);
  }
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
