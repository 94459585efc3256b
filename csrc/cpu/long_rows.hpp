// The ways of rows.hpp through rows too long for short_rows.hpp: vectors along the row. For translation units compiled per SIMD
// level.
//
// First pass: the row in cells of 8 vectors, of which every lane keeps the maximum alone; the two largest of these, and the cell of
// the largest, are followed. Second pass: exponentials and their sum, and within the cell of the maximum its place and the second
// largest. What is followed at every vector is so one maximum, in place of the two largest and the label.
#pragma once

#include "exponential.hpp"
#include "simd.hpp"
#include "tile.hpp"
#include "transpose.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

constexpr int batch_bytes = 24 << 10;  // of the rows of a batch: half of L1
constexpr int batch_least = 10;        // rows: with fewer, blocks are faster (C > 614 in float32)
constexpr int block_classes = 4096;    // 16 KiB of float32: the block and the one being prefetched fit L1
// Elements asked for ahead of those that are summed: a row's next block, of shorter rows the next two kilo-elements. Four of them slow
// C = 1000 down by a tenth, one slows all down.
constexpr int64_t ahead_least = 2048;
constexpr int cell_classes = 8 * lanes;
// Elements summed plainly, in two accumulators of every lane, before they join a sum that keeps its rounding errors: each addition to
// the maximum's 1 may err by 2^-24. PyTorch makes C / 16 such additions; here there are half as many, or 16 (8 with lanes of 4). With
// 16 throughout, rows of 2,000 and more take a twentieth longer.
RAD_FAST_INLINE int64_t chain_of(int64_t classes) {
  constexpr int64_t fewest = (lanes == 4 ? 16 : 32) * lanes;
  const int64_t chain = classes / 32 * 2 * lanes;
  return chain > fewest ? chain : fewest;
}

// Calls step(a, b, position of the pair's first element) for all of row[first .. end - 1]. The last, partial pair is loaded
// so that it ends at `end`, with -inf in the lanes that were already seen; hence end >= 2 lanes is needed.
template <class T, class Step>
RAD_FAST_INLINE void for_pairs(const T* row, int64_t first, int64_t end, const Step& step) {
  typename Compared<T>::Vector a, b;
  typename Compared<T>::Index position_a, position_b;
  for (; first + 2 * lanes <= end; first += 2 * lanes) {
    load_pair(row + first, a, b);
    step(a, b, first);
  }
  if (first < end) {
    pair_positions(row, position_a, position_b);
    const int32_t seen = static_cast<int32_t>(first - (end - 2 * lanes));
    load_pair(row + (end - 2 * lanes), a, b);
    step(keep_from(a, position_a, seen), keep_from(b, position_b, seen), end - 2 * lanes);
  }
}

// The same from the end to the start, so that the last match a step notes is the row's first.
template <class T, class Step>
RAD_FAST_INLINE void for_pairs_backwards(const T* row, int64_t first, int64_t end, const Step& step) {
  int64_t at = first + (end - first) / (2 * lanes) * (2 * lanes);
  if (at < end) for_pairs(row, at, end, step);
  typename Compared<T>::Vector a, b;
  while (at > first) {
    at -= 2 * lanes;
    load_pair(row + at, a, b);
    step(a, b, at);
  }
}

// Of every lane: the two largest maxima of cells, and where the cell of the largest (the first of them) starts.
template <class T>
struct Cells {
  typename Compared<T>::Vector top1, top2;
  typename Compared<T>::Index at;
};

template <class T>
RAD_FAST_INLINE Cells<T> cells_of(const T* row, int64_t first, int64_t end) {
  using Vector = typename Compared<T>::Vector;
  Cells<T> cells;
  typename Compared<T>::Index j;
  set(cells.top1, -static_cast<typename Compared<T>::Scalar>(infinity));
  cells.top2 = cells.top1;
  set(cells.at, static_cast<int32_t>(first));
  const auto follow = [&](Vector largest, int64_t at) RAD_FAST_FORCED {
    set(j, static_cast<int32_t>(at));
    cells.at = where_greater(largest, cells.top1, j, cells.at);
    include(cells.top1, cells.top2, largest);
  };
  for (; first + cell_classes <= end; first += cell_classes) {
    Vector a[4], b[4];
    for (int k = 0; k < 4; ++k) load_pair(row + first + 2 * k * lanes, a[k], b[k]);
    for (int k = 0; k < 4; ++k) a[k] = maximum(a[k], b[k]);
    follow(maximum(maximum(a[0], a[1]), maximum(a[2], a[3])), first);
  }
  if (first < end) {
    Vector largest;
    set(largest, -static_cast<typename Compared<T>::Scalar>(infinity));
    for_pairs(row, first, end, [&](auto a, auto b, int64_t) RAD_FAST_FORCED {
      largest = maximum(largest, maximum(a, b));
    });
    follow(largest, first);
  }
  return cells;
}

// Within the cell that starts at `first`: of every lane the second largest and the first place of `top`, no_label if none.
template <class T>
RAD_FAST_INLINE void look_into_cell(const T* row, int64_t first, int64_t end, typename Compared<T>::Vector top,
                                    typename Compared<T>::Vector& second, typename Compared<T>::Index& label) {
  using Index = typename Compared<T>::Index;
  typename Compared<T>::Vector largest;
  Index label_a, label_b, position_a, position_b, j;
  set(largest, -static_cast<typename Compared<T>::Scalar>(infinity));
  second = largest;
  set(label_a, no_label);
  label_b = label_a;
  end = first + cell_classes < end ? first + cell_classes : end;
  for_pairs_backwards(row, first, end, [&](auto a, auto b, int64_t at) RAD_FAST_FORCED {
    set(j, static_cast<int32_t>(at));
    label_a = where_equal(a, top, j, label_a);
    label_b = where_equal(b, top, j, label_b);
    include(largest, second, a);
    include(largest, second, b);
  });
  pair_positions(row, position_a, position_b);
  label = lesser(plus(label_a, position_a), plus(label_b, position_b));
}

// exp(row[first .. end - 1] - top), summed. The elements `ahead` of them are asked for meanwhile, little by little.
template <class T>
RAD_FAST_INLINE Sum sum_exponentials(const T* row, int64_t first, int64_t end, typename Compared<T>::Vector top, int64_t ahead,
                                  int64_t chain) {
  constexpr int step = at_a_time * lanes;
  typename Compared<T>::Vector x[at_a_time];
  Sum sum;
  for (int64_t at = first; at < end;) {
    const int64_t chain_end = end - at < chain ? end : at + chain;
    Float some[2] = {};
#pragma GCC unroll 1
    for (; at + step <= chain_end; at += step) {
      prefetch(row + ahead + at, step);
      for (int k = 0; k < at_a_time; k += 2) load_pair(row + at + k * lanes, x[k], x[k + 1]);
      add_exponentials(x, top, some);
    }
    if (at < chain_end) {
      for_pairs(row, at, chain_end, [&](auto a, auto b, int64_t) RAD_FAST_FORCED {
        const decltype(a) pair[] = {a, b};
        add_exponentials(pair, top, some);
      });
      at = chain_end;
    }
    sum.add(some[0] + some[1]);
  }
  return sum;
}

// ---------------------------------------------------------------------------------------- rows of which 10 fit half of L1

// `count` rows, at most `lanes`. What is left of each, a number a lane, is reduced for all of them together.
template <class T>
RAD_FAST_APART void score_batch(const T* rows, int64_t stride, int classes, const int32_t* given, int count, Tile& tile) {
  using Scalar = typename Compared<T>::Scalar;
  using Vector = typename Compared<T>::Vector;
  using Index = typename Compared<T>::Index;
  constexpr int square = lanes * lanes;
  alignas(64) Scalar first_of_row[square], second_of_row[square];  // one vector per row
  alignas(64) Scalar columns[square], second_columns[square];      // the same, transposed
  alignas(64) float cell_of_row[square], cell_columns[square];     // the bits of int32
  alignas(64) Scalar tops[lanes];
  alignas(64) int32_t cells[lanes];
  Vector top1, top2, x, y;

  for (int r = 0; r < count; ++r) {
    const Cells<T> found = cells_of(rows + r * stride, 0, classes);
    store_lanes(first_of_row + r * lanes, found.top1);
    store_lanes(second_of_row + r * lanes, found.top2);
    store(cell_of_row + r * lanes, to_int(found.at));
  }
  transpose(first_of_row, lanes, lanes, columns);
  transpose(second_of_row, lanes, lanes, second_columns);
  transpose(cell_of_row, lanes, lanes, cell_columns);
  load_lanes(columns, top1);
  load_lanes(second_columns, top2);
  for (int c = 1; c < lanes; ++c) {
    load_lanes(columns + c * lanes, x);
    load_lanes(second_columns + c * lanes, y);
    merge_top(top1, top2, x, y);
  }
  Index cell, none, at;
  set(none, no_label);
  cell = none;
  for (int c = 0; c < lanes; ++c) {
    load_lanes(columns + c * lanes, x);
    load_index(cell_columns + c * lanes, at);
    cell = lesser(cell, where_equal(x, top1, at, none));
  }
  store_lanes(tops, top1);
  store(cells, to_int(cell));

  alignas(64) float sums[square], sum_columns[square];
  alignas(64) float labels[square], label_columns[square];  // the bits of int32
  for (int r = 0; r < count; ++r) {
    Vector top, second;
    Index label;
    set(top, tops[r]);
    const T* row = rows + r * stride;
    const Sum sum = sum_exponentials(row, 0, classes, top, count * stride, chain_of(classes));  // the next batch is asked for
    store(sums + r * lanes, sum.sum + sum.lost);
    look_into_cell(row, cells[r] < classes ? cells[r] : 0, classes, top, second, label);
    store_lanes(second_of_row + r * lanes, second);
    store(labels + r * lanes, to_int(label));
  }
  transpose(second_of_row, lanes, lanes, second_columns);
  transpose(sums, lanes, lanes, sum_columns);
  transpose(labels, lanes, lanes, label_columns);
  Sum sum;
  Int label = load<Int>(label_columns);
  for (int c = 0; c < lanes; c += 4) {
    Float e[4];
    for (int k = 0; k < 4; ++k) {
      e[k] = load<Float>(sum_columns + (c + k) * lanes);
      label = lesser(label, load<Int>(label_columns + (c + k) * lanes));
      load_lanes(second_columns + (c + k) * lanes, x);
      top2 = maximum(top2, x);
    }
    sum.add((e[0] + e[1]) + (e[2] + e[3]));
  }
  store(tile.sum, sum.sum);
  store(tile.lost, sum.lost);
  store(tile.second, difference(top2, top1));
  store(tile.label, label);
  if (given)
    for (int r = 0; r < count; ++r) tile.given[r] = given_difference(rows + r * stride, classes, given[r], tops[r]);
}

// ------------------------------------------------------------------------------------------------- longer rows, in blocks

template <class T>
RAD_FAST_APART void score_long(const T* row, int64_t classes, Tile& tile, int r, const int32_t* given) {
  using Scalar = typename Compared<T>::Scalar;
  using Vector = typename Compared<T>::Vector;
  const Scalar none = -static_cast<Scalar>(infinity);
  const Scalar lowest = sizeof(Scalar) == 8 ? static_cast<Scalar>(-__DBL_MAX__) : static_cast<Scalar>(-__FLT_MAX__);
  alignas(64) Scalar first_lanes[lanes], second_lanes[lanes];
  alignas(64) int32_t at_lanes[lanes];
  alignas(64) float sum_lanes[lanes], lost_lanes[lanes];
  Scalar top1 = none, top2 = none;
  Scalar reference = lowest;  // what the sum is relative to: top1, but finite while only -inf has been seen
  double sum = 0;
  int64_t label = 0;
  for (int64_t first = 0; first < classes; first += block_classes) {
    const T* block = row + first;
    const int64_t end = classes - first < block_classes ? classes - first : block_classes;
    Vector top;
    const Cells<T> cells = cells_of(block, 0, end);
    store_lanes(first_lanes, cells.top1);
    store_lanes(second_lanes, cells.top2);
    Scalar block1 = none, block2 = none;
    for (int i = 0; i < lanes; ++i) {
      const Scalar smaller = first_lanes[i] < block1 ? first_lanes[i] : block1;
      block2 = smaller > block2 ? smaller : block2;
      block2 = second_lanes[i] > block2 ? second_lanes[i] : block2;
      block1 = first_lanes[i] > block1 ? first_lanes[i] : block1;
    }
    if (block1 > top1) {
      store(at_lanes, to_int(cells.at));
      int32_t cell = no_label, place = no_label;
      for (int i = 0; i < lanes; ++i)
        if (first_lanes[i] == block1 && at_lanes[i] < cell) cell = at_lanes[i];
      Vector second;
      typename Compared<T>::Index places;
      set(top, block1);
      look_into_cell(block, cell, end, top, second, places);
      store_lanes(second_lanes, second);
      store(at_lanes, to_int(places));
      for (int i = 0; i < lanes; ++i) {
        block2 = second_lanes[i] > block2 ? second_lanes[i] : block2;
        place = at_lanes[i] < place ? at_lanes[i] : place;
      }
      label = first + place;
      const Scalar raised = block1 > lowest ? block1 : lowest;
      if (sum != 0) sum *= __builtin_exp(static_cast<double>(reference) - static_cast<double>(raised));
      reference = raised;
      top2 = top1 > block2 ? top1 : block2;
      top1 = block1;
    } else {
      top2 = block1 > top2 ? block1 : top2;
    }
    set(top, reference);
    const Sum block_sum = sum_exponentials(block, 0, end, top, end > ahead_least ? end : ahead_least, chain_of(classes));
    store(sum_lanes, block_sum.sum);
    store(lost_lanes, block_sum.lost);
    for (int i = 0; i < lanes; ++i) sum += static_cast<double>(sum_lanes[i]) + static_cast<double>(lost_lanes[i]);
  }
  tile.sum[r] = top1 == none ? __builtin_nanf("") : static_cast<float>(sum);
  tile.lost[r] = static_cast<float>(sum - static_cast<double>(tile.sum[r]));
  tile.second[r] = static_cast<float>(top2 - top1);
  tile.label[r] = static_cast<int32_t>(label);
  if (given) tile.given[r] = given_difference(row, classes, *given, top1);
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
