// A few rows, evenly spaced: whether they are probabilities and no logits. rad_fast/inputs/softmax.py says what that means.
#pragma once

#include <cstddef>

#include "chunk.cuh"
#include "collective.cuh"
#include "kernels.hpp"

namespace rad_fast {
namespace cuda {

constexpr int look_threads = 256;

// What a look clears before the scores are counted in it, by launches after this one: the findings, of which its blocks write
// their own bytes, and the counters behind them.
struct Cleared {
  Findings* findings;  // null: nothing is cleared, and rows are added to `looked`
  std::int64_t behind;
};

__device__ __forceinline__ void clear(const Cleared& all) {
  auto* const words = reinterpret_cast<std::uint32_t*>(all.findings);
  constexpr std::int64_t own = offsetof(Findings, first_look) / 4, end = own + most_looks / 4;
  static_assert(offsetof(Findings, first_look) % 4 == 0 && most_looks % 4 == 0 && sizeof(Findings) % 8 == 0, "whole words");
  const std::int64_t count = static_cast<std::int64_t>(sizeof(Findings) / 4) + 2 * all.behind;
  const std::int64_t step = std::int64_t{look_threads} * gridDim.x;
  for (std::int64_t i = std::int64_t{look_threads} * blockIdx.x + threadIdx.x; i < count; i += step)
    if (i < own || i >= end) words[i] = 0;
  if (blockIdx.x == 0 && threadIdx.x >= gridDim.x && threadIdx.x < most_looks)  // of no block
    all.findings->first_look[threadIdx.x] = Verdict::nothing;
}

// A block a row. Rows left out, or not finite, say nothing.
template <class T>
__global__ void __launch_bounds__(look_threads)
    look_at_rows(const Matrix z, const std::uint8_t* exclude, double off, Looked* looked, const Cleared cleared) {
  __shared__ double sums[look_threads / warp_lanes];
  __shared__ int counts[3][look_threads / warp_lanes];
  if (cleared.findings != nullptr) {
    clear(cleared);
    if (threadIdx.x == 0) cleared.findings->first_look[blockIdx.x] = Verdict::nothing;
  }
  const std::int64_t row = blockIdx.x * (z.rows - 1) / greater(1u, gridDim.x - 1);
  if (exclude != nullptr && exclude[row] != 0) return;
  double sum = 0.0;
  int outside = 0, unknown = 0, fractions = 0;
  for (std::int64_t i = threadIdx.x; i < z.classes; i += look_threads) {
    const auto x = static_cast<double>(widened(*reinterpret_cast<const T*>(z.data + row * z.row_bytes + i * z.column_bytes)));
    sum += x;
    unknown += x != x || x == static_cast<double>(infinity());
    outside += !(x >= 0.0 && x <= 1.0 + off);
    fractions += x > 0.0 && x < 1.0;
  }
  sum = block_sum<look_threads>(sum, sums);
  unknown = block_sum<look_threads>(unknown, counts[0]);
  outside = block_sum<look_threads>(outside, counts[1]);
  fractions = block_sum<look_threads>(fractions, counts[2]);
  if (threadIdx.x != 0 || unknown > 0) return;
  const bool other = outside > 0 || !(sum >= 1.0 - off && sum <= 1.0 + off);
  if (cleared.findings != nullptr) {
    cleared.findings->first_look[blockIdx.x] = other ? Verdict::other : fractions > 0 ? Verdict::fractions : Verdict::alike;
    return;
  }
  atomicAdd(other ? &looked->others : &looked->alike, Counter{1});
  if (!other && fractions > 0) atomicAdd(&looked->fractions, Counter{1});
}

}  // namespace cuda
}  // namespace rad_fast
