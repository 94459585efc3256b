// The way of rows.hpp through short rows: `lanes` of them are transposed into columns, and every lane follows its own row.
// For translation units compiled per SIMD level.
#pragma once

#include "exponential.hpp"
#include "simd.hpp"
#include "tile.hpp"
#include "transpose.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

// Up to here vectors along the row take a fifth to three quarters longer with AVX2 and AVX-512; at 256 they are level, and from 320 on
// faster from memory, where a tile, its columns and what is ahead of it crowd L1.
constexpr int lane_classes = lanes == 4 ? 192 : 224;

// Each plain addition to the maximum's 1 may err by 2^-24: no more than 6 of them (4 in each of four sums, then 2) before a sum that
// keeps its rounding errors, fewer where products are rounded too. (With 10, C = 32 errs more than PyTorch.)
constexpr int plain_classes = lanes == 4 ? 4 : 16;
constexpr int few_classes = lanes == 4 ? 4 : 15;  // at most, for score_few; others have two fours at least

// The processor's own prefetchers do not follow the transposition's order of reads: without this C = 10 runs at a fifth of its speed. Rows
// without gaps are asked for little by little while a tile is worked on: all at once they fill the queue of misses, and C = 64 takes
// twice as long. What is asked into L1 lies `ahead_bytes` past the tile. Large tiles crowd L1: what follows them is asked into L2 first,
// 4 KiB past the tile, and with AVX-512, whose tiles are twice as large, into L1 no earlier than the next tile. With 4 KiB
// into L1 for all, AVX2 took up to a fifth longer from 64 classes on, AVX-512 from 32 on, and up to twice as long at 64 to 128.
constexpr int64_t ahead_bytes = 2048, far_bytes = 4096;
constexpr int64_t near_of_large = lanes == 16 ? 0 : ahead_bytes;

template <class T>
RAD_FAST_INLINE bool crowds(int64_t classes) {  // L1; 16-bit rows of less lose by it
  return lanes * classes * int64_t{sizeof(T)} >= (sizeof(T) == 2 ? 3072 : 2048);
}

template <bool large, class T>
RAD_FAST_INLINE void ask(const T* ahead, int64_t count) {
  const char* const address = reinterpret_cast<const char*>(ahead);
  for (int64_t i = 0; i < count * int64_t{sizeof(T)}; i += 64) {
    __builtin_prefetch(address + i);
    if (large) __builtin_prefetch(address + i + (far_bytes - near_of_large), 0, 2);  // into L2
  }
}

template <class T>
RAD_FAST_INLINE void prefetch_apart(const T* rows, int64_t stride, int64_t classes) {
  const int64_t tiles = 1 + ahead_bytes / (lanes * classes * int64_t{sizeof(T)});
  for (int r = 0; r < lanes; ++r) prefetch(rows + (tiles * lanes + r) * stride, classes);
}

// What lies ahead of `tiles` of rows without gaps; of others it is asked for here.
template <bool large, class T>
RAD_FAST_INLINE const T* ask_ahead(const T* rows, int64_t stride, int64_t classes, int tiles) {
  if (large || stride == classes) return rows + tiles * lanes * classes + (large ? near_of_large : ahead_bytes) / int64_t{sizeof(T)};
  for (int k = 0; k < tiles; ++k) prefetch_apart(rows + k * lanes * stride, stride, classes);
  return rows;  // nothing new
}

// Of every lane's row, in fours of columns of which each lane keeps the maximum alone: the two largest maxima, and where the four
// of the largest (the first of them) starts; of the second largest, too, where it is asked for.
template <class T>
struct Fours {
  typename Compared<T>::Index at, second_at, next;
  typename Compared<T>::Vector top1, top2;
};

// Takes in the next four columns; of these `left` exist.
template <bool with_other, class T>
RAD_FAST_INLINE void include_four(Fours<T>& so_far, const typename Compared<T>::Scalar* columns, int left) {
  typename Compared<T>::Vector highest, x;
  typename Compared<T>::Index four;
  load_lanes(columns, highest);
  if (left >= 4) {
    typename Compared<T>::Vector y, z;
    load_lanes(columns + lanes, x);
    load_lanes(columns + 2 * lanes, y);
    load_lanes(columns + 3 * lanes, z);
    highest = maximum(maximum(highest, x), maximum(y, z));
  } else {
    for (int k = 1; k < left; ++k) {
      load_lanes(columns + k * lanes, x);
      highest = maximum(highest, x);
    }
  }
  if (with_other) {
    const auto second_at = where_greater(highest, so_far.top2, so_far.next, so_far.second_at);
    so_far.second_at = where_greater(highest, so_far.top1, so_far.at, second_at);
  }
  so_far.at = where_greater(highest, so_far.top1, so_far.next, so_far.at);
  set(four, 4);
  so_far.next = plus(so_far.next, four);
  include(so_far.top1, so_far.top2, highest);
}

// The two largest of every lane's row, and the first column that holds the largest. Where it is asked for, the first besides that one
// that holds the second largest.
template <class T>
struct Leaders {
  typename Compared<T>::Index label, other;
  typename Compared<T>::Vector top1, top2;
};

// Which of four columns is the first to hold `value`; `none` where none does, 3 if one must be the last. Whole numbers: the compiler
// makes constants of Index from scalars, with two operations.
template <class V>
RAD_FAST_INLINE V first_within(const V (&x)[4], V value, int none) {
  V within, k;
  set(within, none);
  for (int i = none == 3 ? 2 : 3; i >= 0; --i) {
    set(k, i);
    within = where_equal(x[i], value, k, within);
  }
  return within;
}

// Looks into the fours of the largest. Reads a row's elements up to the next multiple of four.
template <bool with_other, class T>
RAD_FAST_INLINE Leaders<T> leaders_of(const Fours<T>& fours, const T* rows, int64_t stride, int classes) {
  using Vector = typename Compared<T>::Vector;
  Vector x[4];
  typename Compared<T>::Index last;
  four_columns(rows, stride, to_int(fours.at), x);
  if (classes % 4) {
    set(last, classes - 1);
    last = minus(last, fours.at);
    for (int j = 1; j < 4; ++j) x[j] = keep_from(x[j], last, j);
  }
  const auto even = maximum(x[0], x[1]), odd = maximum(x[2], x[3]);
  const auto second = maximum(minimum(even, odd), maximum(minimum(x[0], x[1]), minimum(x[2], x[3])));
  const Vector within = first_within(x, fours.top1, 3);
  Leaders<T> leaders;
  leaders.label = plus(fours.at, whole_number(within));
  leaders.top1 = fours.top1;
  leaders.top2 = maximum(fours.top2, second);
  if (with_other) {
    constexpr int none = 1 << 20;  // more than there are classes
    Vector y[4], k, nan;
    set(nan, static_cast<typename Compared<T>::Scalar>(__builtin_nanf("")));
    for (int i = 0; i < 4; ++i) {
      set(k, i);
      x[i] = where_equal(within, k, nan, x[i]);
    }
    // Where all other fours are -inf the first of them is the second four. What is read behind a row's end comes after all that is equal.
    typename Compared<T>::Index second_at;
    set(second_at, 4);
    second_at = where_same(fours.second_at, fours.at, second_at, fours.second_at);
    four_columns(rows, stride, to_int(second_at), y);
    const auto near = plus(fours.at, whole_number(first_within(x, leaders.top2, none)));
    leaders.other = lesser(near, plus(second_at, whole_number(first_within(y, leaders.top2, none))));
  }
  return leaders;
}

// Where the two largest are equal the first column that holds them is the label.
template <class T>
RAD_FAST_INLINE void find_other_of_equals(const typename Compared<T>::Scalar* columns, int classes, Leaders<T>& leaders) {
  if (!equal_lanes(difference(leaders.top2, leaders.top1), Float{})) return;
  typename Compared<T>::Vector x, other, c, one;
  const Int label = to_int(leaders.label);
  set(other, 0);
  set(c, classes);
  set(one, 1);
  for (int k = classes - 1; k >= 0; --k) {
    load_lanes(columns + k * lanes, x);
    c = minus(c, one);
    other = where_equal(rule_out(x, label == k), leaders.top2, c, other);
  }
  leaders.other = whole_number(other);
}

// The same of all of a few columns, two at a time.
template <bool with_other, class T>
RAD_FAST_INLINE Leaders<T> leaders_of(const typename Compared<T>::Scalar* columns, int classes) {
  typename Compared<T>::Vector top1, top2, x, y, label, other, j, one;
  load_lanes(columns, x);
  load_lanes(columns + lanes, y);
  top1 = maximum(x, y);
  top2 = minimum(x, y);
  for (int c = 2; c + 1 < classes; c += 2) {
    load_lanes(columns + c * lanes, x);
    load_lanes(columns + (c + 1) * lanes, y);
    merge_top(top1, top2, maximum(x, y), minimum(x, y));
  }
  if (classes % 2) {
    load_lanes(columns + (classes - 1) * lanes, x);
    include(top1, top2, x);
  }
  set(label, classes - 1);
  set(one, 1);
  j = other = label;
  for (int c = classes - 2; c >= 0; --c) {
    load_lanes(columns + c * lanes, x);
    j = minus(j, one);
    label = where_equal(x, top1, j, label);
    if (with_other) other = where_equal(x, top2, j, other);
  }
  Leaders<T> leaders{whole_number(label), {}, top1, top2};
  if (with_other) {
    leaders.other = whole_number(other);
    find_other_of_equals(columns, classes, leaders);
  }
  return leaders;
}

// The first of every lane's row, which its exponentials are relative to: they need not wait for the largest. 0 where it is far from 0
// or none.
RAD_FAST_INLINE Float reference_of(const float* columns) {
  const Float first = load<Float>(columns), size = (Float)((Bits)first & 0x7fffffffu);
  return size <= constants::near_zero ? first : Float{};
}
// The lanes where the largest is out of the reference's reach are reduced by it: both are 0 then; NaN and infinity become NaN. False:
// there were none.
RAD_FAST_INLINE bool reduce_columns(Float& top, Float& reference, float* columns, int classes) {
  const Float above = top - reference;
  const Float within = minimum(broadcast(reach_up), maximum(broadcast(-reach_down), above));
  if (equal_lanes(within, above) == ~0u >> (32 - lanes)) return false;
  const Float far = within == above ? Float{} : top;
  for (int c = 0; c < classes; ++c) store(columns + c * lanes, load<Float>(columns + c * lanes) - far);
  reference = within == above ? reference : Float{};
  top = within == above ? top : Float{};
  return true;
}
// float64 is always reduced, by differences before they are rounded.
RAD_FAST_INLINE Float reference_of(const double*) { return Float{}; }
RAD_FAST_INLINE bool reduce_columns(Float&, Float&, double*, int) { return false; }
RAD_FAST_INLINE Float relative_top(Float top) { return top; }
RAD_FAST_INLINE Float relative_top(Doubles) { return Float{}; }

// The exponentials of `n` columns join the sums. float64, and what is to be `reduced`, as differences from `top`.
template <bool reduced, int n, class Scalar, class V>
RAD_FAST_INLINE void add_columns(const Scalar* columns, V top, const Reference& to, Float (&sums)[2]) {
  V x;
  Float logits[n];
  for (int k = 0; k < n; ++k) {
    load_lanes(columns + k * lanes, x);
    if constexpr (reduced || sizeof(Scalar) == 8)
      logits[k] = difference(x, top);
    else
      logits[k] = x;
  }
  add_exponentials(logits, to, sums);
}

// The exponentials of columns c .. classes - 1, at most plain_classes. What is `ahead` is asked for meanwhile.
template <bool reduced, bool large, class T, class Scalar, class V>
RAD_FAST_INLINE Float sum_plainly(const Scalar* columns, int c, int classes, V top, const Reference& to, const T* ahead) {
  Float some[2][2] = {};
  for (; c + 4 <= classes; c += 4) {
    ask<large>(ahead + c * lanes, 4 * lanes);
    add_columns<reduced, 2>(columns + c * lanes, top, to, some[0]);
    add_columns<reduced, 2>(columns + (c + 2) * lanes, top, to, some[1]);
  }
  ask<large>(ahead + c * lanes, 3 * lanes);
  if (classes & 2) add_columns<reduced, 2>(columns + c * lanes, top, to, some[0]);
  if (classes & 1) add_columns<reduced, 1>(columns + (classes - 1) * lanes, top, to, some[1]);
  return (some[0][0] + some[0][1]) + (some[1][0] + some[1][1]);
}

// The exponentials of all columns, plain_classes or more. A run of plain_classes joins the sum once the next run's operations are under
// way: operations that wait for their input crowd others out of the processor's queue.
template <bool large, class T, class Scalar, class V>
RAD_FAST_INLINE Sum sum_columns(const Scalar* columns, int classes, V top, const Reference& to, const T* ahead) {
  Sum sum;
  Float before[2][2] = {};
  const auto whole = [&] RAD_FAST_FORCED { return (before[0][0] + before[0][1]) + (before[1][0] + before[1][1]); };
  int c = 0;
  for (; c + plain_classes <= classes; c += plain_classes) {
    Float some[2][2] = {};
#pragma GCC unroll 1
    for (int k = c; k < c + plain_classes; k += 4) {
      ask<large>(ahead + k * lanes, 4 * lanes);
      add_columns<false, 2>(columns + k * lanes, top, to, some[0]);
      add_columns<false, 2>(columns + (k + 2) * lanes, top, to, some[1]);
    }
    if (c) sum.add(whole());
    __builtin_memcpy(&before, &some, sizeof some);
  }
  if (c == classes) {
    sum.add(whole());
    return sum;
  }
  const Float rest = sum_plainly<false, large>(columns, c, classes, top, to, ahead);
  sum.add(whole());
  sum.add(rest);
  return sum;
}

template <class T>
RAD_FAST_INLINE void store_leaders(const Leaders<T>& leaders, const T* rows, int64_t stride, int classes, const int32_t* given, int count,
                                   Tile& tile) {
  store(tile.second, difference(leaders.top2, leaders.top1));
  store(tile.label, to_int(leaders.label));
  if (!given) return;
  alignas(64) typename Compared<T>::Scalar tops[lanes];
  store_lanes(tops, leaders.top1);
  for (int r = 0; r < count; ++r) tile.given[r] = given_difference(rows + r * stride, classes, given[r], tops[r]);
}

// At most few_classes; `tiles` of them, one after another in memory. One step for all of them before the next: a tile has so
// few operations that they would wait for one another. Exponentials are relative to the largest: here a subtraction more of every logit
// is less than what another reference takes. `fixed`: the number of classes where the compiler is to know it; else 0.
template <int fixed, int tiles, bool with_other, class T>
RAD_FAST_INLINE void score_few(const T* rows, int64_t stride, int classes, const int32_t* given, int count, const T* ahead,
                               Tile* tile) {
  using Scalar = typename Compared<T>::Scalar;
  constexpr int group = 16 / sizeof(T), most = (plain_classes + group) * lanes;
  const Reference to = relative_to(Float{});
  if (fixed) classes = fixed;
  const auto transpose_tile = [&](int k, Scalar* columns) RAD_FAST_FORCED {
    const T* mine = rows + k * lanes * stride;
    for (int c = 0; c < classes; c += group) transpose_group(mine + c, stride, classes - c, columns + c * lanes);
  };
  const auto compare = [&](int k, const Scalar* columns) RAD_FAST_FORCED {
    const Leaders<T> leaders = leaders_of<with_other, T>(columns, classes);
    if (with_other) store(tile[k].other, to_int(leaders.other));
    store_leaders(leaders, rows + k * lanes * stride, stride, classes, given ? given + k * lanes : nullptr, count, tile[k]);
    return leaders.top1;
  };
  const auto ahead_of = [&](int k) RAD_FAST_FORCED { return tiles == 1 ? ahead : ahead + k * lanes * classes; };
  if constexpr (fixed || lanes == 8) {  // the first two steps in one, and the differences with them: up to a tenth faster
    alignas(64) float below[tiles][plain_classes * lanes];
#pragma GCC unroll 1
    for (int k = 0; k < tiles; ++k) {
      alignas(64) Scalar columns[most];
      transpose_tile(k, columns);
      const auto top = compare(k, columns);
      for (int c = 0; c < classes; ++c) {
        typename Compared<T>::Vector x;
        load_lanes(columns + c * lanes, x);
        store(below[k] + c * lanes, difference(x, top));
      }
    }
#pragma GCC unroll 1
    for (int k = 0; k < tiles; ++k) store(tile[k].sum, sum_plainly<false, false>(below[k], 0, classes, Float{}, to, ahead_of(k)));
  } else {
    alignas(64) Scalar columns[tiles][most];
    typename Compared<T>::Vector top[tiles];
#pragma GCC unroll 1
    for (int k = 0; k < tiles; ++k) transpose_tile(k, columns[k]);
#pragma GCC unroll 1
    for (int k = 0; k < tiles; ++k) top[k] = compare(k, columns[k]);
#pragma GCC unroll 1
    for (int k = 0; k < tiles; ++k) store(tile[k].sum, sum_plainly<true, false>(columns[k], 0, classes, top[k], to, ahead_of(k)));
  }
}

// The rows in columns, and the fours of the largest.
template <bool with_other, class T>
RAD_FAST_INLINE Fours<T> columns_of(const T* rows, int64_t stride, int classes, typename Compared<T>::Scalar* columns) {
  constexpr int group = 16 / sizeof(T), step = group < 4 ? 4 : group;
  Fours<T> fours;
  set(fours.top1, -static_cast<typename Compared<T>::Scalar>(infinity));
  fours.top2 = fours.top1;
  set(fours.at, 0);
  fours.second_at = fours.next = fours.at;
  int c = 0;
  for (; lanes != 16 && c + step <= classes; c += step) {  // without tests: a twentieth faster, but slower from memory with AVX-512
    for (int k = c; k < c + step; k += group) transpose_group(rows + k, stride, group, columns + k * lanes);
    for (int k = c; k < c + step; k += 4) include_four<with_other>(fours, columns + k * lanes, 4);
  }
  for (; c < classes; c += step) {
    for (int k = c; k < c + step && k < classes; k += group) transpose_group(rows + k, stride, classes - k, columns + k * lanes);
    for (int k = c; k < c + step && k < classes; k += 4) include_four<with_other>(fours, columns + k * lanes, classes - k);
  }
  return fours;
}

constexpr int large_tile = 3200;  // bytes: with 4096 it is up to a fifth slower from memory to look last

template <bool large, bool with_other, class T>
RAD_FAST_INLINE void score_in_lanes(const T* rows, int64_t stride, int classes, const int32_t* given, int count, const T* ahead,
                                    Tile& tile) {
  alignas(64) typename Compared<T>::Scalar columns[lane_classes * lanes];
  const Fours<T> fours = columns_of<with_other>(rows, stride, classes, columns);
  Float reference = reference_of(columns), largest = relative_top(fours.top1);
  const auto add_up = [&](const T* asked_for) RAD_FAST_FORCED {
    const Reference to = relative_to(reference);
    const Sum sum = sum_columns<large>(columns, classes, fours.top1, to, asked_for);
    store(tile.sum, sum.sum);
    store(tile.lost, sum.lost);
    store_first(exponential(largest, to), tile);
  };
  const auto look = [&] RAD_FAST_FORCED {
    const Leaders<T> leaders = leaders_of<with_other>(fours, rows, stride, classes);
    if (with_other) store(tile.other, to_int(leaders.other));
    store_leaders(leaders, rows, stride, classes, given, count, tile);
  };
  // What waits for the few logits that are looked for would hold up the sum. Those of a large tile would have left L1 meanwhile.
  const bool look_first = lanes * classes * static_cast<int>(sizeof(T)) > large_tile;
  if (look_first) look();
  add_up(ahead);
  if (lanes == 8) asm("" ::: "memory");  // no earlier: the compiler would mix some of it in, and C = 16 to 48 take 4% longer
  if (!look_first) look();
  if (reduce_columns(largest, reference, columns, classes)) add_up(rows);
}

// Two classes: one exponential, and nothing to search for.
template <class T>
RAD_FAST_INLINE void score_two(const T* rows, int64_t stride, const int32_t* given, int count, const T* ahead, bool with_other,
                               Tile& tile) {
  using Scalar = typename Compared<T>::Scalar;
  typename Compared<T>::Vector x, y;
  typename Compared<T>::Index zero, one;
  ask<false>(ahead, 2 * lanes);
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
  store(tile.second, e);
  store(tile.label, label);
  if (with_other) store(tile.other, 1 - label);
  if (given) {
    alignas(64) Scalar tops[lanes];
    store_lanes(tops, top1);
    for (int r = 0; r < count; ++r) tile.given[r] = given_difference(rows + r * stride, 2, given[r], tops[r]);
  }
}

// Elements that are read of a row: whole groups of 16 bytes, and of 4.
template <class T>
RAD_FAST_INLINE int64_t padded_classes(int64_t classes) {
  constexpr int64_t group = sizeof(T) < 4 ? 16 / sizeof(T) : 4;
  return (classes + group - 1) / group * group;
}

// Tiles of few classes that are worked on side by side. With AVX-512 four of them take a fifth longer from memory than two.
constexpr int side_by_side = lanes == 16 ? 2 : 4;

// side_by_side tiles of at most few_classes, all of which may be read as whole groups.
template <bool with_other, class T>
RAD_FAST_INLINE void score_tiles(const T* rows, int64_t stride, int classes, const int32_t* given, Tile* tile) {
  const T* const ahead = ask_ahead<false>(rows, stride, classes, side_by_side);
  // The commonest is told to the compiler, which unrolls the loops: C = 10 is a tenth faster by that.
  if (classes == 10) {
    if (stride == 10) return score_few<10, side_by_side, with_other>(rows, 10, 10, given, lanes, ahead, tile);
    return score_few<10, side_by_side, with_other>(rows, stride, 10, given, lanes, ahead, tile);
  }
  score_few<0, side_by_side, with_other>(rows, stride, classes, given, lanes, ahead, tile);
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
