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

// What the scores of `lanes` rows are made of: as in Tile, but `second` is exp(top2 - top1).
struct Ends {
  Float sum, lost, first, first_lost, second;
  Int label;
};

RAD_FAST_INLINE Ends ends_of(const Tile& tile) {
  return {load<Float>(tile.sum),        load<Float>(tile.lost),
          load<Float>(tile.first),      load<Float>(tile.first_lost),
          exponential(load<Float>(tile.second)), load<Int>(tile.label)};
}
// Of score_few: nothing is lost, and every row is relative to its largest, whose exponential is `first`.
RAD_FAST_INLINE Ends ends_of_few(const Tile& tile, const Sum& first) {
  return {load<Float>(tile.sum), Float{}, first.sum, first.lost, exponential(load<Float>(tile.second)), load<Int>(tile.label)};
}

// Of score_two.
RAD_FAST_INLINE Ends ends_of_two(const Tile& tile) {
  return {load<Float>(tile.sum), load<Float>(tile.lost), broadcast(1.0f), Float{}, load<Float>(tile.second), load<Int>(tile.label)};
}

RAD_FAST_INLINE void finish(const Ends& ends, const float* given, int count, int64_t row, const Scores& out, int64_t at,
                            Invalid& invalid) {
  const Float sum = ends.sum;
  // (first + first_lost) / (sum + lost), at most 1: one step of Newton's iteration takes what was lost in.
  // Where first is the whole sum, both were rounded alike, and the result is exactly 1.
  const Float inverse = 1.0f / sum, estimate = ends.first * inverse;
  const Float first_lost = ends.first < sum ? ends.first_lost : Float{};
  const Float rest = multiply_add(-sum, estimate, ends.first) + (first_lost - ends.lost * estimate);
  const Float confidence = minimum(broadcast(1.0f), multiply_add(rest, inverse, estimate));
  // A rounding may bring exp to 1 + 2^-23 just below 0, but a margin is not negative. In this order NaN stays.
  const Float second = minimum(broadcast(1.0f), ends.second);
  const Float margin = multiply_add(-second, confidence, confidence);
  const Int wrong = sum != sum;
  store_some(out.margin + at, out.as_gain ? 1.0f - margin : margin, count);
  store_some(out.confidence + at, confidence, count);
  store_some(reinterpret_cast<float*>(out.label + at), (Float)(ends.label | wrong), count);
  if (given) store_some(out.given_probability + at, exponential(load<Float>(given)) * confidence, count);
  const unsigned valid = equal_lanes(sum, sum) | ~0u << count;
  if (valid == ~0u) return;
  for (int r = 0; r < count; ++r) {
    if (valid >> r & 1) continue;
    if (invalid.count++ == 0) invalid.first = row + r;
  }
}

// The logits of a call.
template <class T>
struct Rows {
  const T* data;
  int64_t stride, classes, rows;
  int64_t last;  // where in elements from `data` a row may start at most for whole groups of `lanes` rows from it on to be in the array

  RAD_FAST_MEMBER Rows(const T* data_, int64_t stride_, int64_t classes_, int64_t rows_)
      : data(data_), stride(stride_), classes(classes_), rows(rows_) {
    const int64_t end = (stride > 0 ? rows - 1 : 0) * stride + classes;
    last = end - padded_classes<T>(classes) - (stride > 0 ? (lanes - 1) * stride : 0);
  }
  RAD_FAST_MEMBER const T* at(int64_t row) const { return data + row * stride; }
  RAD_FAST_MEMBER bool whole(int64_t row) const { return row * stride <= last && row + lanes <= rows; }
};

template <class T>
using ScoreRows = void (*)(const Rows<T>& rows, int64_t first, int64_t count, const int32_t* given, const Scores& scores, Invalid& invalid);

// At most `lanes` rows by `score`, of which reading whole groups would pass the end of the array: the same on a padded copy.
template <class T>
RAD_FAST_APART void score_copied(ScoreRows<T> score, const Rows<T>& z, int64_t first, int64_t count, const int32_t* given,
                                 const Scores& out, int64_t at, Invalid& invalid) {
  alignas(64) T copy[lanes * lane_classes];
  const int64_t stride = padded_classes<T>(z.classes);
  __builtin_memset(static_cast<void*>(copy), 0, static_cast<unsigned long>(lanes * stride) * sizeof(T));
  for (int64_t r = 0; r < count; ++r)
    __builtin_memcpy(static_cast<void*>(copy + r * stride), z.at(first + at + r), static_cast<unsigned long>(z.classes) * sizeof(T));
  Rows<T> rows(copy, stride, stride, lanes);
  rows.classes = z.classes;
  Scores there = out;
  there.margin += at;
  there.confidence += at;
  there.label += at;
  if (there.given_probability) there.given_probability += at;
  if (there.other) there.other += at;
  Invalid found{0, -1};
  score(rows, 0, count, given ? given + at : nullptr, there, found);
  if (found.count && !invalid.count) invalid.first = first + at + found.first;
  invalid.count += found.count;
}

// Tiles that are finished one after another: their divisions and exponentials overlap, where among a tile's others they would wait.
constexpr int together = lanes == 16 ? 2 : 8;

// For each of the ways a function of its own: in one for all of them compilers run out of registers. Tiles may end behind the rows that
// are asked for, in the array.
template <class T>
RAD_FAST_APART void score_rows_of_two(const Rows<T>& rows, int64_t first, int64_t count, const int32_t* given, const Scores& scores,
                                      Invalid& invalid) {
  const Rows<T> z = rows;
  const Scores out = scores;  // a copy that no store can change
  const auto finish_tile = [&](const Tile& tile, int64_t at, int some) RAD_FAST_FORCED {
    if (out.other) store_some(reinterpret_cast<float*>(out.other + at), load<Float>(tile.other), some);
    finish(ends_of_two(tile), given ? tile.given : nullptr, some, first + at, out, at, invalid);
  };
  Tile tile;
  int64_t at = 0;
  if (z.stride == 2 && !given) {  // reads what there is, and nothing behind
    for (; at + lanes <= count; at += lanes) {
      const T* const these = z.at(first + at);
      score_two(these, 2, nullptr, lanes, ask_ahead<false>(these, 2, 2, 1), out.other != nullptr, tile);
      finish_tile(tile, at, lanes);
    }
  }
  for (; at < count; at += lanes) {
    const int some = static_cast<int>(count - at < lanes ? count - at : lanes);
    if (!z.whole(first + at)) {
      score_copied<T>(score_rows_of_two<T>, z, first, some, given, out, at, invalid);
      continue;
    }
    const T* const these = z.at(first + at);
    score_two(these, z.stride, given ? given + at : nullptr, some, ask_ahead<false>(these, z.stride, 2, 1), out.other != nullptr, tile);
    finish_tile(tile, at, some);
  }
}

// Calls work(tile, at, some) for the tiles of `count` rows; where all are whole the compiler knows that `some` is lanes.
template <class Work>
RAD_FAST_INLINE void for_tiles(const Tile* tiles, int64_t from, int64_t count, const Work& work) {
  if (count == together * lanes) {
#pragma GCC unroll 1
    for (int k = 0; k < together; ++k) work(tiles[k], from + k * lanes, lanes);
    return;
  }
  for (int64_t at = 0; at < count; at += lanes, ++tiles) work(*tiles, from + at, static_cast<int>(count - at < lanes ? count - at : lanes));
}

// At most few_classes.
template <bool with_other, class T>
RAD_FAST_APART void score_rows_of_few(const Rows<T>& rows, int64_t first, int64_t count, const int32_t* given, const Scores& scores,
                                      Invalid& invalid) {
  const Rows<T> z = rows;
  const Scores out = scores;
  const Sum largest = exponential(Float{}, relative_to(Float{}));
  const int classes = static_cast<int>(z.classes);
  Tile tiles[together];
  for (int64_t from = 0; from < count;) {
    const int64_t to = count - from < together * lanes ? count : from + together * lanes;
    int64_t at = from;
    while (at < to && z.whole(first + at)) {
      Tile* const tile = tiles + (at - from) / lanes;
      const T* const these = z.at(first + at);
      const int32_t* const tile_given = given ? given + at : nullptr;
      if (to - at >= side_by_side * lanes && z.whole(first + at + (side_by_side - 1) * lanes)) {
        score_tiles<with_other>(these, z.stride, classes, tile_given, tile);
        at += side_by_side * lanes;
      } else {
        const int some = static_cast<int>(to - at < lanes ? to - at : lanes);
        score_few<0, 1, with_other>(these, z.stride, classes, tile_given, some, ask_ahead<false>(these, z.stride, classes, 1), tile);
        at += lanes;
      }
    }
    const int64_t end = at < to ? at : to;
    for_tiles(tiles, from, end - from, [&](const Tile& tile, int64_t place, int some) RAD_FAST_FORCED {
      if (with_other) store_some(reinterpret_cast<float*>(out.other + place), load<Float>(tile.other), some);
      finish(ends_of_few(tile, largest), given ? tile.given : nullptr, some, first + place, out, place, invalid);
    });
    from = end;
    if (end < to) {
      from = to - end < lanes ? to : end + lanes;
      score_copied<T>(score_rows_of_few<with_other, T>, z, first, from - end, given, out, end, invalid);
    }
  }
}

template <bool large, bool with_other, class T>
RAD_FAST_APART void score_rows_in_lanes(const Rows<T>& rows, int64_t first, int64_t count, const int32_t* given, const Scores& scores,
                                        Invalid& invalid) {
  const Rows<T> z = rows;
  const Scores out = scores;
  const int classes = static_cast<int>(z.classes);
  Tile tiles[together];
  for (int64_t from = 0; from < count;) {
    const int64_t to = count - from < together * lanes ? count : from + together * lanes;
    int64_t at = from;
    for (Tile* tile = tiles; at < to && z.whole(first + at); at += lanes, ++tile) {
      const T* const these = z.at(first + at);
      const int some = static_cast<int>(to - at < lanes ? to - at : lanes);
      score_in_lanes<large, with_other>(these, z.stride, classes, given ? given + at : nullptr, some,
                                        ask_ahead<large>(these, z.stride, classes, 1), *tile);
    }
    const int64_t end = at < to ? at : to;
    for_tiles(tiles, from, end - from, [&](const Tile& tile, int64_t place, int some) RAD_FAST_FORCED {
      if (with_other) store_some(reinterpret_cast<float*>(out.other + place), load<Float>(tile.other), some);
      finish(ends_of(tile), given ? tile.given : nullptr, some, first + place, out, place, invalid);
    });
    from = end;
    if (end < to) {
      from = to - end < lanes ? to : end + lanes;
      score_copied<T>(score_rows_in_lanes<false, with_other, T>, z, first, from - end, given, out, end, invalid);
    }
  }
}

template <bool with_other, class T>
RAD_FAST_INLINE void score_short_rows(const Rows<T>& z, int64_t first, int64_t count, const int32_t* given, const Scores& out,
                                      Invalid& invalid) {
  if (z.classes <= few_classes) return score_rows_of_few<with_other>(z, first, count, given, out, invalid);
  if (z.stride == z.classes && crowds<T>(z.classes)) return score_rows_in_lanes<true, with_other>(z, first, count, given, out, invalid);
  score_rows_in_lanes<false, with_other>(z, first, count, given, out, invalid);
}

template <class T>
RAD_FAST_INLINE void score_long_rows(const Rows<T>& z, int64_t first, int64_t count, const int32_t* given, const Scores& out,
                                     Invalid& invalid) {
  Tile tiles[together];
  for (int64_t from = 0; from < count; from += together * lanes) {
    const int64_t some_rows = count - from < together * lanes ? count - from : together * lanes;
    for (int64_t at = 0; at < some_rows; at += lanes)
      score_long(z.at(first + from + at), z.stride, z.classes, given ? given + from + at : nullptr,
                 static_cast<int>(some_rows - at < lanes ? some_rows - at : lanes), tiles[at / lanes]);
    for_tiles(tiles, from, some_rows, [&](const Tile& tile, int64_t at, int some) RAD_FAST_FORCED {
      finish(ends_of(tile), given ? tile.given : nullptr, some, first + at, out, at, invalid);
    });
  }
}

template <class T>
RAD_FAST_INLINE void score_rows(const Logits& logits, int64_t first, int64_t count, const int32_t* given, const Scores& out,
                                Invalid& invalid) {
  const Rows<T> z(static_cast<const T*>(logits.data), logits.row_stride, logits.classes, logits.rows);
  if (z.classes == 2) return score_rows_of_two(z, first, count, given, out, invalid);
  if (z.classes <= lane_classes)
    return out.other ? score_short_rows<true>(z, first, count, given, out, invalid) : score_short_rows<false>(z, first, count, given, out, invalid);
  score_long_rows(z, first, count, given, out, invalid);
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
