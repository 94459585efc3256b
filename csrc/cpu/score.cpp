// The scoring stage: margin, confidence, label and a given label's probability of every row, in one read of the logits.
//
// Bytes per point: C elements read; written, 12 (margin, confidence, label) and 4 more for a given label's probability. The
// fused route (appraise) writes 12 (gain, correctness, label) and keeps all else in buffers on the stack. The floor it is
// held against is a streaming sum of the same array (stream_sum below): with C = 100 in float32 the reads are 97% of the
// traffic; with C = 2 more is written than read. Arithmetic is 12 vector operations an element for the exponential and its
// sum, 3 for the two largest and 0 to 3 for the label: from L1 2.7 to 2.9 ns for 16 elements on a 4.1 GHz Zen 5 core where
// C >= 32, and 3.6 at C = 10; the exponential alone takes 1.1.
//
// Three ways through a row, by its length and type alone, so that its result does not depend on its neighbours, the number
// of threads or the chunk it came in:
//   C <= lane_classes     `lanes` rows are transposed into columns; every lane follows its own row, no horizontal step
//                         (short_rows.hpp).
//   10 rows fit half L1   up to `lanes` rows one after another, with vectors along the row: first the maxima of all of them,
//                         then the sums of all while they are in L1; what is left per row is reduced across lanes together.
//   longer                a row in blocks that stay in L1, two passes over a block, sums rescaled when the maximum rises.
// NaN is found by its sum: every element goes through the exponential, which keeps NaN (maxima lose it). +inf turns its own
// difference inf - inf into NaN, a row of -inf likewise.

#include "score.hpp"

#include "correctness.hpp"
#include "dispatch.hpp"
#include "other.hpp"
#include "short_rows.hpp"
#include "simd.hpp"
#include "tile.hpp"
#include "transpose.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {
namespace {

constexpr int batch_bytes = 24 << 10;  // of the rows of a batch: half of L1
constexpr int batch_least = 10;        // rows: with fewer the third way is faster (C > 614 in float32)
constexpr int block_classes = 4096;    // 16 KiB of float32: the block and the one being prefetched fit L1
// Elements summed plainly, in chains of 2 (8) additions in two accumulators, before they join a sum that keeps its rounding
// errors: each addition to the maximum's 1 may err by 2^-24, and PyTorch's error is to be met at every length and level.
constexpr int batch_chain = 4 * lanes;
constexpr int long_chain = (lanes == 16 ? 16 : 4) * lanes;
constexpr int64_t appraise_rows = 512;  // at a time: what lies between the steps stays on the stack, 7 numbers a row

// ----------------------------------------------------------------------------------------- longer rows, vectors along them

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

template <class T>
RAD_FAST_INLINE void top_two(const T* row, int64_t first, int64_t end, typename Compared<T>::Vector& top1,
                             typename Compared<T>::Vector& top2) {
  typename Compared<T>::Vector a1, a2, b1, b2;
  using Scalar = typename Compared<T>::Scalar;
  set(a1, -static_cast<Scalar>(infinity));
  a2 = b1 = b2 = a1;
  for_pairs(row, first, end, [&](auto a, auto b, int64_t) __attribute__((always_inline)) {
    include(a1, a2, a);
    include(b1, b2, b);
  });
  merge_top(a1, a2, b1, b2);
  top1 = a1;
  top2 = a2;
}

template <class T>
RAD_FAST_APART void score_batch(const T* rows, int64_t stride, int classes, const int32_t* given, int count, Tile& tile) {
  using Scalar = typename Compared<T>::Scalar;
  using Vector = typename Compared<T>::Vector;
  using Index = typename Compared<T>::Index;
  alignas(64) Scalar first_of_row[lanes * lanes], second_of_row[lanes * lanes];  // one vector per row
  alignas(64) Scalar columns[lanes * lanes], second_columns[lanes * lanes];      // the same, transposed
  alignas(64) Scalar tops[lanes];
  Vector top1, top2, x, y;

  for (int r = 0; r < count; ++r) {
    top_two(rows + r * stride, 0, classes, top1, top2);
    store_lanes(first_of_row + r * lanes, top1);
    store_lanes(second_of_row + r * lanes, top2);
  }
  transpose(first_of_row, lanes, lanes, columns);
  transpose(second_of_row, lanes, lanes, second_columns);
  load_lanes(columns, top1);
  load_lanes(second_columns, top2);
  for (int c = 1; c < lanes; ++c) {
    load_lanes(columns + c * lanes, x);
    load_lanes(second_columns + c * lanes, y);
    merge_top(top1, top2, x, y);
  }
  store_lanes(tops, top1);
  store(tile.second, difference(top2, top1));

  alignas(64) float sums[lanes * lanes], sum_columns[lanes * lanes];
  alignas(64) float labels[lanes * lanes], label_columns[lanes * lanes];  // the bits of int32
  Index position_a, position_b;
  pair_positions(rows, position_a, position_b);
  for (int r = 0; r < count; ++r) {
    Vector top;
    set(top, tops[r]);
    const T* row = rows + r * stride;
    Sum sum;
    Index label_a, label_b, j;
    set(label_a, no_label);
    label_b = label_a;
    for (int64_t at = (classes - 1) / batch_chain * batch_chain; at >= 0; at -= batch_chain) {
      const int64_t end = at + batch_chain < classes ? at + batch_chain : classes;
      // Two batches ahead, into L2 at least: one ahead costs a quarter of the speed where rows are not whole cache lines.
      prefetch(row + 2 * count * stride + at, end - at);
      Float sum_a{}, sum_b{};
      for_pairs_backwards(row, at, end, [&](auto a, auto b, int64_t first) __attribute__((always_inline)) {
        sum_a += exp_difference(a, top);
        sum_b += exp_difference(b, top);
        set(j, static_cast<int32_t>(first));
        label_a = where_equal(a, top, j, label_a);
        label_b = where_equal(b, top, j, label_b);
      });
      sum.add(sum_a + sum_b);
    }
    store(sums + r * lanes, sum.sum + sum.lost);
    store(labels + r * lanes, to_int(lesser(plus(label_a, position_a), plus(label_b, position_b))));
  }
  transpose(sums, lanes, lanes, sum_columns);
  transpose(labels, lanes, lanes, label_columns);
  Sum sum;
  Int label = load<Int>(label_columns);
  for (int c = 0; c < lanes; c += 4) {
    Float e[4];
    for (int k = 0; k < 4; ++k) {
      e[k] = load<Float>(sum_columns + (c + k) * lanes);
      label = lesser(label, load<Int>(label_columns + (c + k) * lanes));
    }
    sum.add((e[0] + e[1]) + (e[2] + e[3]));
  }
  store(tile.sum, sum.sum);
  store(tile.lost, sum.lost);
  store(tile.label, label);
  if (given)
    for (int r = 0; r < count; ++r) tile.given[r] = given_difference(rows + r * stride, classes, given[r], tops[r]);
}

// ------------------------------------------------------------------------------------------------- long rows, in blocks

// The first position in first .. end - 1 that holds `value`; `end` where none does (a row with NaN).
template <class T>
RAD_FAST_INLINE int64_t find(const T* row, int64_t first, int64_t end, typename Compared<T>::Scalar value) {
  typename Compared<T>::Vector a, b, wanted;
  set(wanted, value);
  for (; first + 2 * lanes <= end; first += 2 * lanes) {
    load_pair(row + first, a, b);
    if (equal_lanes(a, wanted) | equal_lanes(b, wanted)) break;
  }
  for (; first < end; ++first)
    if (scalar(row[first]) == value) break;
  return first;
}

template <class T>
RAD_FAST_APART void score_long(const T* row, int64_t classes, Tile& tile, int r, const int32_t* given) {
  using Scalar = typename Compared<T>::Scalar;
  const Scalar none = -static_cast<Scalar>(infinity);
  const Scalar lowest = sizeof(Scalar) == 8 ? static_cast<Scalar>(-__DBL_MAX__) : static_cast<Scalar>(-__FLT_MAX__);
  alignas(64) Scalar first_lanes[lanes], second_lanes[lanes];
  alignas(64) float sum_lanes[lanes], lost_lanes[lanes];
  Scalar top1 = none, top2 = none;
  Scalar reference = lowest;  // what the sum is relative to: top1, but finite while only -inf has been seen
  double sum = 0;
  int64_t label = 0;
  for (int64_t first = 0; first < classes; first += block_classes) {
    const int64_t end = first + block_classes < classes ? first + block_classes : classes;
    typename Compared<T>::Vector v1, v2, top;
    top_two(row, first, end, v1, v2);
    store_lanes(first_lanes, v1);
    store_lanes(second_lanes, v2);
    Scalar block1 = none, block2 = none;
    for (int i = 0; i < lanes; ++i) {
      const Scalar smaller = first_lanes[i] < block1 ? first_lanes[i] : block1;
      block2 = smaller > block2 ? smaller : block2;
      block2 = second_lanes[i] > block2 ? second_lanes[i] : block2;
      block1 = first_lanes[i] > block1 ? first_lanes[i] : block1;
    }
    if (block1 > top1) {
      label = find(row, first, end, block1);
      const Scalar raised = block1 > lowest ? block1 : lowest;
      if (sum != 0) sum *= __builtin_exp(static_cast<double>(reference) - static_cast<double>(raised));
      reference = raised;
      top2 = top1 > block2 ? top1 : block2;
      top1 = block1;
    } else {
      top2 = block1 > top2 ? block1 : top2;
    }
    set(top, reference);
    Sum block_sum;
    for (int64_t at = first; at < end; at += long_chain) {
      const int64_t chain_end = at + long_chain < end ? at + long_chain : end;
      prefetch(row + at + block_classes, long_chain);
      Float sum_a{}, sum_b{};
      for_pairs(row, at, chain_end, [&](auto a, auto b, int64_t) __attribute__((always_inline)) {
        sum_a += exp_difference(a, top);
        sum_b += exp_difference(b, top);
      });
      block_sum.add(sum_a + sum_b);
    }
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

// ------------------------------------------------------------------------------------------------------ rows to scores

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
void score_rows(const Logits& z, int64_t first, int64_t count, const int32_t* given, const Scores& out, Invalid& invalid) {
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
                  tile_rows, tile);
    } else if (in_batches) {
      score_batch(rows, stride, static_cast<int>(z.classes), tile_given, tile_rows, tile);
    } else {
      for (int r = 0; r < tile_rows; ++r)
        score_long(rows + r * stride, z.classes, tile, r, tile_given ? tile_given + r : nullptr);
    }
    finish(tile, tile_rows, row, given != nullptr, out, at, invalid);
  }
}

void score(const Logits& z, int64_t first, int64_t count, const int32_t* given, const Scores& out, Invalid& invalid) {
  switch (z.dtype) {
    case DType::float64: return score_rows<double>(z, first, count, given, out, invalid);
    case DType::float32: return score_rows<float>(z, first, count, given, out, invalid);
    case DType::float16: return score_rows<float16>(z, first, count, given, out, invalid);
    case DType::bfloat16: return score_rows<bfloat16>(z, first, count, given, out, invalid);
  }
}

// -------------------------------------------------------------------------------------------------- correctness, fused

void appraise_some(const Appraisal& task, int64_t first, int64_t count, Invalid& teacher_invalid, Invalid& student_invalid) {
  // Whole vectors are read below: the buffers are set beyond `count`. Setting all of them would take a tenth of the time at
  // C = 10.
  alignas(64) float margin[appraise_rows + lanes], confidence[appraise_rows + lanes];
  alignas(64) float student_margin[appraise_rows + lanes], student_confidence[appraise_rows + lanes];
  alignas(64) float student_given[appraise_rows + lanes];
  alignas(64) int32_t label[appraise_rows + lanes], student_label[appraise_rows + lanes];
  float* const numbers[] = {margin, confidence, student_margin, student_confidence, student_given};
  for (float* buffer : numbers) store(buffer + count, Float{});
  store(label + count, Int{});
  store(student_label + count, Int{});
  const bool with_student = task.student.data != nullptr;
  score(task.teacher, first, count, nullptr, Scores{margin, confidence, label, nullptr}, teacher_invalid);
  if (with_student)
    score(task.student, first, count, label, Scores{student_margin, student_confidence, student_label, student_given},
          student_invalid);

  const Correctness& model = task.correctness;
  const float* learned = with_student ? student_margin : margin;  // what the gain is short of 1
  if (task.gain_of_label && with_student) learned = student_given;
  const int32_t* learner_label = with_student ? student_label : label;
  alignas(64) float stepped[lanes] = {};
  for (int64_t i = 0; i < count; i += lanes) {
    const int some = static_cast<int>(count - i < lanes ? count - i : lanes);
    const Float m = load<Float>(margin + i);
    Float c{};
    switch (model.model) {
      case CorrectnessModel::confidence: c = load<Float>(confidence + i); break;
      case CorrectnessModel::constant: c = broadcast(model.constant); break;
      case CorrectnessModel::given:
        __builtin_memcpy(stepped, model.given + first + i, static_cast<unsigned long>(some) * sizeof(float));
        c = load<Float>(stepped);
        break;
      case CorrectnessModel::steps:
        for (int r = 0; r < some; ++r) stepped[r] = look_up(model, margin[i + r]);
        c = load<Float>(stepped);
        break;
      case CorrectnessModel::logistic: {
        Float u = multiply_add(broadcast(model.weights[1]), logit(m), broadcast(model.weights[0]));
        u = multiply_add(broadcast(model.weights[2]), logit(load<Float>(student_given + i)), u);
        u = multiply_add(broadcast(model.weights[3]), load<Float>(student_margin + i), u);
        c = minimum(maximum(sigmoid(u), broadcast(model.bounds[0])), broadcast(model.bounds[1]));
        break;
      }
    }
    const Int wrong = (load<Int>(label + i) | load<Int>(learner_label + i)) < 0;  // -1 in either
    const Float nan = broadcast(__builtin_nanf(""));
    store_some(task.gain + first + i, wrong ? nan : 1.0f - minimum(broadcast(1.0f), load<Float>(learned + i)), some);
    store_some(task.probability_correct + first + i, wrong ? nan : c, some);
    store_some(reinterpret_cast<float*>(task.label + first + i), (Float)(load<Int>(label + i) | wrong), some);
  }
  if (!task.other) return;
  const bool alike = !with_student || task.student.classes == task.teacher.classes;
  likeliest_others(with_student ? task.student : task.teacher, first, count, alike ? label : nullptr, task.other + first);
  for (int64_t i = 0; i < count; ++i)
    if (task.label[first + i] < 0) task.other[first + i] = 0;
}

void appraise(const Appraisal& task, int64_t first, int64_t count, Invalid& teacher_invalid, Invalid& student_invalid) {
  for (int64_t at = 0; at < count; at += appraise_rows)
    appraise_some(task, first + at, count - at < appraise_rows ? count - at : appraise_rows, teacher_invalid, student_invalid);
}

// ----------------------------------------------------------------------------------------------------- the yardstick

double stream_sum(const float* values, int64_t count) {
  Float sum[8] = {};
  int64_t i = 0;
  for (; i + 8 * lanes <= count; i += 8 * lanes)
    for (int k = 0; k < 8; ++k) sum[k] += load<Float>(values + i + k * lanes);
  double total = 0;
  for (; i < count; ++i) total += static_cast<double>(values[i]);
  for (int k = 0; k < 8; ++k)
    for (int l = 0; l < lanes; ++l) total += static_cast<double>(sum[k][l]);
  return total;
}

}  // namespace

const ScoreKernels score_kernels = {score, appraise, stream_sum};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
