// The way of score.cpp through short rows: `lanes` of them are transposed into columns, and every lane follows its own row.
// For translation units compiled per SIMD level.
#pragma once

#include "exponential.hpp"
#include "simd.hpp"
#include "tile.hpp"
#include "transpose.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

constexpr int lane_classes = 112;  // measured: at C = 100 a fifth faster than the second way, at C = 128 a tenth slower

constexpr int padded_bytes = lane_classes * 8;  // of a row in the copy for the array's last rows

// The processor's own prefetchers do not follow the transposition's order of reads: without this C = 10 runs at a fifth of
// its speed. About 2 KiB ahead hide a miss; with 1 or 4 KiB it is no faster, with 8 slower.
template <class T>
RAD_FAST_INLINE void prefetch_tile(const T* rows, int64_t stride, int64_t classes) {
  if (stride == classes) {
    prefetch(rows + 2048 / sizeof(T), lanes * classes);
  } else {
    const int64_t tiles = 1 + 2048 / (lanes * classes * int64_t{sizeof(T)});
    for (int r = 0; r < lanes; ++r) prefetch(rows + (tiles * lanes + r) * stride, classes);
  }
}

// exp(column - top) of `n` columns joins the sums.
template <int n, class Scalar, class V>
RAD_FAST_INLINE void add_columns(const Scalar* columns, V top, Float (&sums)[2]) {
  V x[n];
  for (int k = 0; k < n; ++k) load_lanes(columns + k * lanes, x[k]);
  add_exponentials(x, top, sums);
}

template <class T>
RAD_FAST_INLINE void score_in_lanes(const T* rows, int64_t stride, int classes, const int32_t* given, int count, Tile& tile) {
  using Scalar = typename Compared<T>::Scalar;
  typename Compared<T>::Vector top1, top2, odd1, odd2, x;
  typename Compared<T>::Index label, odd_label, j, one;
  alignas(64) Scalar columns[lane_classes * lanes];
  transpose(rows, stride, classes, columns);

  // Even and odd columns apart: two chains of maxima, as one alone would wait for its own latency.
  load_lanes(columns, top1);
  load_lanes(columns + lanes, odd1);
  set(top2, -static_cast<Scalar>(infinity));
  odd2 = top2;
  set(label, 0);
  set(odd_label, 1);
  j = one = odd_label;
  for (int at = 2; at < classes; at += 2) {
    load_lanes(columns + at * lanes, x);
    j = plus(j, one);
    label = where_greater(x, top1, j, label);
    include(top1, top2, x);
    j = plus(j, one);
    if (at + 1 == classes) break;
    load_lanes(columns + (at + 1) * lanes, x);
    odd_label = where_greater(x, odd1, j, odd_label);
    include(odd1, odd2, x);
  }
  const auto first_of_both = lesser(label, odd_label);
  label = where_greater(odd1, top1, odd_label, label);
  label = where_equal(odd1, top1, first_of_both, label);
  merge_top(top1, top2, odd1, odd2);

  Sum sum;  // by eights, in two sums: each plain addition to the maximum's 1 may err by 2^-24
  int c = 0;
  for (; c + 8 <= classes; c += 8) {
    Float some[2] = {};
    for (int k = 0; k < 8; k += at_a_time) add_columns<at_a_time>(columns + (c + k) * lanes, top1, some);
    sum.add(some[0] + some[1]);
  }
  if (c < classes) {
    Float some[2] = {};
    if (classes & 4) add_columns<4>(columns + c * lanes, top1, some);
    if (classes & 2) add_columns<2>(columns + (c + (classes & 4)) * lanes, top1, some);
    if (classes & 1) add_columns<1>(columns + (classes - 1) * lanes, top1, some);
    sum.add(some[0] + some[1]);
  }
  store(tile.sum, sum.sum);
  store(tile.lost, sum.lost);
  store(tile.second, difference(top2, top1));
  store(tile.label, to_int(label));
  if (given) {
    alignas(64) Scalar tops[lanes];
    store_lanes(tops, top1);
    for (int r = 0; r < count; ++r) tile.given[r] = given_difference(rows + r * stride, classes, given[r], tops[r]);
  }
}

// Elements that the transposition reads of a row: whole groups of 16 bytes.
template <class T>
RAD_FAST_INLINE int64_t padded_classes(int64_t classes) {
  return (classes * int64_t{sizeof(T)} + 15) / 16 * 16 / int64_t{sizeof(T)};
}

// `count` rows of at most lane_classes; `whole`: there are `lanes` of them, and padded_classes of each may be read.
template <class T>
RAD_FAST_INLINE void score_short(const T* rows, int64_t stride, int classes, bool whole, const int32_t* given, int count,
                                 Tile& tile) {
  alignas(64) char copy[lanes * padded_bytes];
  if (whole) {
    prefetch_tile(rows, stride, classes);
  } else {  // reading whole groups would pass the end of the array: the same on a padded copy
    const int64_t padded = padded_classes<T>(classes);
    __builtin_memset(copy, 0, static_cast<unsigned long>(lanes * padded) * sizeof(T));
    for (int r = 0; r < count; ++r)
      __builtin_memcpy(copy + r * padded * int64_t{sizeof(T)}, rows + r * stride,
                       static_cast<unsigned long>(classes) * sizeof(T));
    rows = reinterpret_cast<const T*>(copy);
    stride = padded;
  }
  // The commonest are told to the compiler, which unrolls the loops and keeps the columns in registers: C = 10 is a tenth
  // faster by that, C = 2 a fifth.
  switch (classes) {
    case 2: return score_in_lanes(rows, stride, 2, given, count, tile);
    case 10: return score_in_lanes(rows, stride, 10, given, count, tile);
    default: return score_in_lanes(rows, stride, classes, given, count, tile);
  }
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
