// From rows of logits of one type to their scores. Each type is instantiated in a file of its own (rows_float32.cpp, ...): they
// take a compiler longest. For translation units compiled per SIMD level.
//
// Three ways through a row, by its length and type alone, so that its result does not depend on its neighbours, the number
// of threads or the chunk it came in:
//   C <= lane_classes     `lanes` rows are transposed into columns; every lane follows its own row, no horizontal step
//                         (short_rows.hpp).
//   10 rows fit half L1   up to `lanes` rows one after another, with vectors along the row: first the maxima of all of them,
//                         then the sums of all while they are in L1; what is left per row is reduced across lanes together
//                         (long_rows.hpp, as the next).
//   longer                a row in blocks that stay in L1, two passes over a block, sums rescaled when the maximum rises.
// NaN is found by its sum: every element goes through the exponential, which keeps NaN (maxima lose it). +inf turns its own
// difference inf - inf into NaN, a row of -inf likewise.
#pragma once

#include "long_rows.hpp"
#include "score.hpp"
#include "short_rows.hpp"
#include "tile.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

#define RAD_FAST_ROWS(name)                                                                                                 \
  void score_##name(const Logits& z, int64_t first, int64_t count, const int32_t* given, const Scores& out, Invalid& invalid)
RAD_FAST_ROWS(float64);
RAD_FAST_ROWS(float32);
RAD_FAST_ROWS(float16);
RAD_FAST_ROWS(bfloat16);

RAD_FAST_INLINE void store_some(float* to, Float v, int count) {
  if (count == lanes)
    store(to, v);
  else
    __builtin_memcpy(to, &v, static_cast<unsigned long>(count) * sizeof(float));
}

RAD_FAST_INLINE void finish(const Tile& tile, int count, int64_t row, bool with_given, const Scores& out, int64_t at,
                            Invalid& invalid) {
  const Float sum = load<Float>(tile.sum), lost = load<Float>(tile.lost);
  // 1 / (sum + lost): one step of Newton's iteration on 1 / sum takes `lost` in.
  const Float estimate = 1.0f / sum;
  const Float inverse = multiply_add(estimate, multiply_add(-sum, estimate, broadcast(1.0f)) - lost * estimate, estimate);
  // A rounding may bring exp to 1 + 2^-23 just below 0, but a margin is not negative. In this order NaN stays.
  const Float second = minimum(broadcast(1.0f), exponential(load<Float>(tile.second)));
  const Float margin = multiply_add(-second, inverse, inverse);
  const Int wrong = sum != sum;
  store_some(out.margin + at, margin, count);
  store_some(out.confidence + at, inverse, count);
  store_some(reinterpret_cast<float*>(out.label + at), (Float)(load<Int>(tile.label) | wrong), count);
  if (with_given) store_some(out.given_probability + at, exponential(load<Float>(tile.given)) * inverse, count);
  const unsigned valid = equal_lanes(sum, sum) | ~0u << count;
  if (valid == ~0u) return;
  for (int r = 0; r < count; ++r) {
    if (valid >> r & 1) continue;
    if (invalid.count++ == 0) invalid.first = row + r;
  }
}

template <class T>
RAD_FAST_INLINE void score_rows(const Logits& z, int64_t first, int64_t count, const int32_t* given, const Scores& out, Invalid& invalid) {
  const T* data = static_cast<const T*>(z.data);
  const int64_t stride = z.row_stride;
  const int64_t last_row = stride > 0 ? z.rows - 1 : 0;  // the one highest in memory
  const int64_t highest = last_row * stride + z.classes;  // elements from `data` to the end of the array
  const int64_t padded = padded_classes<T>(z.classes);
  const int64_t fitting = batch_bytes / (z.classes * int64_t{sizeof(T)});
  const bool in_lanes = z.classes <= lane_classes;
  const bool in_batches = !in_lanes && fitting >= batch_least;
  const int64_t step = in_batches && fitting < lanes ? fitting : lanes;
  Tile tile{};
  for (int64_t at = 0; at < count; at += step) {
    const int tile_rows = static_cast<int>(count - at < step ? count - at : step);
    const int64_t row = first + at;
    const T* rows = data + row * stride;
    const int32_t* tile_given = given ? given + at : nullptr;
    if (in_lanes) {
      const int64_t top_of_tile = (stride > 0 ? row + lanes - 1 : row) * stride + padded;
      score_short(rows, stride, static_cast<int>(z.classes), tile_rows == lanes && top_of_tile <= highest, tile_given,
                  tile_rows, out.other != nullptr, tile);
      if (out.other) store_some(reinterpret_cast<float*>(out.other + at), load<Float>(tile.other), tile_rows);
    } else if (in_batches) {
      score_batch(rows, stride, static_cast<int>(z.classes), tile_given, tile_rows, tile);
    } else {
      for (int r = 0; r < tile_rows; ++r)
        score_long(rows + r * stride, z.classes, tile, r, tile_given ? tile_given + r : nullptr);
    }
    finish(tile, tile_rows, row, given != nullptr, out, at, invalid);
  }
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
