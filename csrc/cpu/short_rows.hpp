// The way of rows.hpp through short rows: `lanes` of them are transposed into columns, and every lane follows its own row.
// For translation units compiled per SIMD level.
#pragma once

#include "exponential.hpp"
#include "simd.hpp"
#include "tile.hpp"
#include "transpose.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

constexpr int lane_classes = 112;  // measured: at C = 100 a fifth faster than the second way, at C = 128 a tenth slower

// Each plain addition to the maximum's 1 may err by 2^-24: no more than 6 of them (4 in each of four sums, then 2) before a sum that
// keeps its rounding errors, fewer where products are rounded too. (With 10, C = 32 errs more than PyTorch.)
constexpr int plain_classes = lanes == 4 ? 4 : 16;
constexpr int padded_bytes = lane_classes * 8;  // of a row in the copy for the array's last rows

// The processor's own prefetchers do not follow the transposition's order of reads: without this C = 10 runs at a fifth of
// its speed. What is asked for lies `ahead_bytes` past the tile; with 2 KiB C = 100 is slower by a half, with 8 KiB none is faster.
// Rows without gaps are asked for little by little while the tile is worked on: all at once they fill the queue of misses, and C = 64
// takes twice as long.
constexpr int64_t ahead_bytes = 4096;

template <class T>
RAD_FAST_INLINE void prefetch_apart(const T* rows, int64_t stride, int64_t classes) {
  const int64_t tiles = 1 + ahead_bytes / 2 / (lanes * classes * int64_t{sizeof(T)});
  for (int r = 0; r < lanes; ++r) prefetch(rows + (tiles * lanes + r) * stride, classes);
}

// Of every lane's row: the two largest so far, and the four columns (the first of such) that hold the largest.
template <class T>
struct Leaders {
  using Vector = typename Compared<T>::Vector;
  typename Compared<T>::Index first_column;
  Vector top1, top2, kept[4];
};

// Takes in four columns, the first of which is number `at`; of these `left` exist. Four at a time: 17 operations, where the two
// largest and the label followed one by one take 24.
template <class T>
RAD_FAST_INLINE void include_four(Leaders<T>& so_far, const typename Compared<T>::Scalar* columns, int at, int left) {
  using Vector = typename Compared<T>::Vector;
  Vector x[4];
  for (int k = 0; k < 4; ++k) {
    if (k < left)
      load_lanes(columns + k * lanes, x[k]);
    else
      set(x[k], -static_cast<typename Compared<T>::Scalar>(infinity));
  }
  const Vector even = maximum(x[0], x[1]), odd = maximum(x[2], x[3]);
  const Vector highest = maximum(even, odd);
  const Vector second = maximum(minimum(even, odd), maximum(minimum(x[0], x[1]), minimum(x[2], x[3])));
  typename Compared<T>::Index j;
  set(j, at);
  so_far.first_column = where_greater(highest, so_far.top1, j, so_far.first_column);
  for (int k = 0; k < 3; ++k) so_far.kept[k] = where_greater(highest, so_far.top1, x[k], so_far.kept[k]);
  so_far.top2 = maximum(maximum(so_far.top2, second), minimum(so_far.top1, highest));
  so_far.top1 = maximum(so_far.top1, highest);
}

template <class T>
RAD_FAST_INLINE typename Compared<T>::Index label_of(const Leaders<T>& leaders) {
  typename Compared<T>::Index within, k;
  set(within, 3);
  for (int i = 2; i >= 0; --i) {
    set(k, i);
    within = where_equal(leaders.kept[i], leaders.top1, k, within);
  }
  return plus(leaders.first_column, within);
}

// exp(column - top) of `n` columns joins the sums.
template <int n, class Scalar, class V>
RAD_FAST_INLINE void add_columns(const Scalar* columns, V top, Float (&sums)[2]) {
  V x[n];
  for (int k = 0; k < n; ++k) load_lanes(columns + k * lanes, x[k]);
  add_exponentials(x, top, sums);
}

// The first class besides `label` whose logit is `top2`.
template <class T>
RAD_FAST_INLINE Int other_of(const typename Compared<T>::Scalar* columns, int classes, Int label, typename Compared<T>::Vector top2) {
  typename Compared<T>::Vector x;
  typename Compared<T>::Index other, j;
  set(other, 0);
  for (int c = classes - 1; c >= 0; --c) {
    load_lanes(columns + c * lanes, x);
    set(j, c);
    other = where_equal(rule_out(x, label == c), top2, j, other);
  }
  return to_int(other);
}

// `fixed`: the number of classes where the compiler is to know it; else 0.
template <int fixed, class T>
RAD_FAST_INLINE void score_in_lanes(const T* rows, int64_t stride, int classes, const int32_t* given, int count, const T* ahead,
                                    bool with_other, Tile& tile) {
  using Scalar = typename Compared<T>::Scalar;
  constexpr int group = 16 / sizeof(T), step = group < 4 ? 4 : group;
  alignas(64) Scalar columns[lane_classes * lanes];
  Leaders<T> leaders;
  set(leaders.top1, -static_cast<Scalar>(infinity));
  leaders.top2 = leaders.kept[0] = leaders.kept[1] = leaders.kept[2] = leaders.top1;
  set(leaders.first_column, 0);
  if (fixed) classes = fixed;
  const auto take_in = [&](int c) RAD_FAST_FORCED {
    for (int k = c; k < c + step && k < classes; k += group) transpose_group(rows + k, stride, classes - k, columns + k * lanes);
    for (int k = c; k < c + step && k < classes; k += 4) include_four(leaders, columns + k * lanes, k, classes - k);
  };
  if (fixed) {
#pragma GCC unroll 8
    for (int c = 0; c < fixed; c += step) take_in(c);
  } else {
    for (int c = 0; c < classes; c += step) take_in(c);
  }
  const auto top1 = leaders.top1, top2 = leaders.top2;
  const auto label = label_of(leaders);

  Sum sum;
  for (int from = 0; from < classes; from += plain_classes) {
    const int end = classes - from < plain_classes ? classes : from + plain_classes;
    Float some[2][2] = {};
    int c = from;
#pragma GCC unroll 1
    for (; c + 4 <= end; c += 4) {
      prefetch(ahead + c * lanes, 4 * lanes);
      add_columns<2>(columns + c * lanes, top1, some[0]);
      add_columns<2>(columns + (c + 2) * lanes, top1, some[1]);
    }
    if (c < end) {
      prefetch(ahead + c * lanes, (end - c) * lanes);
      if (end & 2) add_columns<2>(columns + c * lanes, top1, some[0]);
      if (end & 1) add_columns<1>(columns + (end - 1) * lanes, top1, some[1]);
    }
    const Float all = (some[0][0] + some[0][1]) + (some[1][0] + some[1][1]);
    if (from == 0)
      sum.sum = all;
    else
      sum.add(all);
  }
  store(tile.sum, sum.sum);
  store(tile.lost, sum.lost);
  store(tile.second, difference(top2, top1));
  store(tile.label, to_int(label));
  if (with_other) store(tile.other, other_of<T>(columns, classes, to_int(label), top2));
  if (given) {
    alignas(64) Scalar tops[lanes];
    store_lanes(tops, top1);
    for (int r = 0; r < count; ++r) tile.given[r] = given_difference(rows + r * stride, classes, given[r], tops[r]);
  }
}

// Two classes: one exponential, and nothing to search for.
template <class T>
RAD_FAST_INLINE void score_two(const T* rows, int64_t stride, const int32_t* given, int count, const T* ahead, bool with_other,
                               Tile& tile) {
  using Scalar = typename Compared<T>::Scalar;
  typename Compared<T>::Vector x, y;
  typename Compared<T>::Index zero, one;
  prefetch(ahead, 2 * lanes);
  if (stride == 2)
    two_columns_dense(rows, x, y);
  else
    two_columns(rows, stride, x, y);
  set(zero, 0);
  set(one, 1);
  const auto top1 = maximum(x, y);
  const Int label = to_int(where_greater(y, x, one, zero));
  const Float invalid = difference(top1, top1);  // 0, or NaN where the largest is infinite
  const Float apart = difference(x, y);          // NaN where either is, or both are the same infinity
  const Float second = (Float)((Bits)apart | 0x80000000u);
  const Float e = exponential(second), sum = e + 1.0f + invalid;
  store(tile.sum, sum);
  store(tile.lost, e - (sum - 1.0f));
  store(tile.second, second);
  store(tile.label, label);
  if (with_other) store(tile.other, 1 - label);
  if (given) {
    alignas(64) Scalar tops[lanes];
    store_lanes(tops, top1);
    for (int r = 0; r < count; ++r) tile.given[r] = given_difference(rows + r * stride, 2, given[r], tops[r]);
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
                                 bool with_other, Tile& tile) {
  const T* ahead = rows;  // nothing new
  alignas(64) char copy[lanes * padded_bytes];
  if (whole && stride == classes) {
    ahead = rows + lanes * int64_t{classes} + ahead_bytes / int64_t{sizeof(T)};
  } else if (whole) {
    prefetch_apart(rows, stride, classes);
  } else {  // reading whole groups would pass the end of the array: the same on a padded copy
    const int64_t padded = padded_classes<T>(classes);
    __builtin_memset(copy, 0, static_cast<unsigned long>(lanes * padded) * sizeof(T));
    for (int r = 0; r < count; ++r)
      __builtin_memcpy(copy + r * padded * int64_t{sizeof(T)}, rows + r * stride,
                       static_cast<unsigned long>(classes) * sizeof(T));
    rows = reinterpret_cast<const T*>(copy);
    stride = padded;
  }
  // The commonest is told to the compiler, which unrolls the loops: C = 10 is a tenth faster by that.
  switch (classes) {
    case 2: return score_two(rows, stride, given, count, ahead, with_other, tile);
    case 10:
      if (stride == 10) return score_in_lanes<10>(rows, 10, 10, given, count, ahead, with_other, tile);
      return score_in_lanes<10>(rows, stride, 10, given, count, ahead, with_other, tile);
    default: return score_in_lanes<0>(rows, stride, classes, given, count, ahead, with_other, tile);
  }
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
