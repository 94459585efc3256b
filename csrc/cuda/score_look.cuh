// A few rows, evenly spaced: whether they are probabilities and no logits. rad_fast/inputs/softmax.py says what that means.
#pragma once

#include <cstddef>

#include "chunk.cuh"
#include "collective.cuh"
#include "kernels.hpp"
#include "launch.cuh"

namespace rad_fast {
namespace cuda {

// A long row's block: at four chunks a thread, 64 KiB in flight.
constexpr int look_threads = 256, long_look_threads = 1024;

// What a look clears before the scores are counted in it, by launches after this one: the findings, of which its blocks write
// their own bytes, and the counters behind them.
struct Cleared {
  Findings* findings;  // null: nothing is cleared, and rows are added to `looked`
  std::int64_t behind;
};

template <int threads>
__device__ __forceinline__ void clear(const Cleared& all) {
  auto* const words = reinterpret_cast<std::uint32_t*>(all.findings);
  constexpr std::int64_t own = offsetof(Findings, first_look) / 4, end = own + most_looks / 4;
  static_assert(offsetof(Findings, first_look) % 4 == 0 && most_looks % 4 == 0 && sizeof(Findings) % 8 == 0, "whole words");
  const std::int64_t count = static_cast<std::int64_t>(sizeof(Findings) / 4) + 2 * all.behind;
  const std::int64_t step = std::int64_t{threads} * gridDim.x;
  for (std::int64_t i = std::int64_t{threads} * blockIdx.x + threadIdx.x; i < count; i += step)
    if (i < own || i >= end) words[i] = 0;
  if (blockIdx.x == 0 && threadIdx.x >= gridDim.x && threadIdx.x < most_looks)  // of no block
    all.findings->first_look[threadIdx.x] = Verdict::nothing;
}

// What a thread has seen of a row. Of one with a number outside [0, 1] nothing else matters, but whether it is finite.
struct Glance {
  double sum = 0.0;
  int outside = 0, unknown = 0, fractions = 0;

  template <class T>
  __device__ __forceinline__ void take(const Chunk<T>& chunk, std::int64_t count, double most) {
    typedef typename Compared<T>::type V;
#pragma unroll
    for (int i = 0; i < Chunk<T>::elements; ++i) unknown |= !(chunk[i] < static_cast<V>(infinity()));  // past the end: -inf
    if (outside != 0) return;
#pragma unroll
    for (int i = 0; i < Chunk<T>::elements; ++i) {
      if (i >= count) continue;
      const auto x = static_cast<double>(chunk[i]);
      sum += x;
      outside |= !(x >= 0.0 && x <= most);
      fractions |= x > 0.0 && x < 1.0;
    }
  }
};

// A block a row. Rows left out, or not finite, say nothing.
template <class T, int threads>
__global__ void __launch_bounds__(threads)
    look_at_rows(const Matrix z, const std::uint8_t* exclude, double off, Looked* looked, const Cleared cleared) {
  others_may_begin();
  constexpr int at_once = 4;
  __shared__ double sums[threads / warp_lanes];
  __shared__ int counts[3][threads / warp_lanes];
  if (cleared.findings != nullptr) {
    clear<threads>(cleared);
    if (threadIdx.x == 0) cleared.findings->first_look[blockIdx.x] = Verdict::nothing;
  }
  const std::int64_t row = blockIdx.x * (z.rows - 1) / greater(1u, gridDim.x - 1);
  if (exclude != nullptr && exclude[row] != 0) return;
  const RowPlace place = place_of<T>(z, z.data + row * z.row_bytes);
  Glance seen;
#pragma unroll 1
  for (int j = static_cast<int>(threadIdx.x); j < z.chunks; j += at_once * threads) {
    Chunk<T> chunk[at_once];
    load_chunks<T, at_once, true, Reach::any>(z, place, j, threads, z.chunks, chunk);
#pragma unroll
    for (int k = 0; k < at_once; ++k)
      seen.take(chunk[k], z.classes - static_cast<std::int64_t>(j + k * threads) * Chunk<T>::elements, 1.0 + off);
  }
  const double sum = block_sum<threads>(seen.sum, sums);
  const int unknown = block_sum<threads>(seen.unknown, counts[0]);
  const int outside = block_sum<threads>(seen.outside, counts[1]);
  const int fractions = block_sum<threads>(seen.fractions, counts[2]);
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
