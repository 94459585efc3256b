// The ways of rows.hpp through rows too long for short_rows.hpp: vectors along the row. For translation units compiled per SIMD
// level.
//
// The row in cells of 8 vectors, of which every lane keeps the maximum alone; the two largest of these, and the cell of the largest,
// are followed. Within the cell of the row's maximum its place and the second largest are looked for afterwards. What is followed at
// every vector is so one maximum, in place of the two largest and the label.
//
// Exponentials are summed in the same pass, relative to the row's first logit (exponential.hpp). float64, and rows with numbers far
// from 0 or from their first, need the maximum before: score_reduced.
#pragma once

#include "exponential.hpp"
#include "simd.hpp"
#include "tile.hpp"
#include "transpose.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

// Of score_reduced: a block, 16 KiB of float32, and the elements asked for ahead of those that are summed: a row's next block, of shorter
// rows the next two kilo-elements.
constexpr int block_classes = 4096;
constexpr int64_t ahead_least = 2048;
constexpr int cell_classes = 8 * lanes;
// Elements summed plainly, in two accumulators of every lane, before they join a sum that keeps its rounding errors: each addition to
// the maximum's 1 may err by 2^-24. PyTorch makes C / 16 such additions; here there are half as many, or 16 (8 with lanes of 4). With
// 16 throughout, rows of 2,000 and more take a twentieth longer.
RAD_FAST_INLINE int64_t chain_of(int64_t classes) {
  constexpr int64_t fewest = (lanes == 4 ? 2 : 4) * cell_classes;
  const int64_t chain = classes / 32 * 2 * lanes / cell_classes * cell_classes;
  return chain < fewest ? fewest : chain > block_classes ? block_classes : chain;
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
RAD_FAST_INLINE Cells<T> no_cells() {
  Cells<T> cells;
  set(cells.top1, -static_cast<typename Compared<T>::Scalar>(infinity));
  cells.top2 = cells.top1;
  set(cells.at, 0);
  return cells;
}

// The next cell, which starts at `at`.
template <class T>
RAD_FAST_INLINE void include_cell(Cells<T>& cells, typename Compared<T>::Vector largest, int64_t at) {
  typename Compared<T>::Index j;
  set(j, static_cast<int32_t>(at));
  cells.at = where_greater(largest, cells.top1, j, cells.at);
  include(cells.top1, cells.top2, largest);
}

template <class T>
RAD_FAST_INLINE Cells<T> cells_of(const T* row, int64_t first, int64_t end) {
  using Vector = typename Compared<T>::Vector;
  Cells<T> cells = no_cells<T>();
  for (; first + cell_classes <= end; first += cell_classes) {
    Vector a[4], b[4];
    for (int k = 0; k < 4; ++k) load_pair(row + first + 2 * k * lanes, a[k], b[k]);
    for (int k = 0; k < 4; ++k) a[k] = maximum(a[k], b[k]);
    include_cell(cells, maximum(maximum(a[0], a[1]), maximum(a[2], a[3])), first);
  }
  if (first < end) {
    Vector largest;
    set(largest, -static_cast<typename Compared<T>::Scalar>(infinity));
    for_pairs(row, first, end, [&](auto a, auto b, int64_t) RAD_FAST_FORCED {
      largest = maximum(largest, maximum(a, b));
    });
    include_cell(cells, largest, first);
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

// exp(row[first .. end - 1] - top), relative to 1, summed. The elements `ahead` of them are asked for meanwhile, little by little.
template <class T>
RAD_FAST_INLINE Sum sum_reduced(const T* row, int64_t first, int64_t end, typename Compared<T>::Vector top, int64_t ahead,
                                int64_t chain) {
  const Reference to = relative_to(Float{});
  Sum sum;
  for (int64_t at = first; at < end;) {
    const int64_t chain_end = end - at < chain ? end : at + chain;
    Float some[2] = {};
    const auto add = [&](auto a, auto b, int64_t) RAD_FAST_FORCED {
      const Float pair[] = {difference(a, top), difference(b, top)};
      add_exponentials(pair, to, some);
    };
#pragma GCC unroll 1
    for (; at + 2 * lanes <= chain_end; at += 2 * lanes) {
      prefetch(row + ahead + at, 2 * lanes);
      typename Compared<T>::Vector a, b;
      load_pair(row + at, a, b);
      add(a, b, at);
    }
    if (at < chain_end) for_pairs(row, at, chain_end, add);
    at = chain_end;
    sum.add(some[0] + some[1]);
  }
  return sum;
}

// --------------------------------------------------------------------------------- the maximum first, block after block

template <class T>
RAD_FAST_APART void score_reduced(const T* row, int64_t classes, Tile& tile, int r, const int32_t* given) {
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
    const Sum block_sum = sum_reduced(block, 0, end, top, end > ahead_least ? end : ahead_least, chain_of(classes));
    store(sum_lanes, block_sum.sum);
    store(lost_lanes, block_sum.lost);
    for (int i = 0; i < lanes; ++i) sum += static_cast<double>(sum_lanes[i]) + static_cast<double>(lost_lanes[i]);
  }
  tile.sum[r] = top1 == none ? __builtin_nanf("") : static_cast<float>(sum);
  tile.lost[r] = static_cast<float>(sum - static_cast<double>(tile.sum[r]));
  const Sum one = exponential(Float{}, relative_to(Float{}));
  tile.first[r] = one.sum[0];
  tile.first_lost[r] = one.lost[0];
  tile.second[r] = static_cast<float>(top2 - top1);
  tile.label[r] = static_cast<int32_t>(label);
  if (given) tile.given[r] = given_difference(row, classes, *given, top1);
}

// -------------------------------------------------------------------------------------------------------------- one pass

// The logit that a row's exponentials are relative to; 0 where the first is none.
template <class T>
RAD_FAST_INLINE float reference_logit(const T* row) {
  const float first = scalar(row[0]);
  return __builtin_fabsf(first) <= constants::near_zero ? first : 0.0f;
}

// Follows the maxima and sums the exponentials.
template <class T>
RAD_FAST_INLINE Cells<T> follow_row(const T* row, int64_t classes, const Reference& to, Sum& sum) {
  Cells<T> cells = no_cells<T>();
  const int64_t chain = chain_of(classes), whole = classes / cell_classes * cell_classes;
  int64_t first = 0;
  while (first < whole) {
    const int64_t chain_end = whole - first < chain ? whole : first + chain;
    Float some[2] = {};
    for (; first < chain_end; first += cell_classes) {
      Float largest, pair[2];
      load_pair(row + first, pair[0], pair[1]);
      largest = maximum(pair[0], pair[1]);
      add_exponentials(pair, to, some);
#pragma GCC unroll 1
      for (int64_t at = first + 2 * lanes; at < first + cell_classes; at += 2 * lanes) {
        load_pair(row + at, pair[0], pair[1]);
        largest = maximum(largest, maximum(pair[0], pair[1]));
        add_exponentials(pair, to, some);
      }
      include_cell(cells, largest, first);
    }
    sum.add(some[0] + some[1]);
  }
  if (first < classes) {
    Float largest = broadcast(-infinity), some[2] = {};
    for_pairs(row, first, classes, [&](Float a, Float b, int64_t) RAD_FAST_FORCED {
      const Float pair[] = {a, b};
      largest = maximum(largest, maximum(a, b));
      add_exponentials(pair, to, some);
    });
    include_cell(cells, largest, first);
    sum.add(some[0] + some[1]);
  }
  return cells;
}

// `count` rows, at most `lanes`. What is left of each, a number a lane, is reduced for all of them together.
template <class T>
RAD_FAST_APART void score_long(const T* rows, int64_t stride, int64_t classes, const int32_t* given, int count, Tile& tile) {
  constexpr int square = lanes * lanes;
  alignas(64) float of_row[square] = {}, first_columns[square], second_columns[square];  // one vector per row; transposed
  alignas(64) float second_of_row[square] = {}, cell_of_row[square] = {}, columns[square];
  alignas(64) float sum_of_row[square] = {}, sum_columns[square], references[lanes] = {}, tops[lanes];
  alignas(64) int32_t cells[lanes];

  for (int r = 0; r < count; ++r) {
    const T* row = rows + r * stride;
    references[r] = reference_logit(row);
    Sum sum;
    const Cells<T> found = follow_row(row, classes, relative_to(broadcast(references[r])), sum);
    store(of_row + r * lanes, found.top1);
    store(second_of_row + r * lanes, found.top2);
    store(cell_of_row + r * lanes, found.at);
    store(sum_of_row + r * lanes, sum.sum + sum.lost);
  }
  transpose(of_row, lanes, lanes, first_columns);
  transpose(second_of_row, lanes, lanes, second_columns);
  transpose(cell_of_row, lanes, lanes, columns);
  transpose(sum_of_row, lanes, lanes, sum_columns);
  Float top1 = load<Float>(first_columns), top2 = load<Float>(second_columns);
  Sum sum;
  for (int c = 1; c < lanes; ++c) merge_top(top1, top2, load<Float>(first_columns + c * lanes), load<Float>(second_columns + c * lanes));
  for (int c = 0; c < lanes; c += 4) {
    const float* four = sum_columns + c * lanes;
    sum.add((load<Float>(four) + load<Float>(four + lanes)) + (load<Float>(four + 2 * lanes) + load<Float>(four + 3 * lanes)));
  }
  Int cell = broadcast(no_label);
  for (int c = 0; c < lanes; ++c)
    cell = lesser(cell, where_equal(load<Float>(first_columns + c * lanes), top1, load<Int>(columns + c * lanes), broadcast(no_label)));
  store(tops, top1);
  store(cells, cell);

  for (int r = 0; r < count; ++r) {
    Float second;
    Int label;
    prefetch(rows + count * stride + r * int64_t{128}, 128);  // the next rows' start: the processor does not see it coming
    look_into_cell(rows + r * stride, cells[r] < classes ? cells[r] : 0, classes, broadcast(tops[r]), second, label);
    store(second_of_row + r * lanes, second);
    store(cell_of_row + r * lanes, label);
  }
  transpose(second_of_row, lanes, lanes, second_columns);
  transpose(cell_of_row, lanes, lanes, columns);
  Int label = load<Int>(columns);
  for (int c = 0; c < lanes; ++c) {
    label = lesser(label, load<Int>(columns + c * lanes));
    top2 = maximum(top2, load<Float>(second_columns + c * lanes));
  }
  const Float reference = load<Float>(references), above = top1 - reference;
  store(tile.sum, sum.sum);
  store(tile.lost, sum.lost);
  store_first(exponential(top1, relative_to(reference)), tile);
  store(tile.second, top2 - top1);
  store(tile.label, label);
  if (given)
    for (int r = 0; r < count; ++r) tile.given[r] = given_difference(rows + r * stride, classes, given[r], tops[r]);
  const unsigned within = equal_lanes(minimum(broadcast(reach_up), maximum(broadcast(-reach_down), above)), above) | ~0u << count;
  if (within == ~0u) return;
  for (int r = 0; r < count; ++r)
    if (!(within >> r & 1)) score_reduced(rows + r * stride, classes, tile, r, given ? given + r : nullptr);
}

// float64 takes its differences from the maximum before they are rounded.
RAD_FAST_INLINE void score_long(const double* rows, int64_t stride, int64_t classes, const int32_t* given, int count, Tile& tile) {
  for (int r = 0; r < count; ++r) score_reduced(rows + r * stride, classes, tile, r, given ? given + r : nullptr);
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
