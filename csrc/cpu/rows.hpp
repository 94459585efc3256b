// From rows of logits of one type to their scores. Each type is instantiated in a file of its own (rows_float32.cpp, ...): they
// take a compiler longest. For translation units compiled per SIMD level.
//
// Three ways through a row, by its length, type and numbers alone, so that its result does not depend on its neighbours, the number
// of threads or the chunk it came in:
//   C <= lane_classes     `lanes` rows are transposed into columns; every lane follows its own row, no horizontal step
//                         (short_rows.hpp).
//   longer                vectors along the row, in one pass; what is left per row is reduced across lanes for `lanes` rows together
//                         (long_rows.hpp, as the next).
//   longer, of float64, or with numbers far from 0 or from the row's first
//                         in blocks that stay in L1, two passes over a block, sums rescaled when the maximum rises.
// NaN is found by its sum: every element goes through the exponential, which keeps NaN (maxima lose it) and makes NaN of +inf. A row of
// -inf has its difference from the maximum, NaN, in its sum.
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
  const Float sum = load<Float>(tile.sum), lost = load<Float>(tile.lost), first = load<Float>(tile.first);
  // (first + first_lost) / (sum + lost), at most 1: one step of Newton's iteration takes what was lost in.
  // Where first is the whole sum, both were rounded alike, and the result is exactly 1.
  const Float inverse = 1.0f / sum, estimate = first * inverse;
  const Float first_lost = first < sum ? load<Float>(tile.first_lost) : Float{};
  const Float rest = multiply_add(-sum, estimate, first) + (first_lost - lost * estimate);
  const Float confidence = minimum(broadcast(1.0f), multiply_add(rest, inverse, estimate));
  // A rounding may bring exp to 1 + 2^-23 just below 0, but a margin is not negative. In this order NaN stays.
  const Float second = minimum(broadcast(1.0f), exponential(load<Float>(tile.second)));
  const Float margin = multiply_add(-second, confidence, confidence);
  const Int wrong = sum != sum;
  store_some(out.margin + at, margin, count);
  store_some(out.confidence + at, confidence, count);
  store_some(reinterpret_cast<float*>(out.label + at), (Float)(load<Int>(tile.label) | wrong), count);
  if (with_given) store_some(out.given_probability + at, exponential(load<Float>(tile.given)) * confidence, count);
  const unsigned valid = equal_lanes(sum, sum) | ~0u << count;
  if (valid == ~0u) return;
  for (int r = 0; r < count; ++r) {
    if (valid >> r & 1) continue;
    if (invalid.count++ == 0) invalid.first = row + r;
  }
}

// Tiles that are finished one after another: their divisions and exponentials overlap, where among a tile's others they would wait.
constexpr int together = lanes == 16 ? 2 : 8;

template <class T>
RAD_FAST_INLINE void score_rows(const Logits& z, int64_t first, int64_t count, const int32_t* given, const Scores& out, Invalid& invalid) {
  const T* data = static_cast<const T*>(z.data);
  const int64_t stride = z.row_stride;
  const int64_t last_row = stride > 0 ? z.rows - 1 : 0;  // the one highest in memory
  const int64_t highest = last_row * stride + z.classes;  // elements from `data` to the end of the array
  const int64_t padded = padded_classes<T>(z.classes);
  const bool in_lanes = z.classes <= lane_classes;
  if (z.classes == 2) {  // so few operations a tile that its way through memory counts
    for (int64_t at = 0; at < count; at += lanes) {
      Tile tile;
      const int tile_rows = static_cast<int>(count - at < lanes ? count - at : lanes);
      const int64_t row = first + at, end = (stride > 0 ? row + lanes - 1 : row) * stride + padded;
      score_short(data + row * stride, stride, 2, tile_rows == lanes && end <= highest, given ? given + at : nullptr, tile_rows,
                  out.other != nullptr, tile);
      if (out.other) store_some(reinterpret_cast<float*>(out.other + at), load<Float>(tile.other), tile_rows);
      finish(tile, tile_rows, row, given != nullptr, out, at, invalid);
    }
    return;
  }
  Tile tiles[together]{};
  for (int64_t from = 0; from < count; from += together * lanes) {
    const int64_t to = count - from < together * lanes ? count : from + together * lanes;
    Tile* tile = tiles;
    for (int64_t at = from; at < to; at += lanes, ++tile) {
      const int tile_rows = static_cast<int>(to - at < lanes ? to - at : lanes);
      const int64_t row = first + at;
      const T* rows = data + row * stride;
      const int32_t* tile_given = given ? given + at : nullptr;
      // The end of what is read of tiles from this one on.
      const auto reading = [=](int some) RAD_FAST_FORCED { return (stride > 0 ? row + some * lanes - 1 : row) * stride + padded; };
      int done = 1;
      if (in_lanes && z.classes > 2 && z.classes < plain_classes && to - at >= side_by_side * lanes && reading(side_by_side) <= highest) {
        score_tiles(rows, stride, static_cast<int>(z.classes), tile_given, out.other != nullptr, tile);
        done = side_by_side;
      } else if (in_lanes) {
        score_short(rows, stride, static_cast<int>(z.classes), tile_rows == lanes && reading(1) <= highest, tile_given, tile_rows,
                    out.other != nullptr, *tile);
      } else {
        score_long(rows, stride, z.classes, tile_given, tile_rows, *tile);
      }
      if (out.other)
        for (int k = 0; k < done; ++k)
          store_some(reinterpret_cast<float*>(out.other + at + k * lanes), load<Float>(tile[k].other), tile_rows);
      at += (done - 1) * lanes;
      tile += done - 1;
    }
    tile = tiles;
    for (int64_t at = from; at < to; at += lanes, ++tile)
      finish(*tile, static_cast<int>(to - at < lanes ? to - at : lanes), first + at, given != nullptr, out, at, invalid);
  }
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
