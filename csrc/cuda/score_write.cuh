// What every way through a row shares: what it is given, what it writes, sums of exponentials and reductions over lanes.
#pragma once

#include "chunk.cuh"
#include "collective.cuh"
#include "kernels.hpp"
#include "tops.cuh"

namespace rad_fast {
namespace cuda {

// ------------------------------------------------------------------------------------------------------ what is written

enum class Pass : int { scores, points, student };

struct Outputs {
  Pass pass;
  float *margin, *confidence;  // `points` and `student`: gain and correctness
  std::int32_t* label;
  float* probability;           // of `given`; may be null
  std::uint8_t* other;          // likeliest class but the label; may be null
  bool alike;                   // `student`: its classes are the teacher's
  const std::uint8_t* exclude;  // may be null
  Rule rule;
  Wrong* wrong;
  Findings* findings;
  std::int64_t first_row;  // the number that these count row 0 by
  bool plain;              // only gain, correctness and label are written, of margin and confidence alone
};

inline bool is_plain(const Outputs& out) {
  const bool given = out.rule.kind != Kind::confidence || out.rule.agrees || out.rule.gains != nullptr;
  return out.pass == Pass::points && !given && out.exclude == nullptr && out.other == nullptr;
}

__device__ __forceinline__ void note(Wrong* wrong, std::int64_t row) {
  atomicAdd(&wrong->count, Counter{1});
  atomicMax(&wrong->first, ~static_cast<Counter>(row));
}

__device__ __forceinline__ void write(const Outputs& out, std::int64_t row, const Row& found) {
  const RowScores scores = finished(found);
  if (out.plain && scores.label >= 0) {
    out.margin[row] = gain_of(scores.margin);
    out.confidence[row] = scores.confidence;
    out.label[row] = scores.label;
    return;
  }
  const bool excluded = out.exclude != nullptr && out.exclude[row] != 0;
  if (scores.label < 0 && !excluded) note(out.wrong, out.first_row + row);
  if (out.pass == Pass::scores) {
    out.margin[row] = scores.margin;
    out.confidence[row] = scores.confidence;
    out.label[row] = scores.label;
    if (out.probability != nullptr) out.probability[row] = given_probability(found);
    return;
  }
  const bool student = out.pass == Pass::student;
  const float margin = student ? out.margin[row] : scores.margin;
  const float confidence = student ? out.confidence[row] : scores.confidence;
  const std::int32_t label = student ? out.label[row] : scores.label;
  const bool of_label = student && out.rule.gain == Gain::label;
  const float probability = of_label || (student && out.rule.kind == Kind::logistic) ? given_probability(found) : 0.0f;
  float c = correctness_of(out.rule, row, margin, confidence, student, scores.margin, probability);
  float gain = gain_of(of_label ? fminf(probability, 1.0f) : scores.margin);  // a rounding may exceed 1
  const float nan = bits_as<float>(std::uint32_t{0x7fffffffu});
  const bool valid = scores.label >= 0 && label >= 0;
  if (!valid) {
    gain = c = nan;
    out.label[row] = -1;
    if (!excluded) atomicAdd(&out.findings->invalid, Counter{1});
  } else {
    out.label[row] = label;
    const float given_gain = out.rule.gains != nullptr ? out.rule.gains[row] : gain;
    if (out.rule.gains != nullptr) gain = gain_on_grid(given_gain);
    // The game's integers rest on numbers in [0, 1].
    const bool wrong_gain = !(given_gain >= 0.0f && given_gain <= 1.0f);
    const bool given = out.rule.kind == Kind::given || out.rule.agrees;
    const bool wrong_given = given && !(out.rule.given[row] >= 0.0f && out.rule.given[row] <= 1.0f);
    if (wrong_gain || wrong_given) gain = nan;
    if (wrong_gain && !excluded) note(&out.findings->gain, out.first_row + row);
    if (wrong_given && !excluded) note(&out.findings->given, out.first_row + row);
  }
  if (out.other != nullptr) {
    const bool own = !student || (out.alike && scores.label == label);  // the row's largest is the label itself
    out.other[row] = valid ? static_cast<std::uint8_t>(own ? found.other : scores.label) : 0;
  }
  out.margin[row] = excluded ? nan : gain;
  out.confidence[row] = c;
}

// ------------------------------------------------------------------------------------------------------- what is read

struct Task : Matrix {
  const std::int32_t* given;  // may be null
  Outputs out;
  bool early;  // launched beside a look
};

template <class T>
__device__ __forceinline__ float given_difference(const Task& task, std::int64_t row, typename Compared<T>::type top) {
  if (task.given == nullptr) return -infinity();
  const std::int64_t label = task.given[row];
  if (label < 0 || label >= task.classes) return -infinity();
  const char* at = task.data + row * task.row_bytes + label * task.column_bytes;
  return static_cast<float>(widened(*reinterpret_cast<const T*>(at)) - top);
}

// Keeps the compiler from holding 16-bit elements as 32-bit numbers from one loop over them to the next.
template <class T, int chunks>
__device__ __forceinline__ void packed_again([[maybe_unused]] Chunk<T>* chunk) {
#if defined(__CUDA_ARCH__)
#pragma unroll
  for (int k = 0; k < chunks; ++k)
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+r"(chunk[k].word[i]));
#endif
}

// exp(x - top) of a chunk's elements, summed as a tree.
template <class T>
__device__ __forceinline__ float chunk_sum(const Chunk<T>& chunk, typename Compared<T>::type top) {
  constexpr int elements = Chunk<T>::elements;
  float e[elements];
#pragma unroll
  for (int i = 0; i < elements; ++i) e[i] = exp_difference(chunk[i], top);
#pragma unroll
  for (int half = elements / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) e[i] += e[i + half];
  }
  return e[0];
}

template <class V>
__device__ __forceinline__ TopTwo<V> group_top(TopTwo<V> top, int group) {
#pragma unroll
  for (int mask = group / 2; mask > 0; mask /= 2)
    top = merged(top, TopTwo<V>{from_xor(top.first, mask, group), from_xor(top.second, mask, group)});
  return top;
}

template <class T>
__device__ __forceinline__ T group_sum(T value, int group) {
#pragma unroll
  for (int mask = group / 2; mask > 0; mask /= 2) value += from_xor(value, mask, group);
  return value;
}

__device__ __forceinline__ std::int32_t group_least(std::int32_t value, int group) {
#pragma unroll
  for (int mask = group / 2; mask > 0; mask /= 2) value = lesser(value, from_xor(value, mask, group));
  return value;
}

}  // namespace cuda
}  // namespace rad_fast
