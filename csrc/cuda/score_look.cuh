// A few rows, evenly spaced: whether they are probabilities and no logits. rad_fast/inputs/softmax.py says what that means.
#pragma once

#include "chunk.cuh"
#include "collective.cuh"
#include "kernels.hpp"

namespace rad_fast {
namespace cuda {

constexpr int look_threads = 256;

// A block a row. Rows left out, or not finite, say nothing.
template <class T>
__global__ void __launch_bounds__(look_threads) look_at_rows(const Matrix z, const std::uint8_t* exclude, double off, Looked* looked) {
  __shared__ double sums[look_threads / warp_lanes];
  __shared__ int counts[3][look_threads / warp_lanes];
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
  if (outside > 0 || !(sum >= 1.0 - off && sum <= 1.0 + off)) {
    atomicAdd(&looked->others, Counter{1});
    return;
  }
  atomicAdd(&looked->alike, Counter{1});
  if (fractions > 0) atomicAdd(&looked->fractions, Counter{1});
}

}  // namespace cuda
}  // namespace rad_fast
