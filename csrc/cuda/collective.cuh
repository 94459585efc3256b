// Sums and scans over a warp and over a block. Integers alone are added across threads: the order is then of no consequence.
//
// Not CUB's. The sums are of 128 bits, for which CUB takes more: compiled for sm_90, its scan over 256 threads has 56 registers,
// 4640 bytes of shared memory and a stack frame, the one here 40, 128 and none (benchmarks/FACTS.md). And the suite runs these
// kernels without a GPU, on an emulator of what CUDA has beyond C++ (tests/cuda/emulator), for which CUB does not compile.
#pragma once

#include <cuda_runtime.h>

#include "platform.hpp"

namespace rad_fast {
namespace cuda {

constexpr unsigned all_lanes = 0xffffffffu;
constexpr int warp_lanes = 32;

// One block scans the sums of stretches of points, in samples along the keys.
constexpr int scan_threads = 1024;
constexpr int scan_warps = scan_threads / warp_lanes;
constexpr std::int64_t most_stretches = 1 << 15;

__device__ __forceinline__ int warp_of_block() { return static_cast<int>(threadIdx.x) / warp_lanes; }
__device__ __forceinline__ int lane_of_warp() { return static_cast<int>(threadIdx.x) % warp_lanes; }

template <class T>
__device__ __forceinline__ T from_xor(T value, int mask, int width = warp_lanes) {
  return __shfl_xor_sync(all_lanes, value, mask, width);
}
__device__ __forceinline__ std::int64_t from_xor(std::int64_t value, int mask, int width = warp_lanes) {
  return static_cast<std::int64_t>(__shfl_xor_sync(all_lanes, static_cast<long long>(value), mask, width));
}
__device__ __forceinline__ uint128 from_xor(uint128 value, int mask, int width = warp_lanes) {
  const auto low = static_cast<unsigned long long>(value), high = static_cast<unsigned long long>(value >> 64);
  return static_cast<uint128>(__shfl_xor_sync(all_lanes, high, mask, width)) << 64 |
         __shfl_xor_sync(all_lanes, low, mask, width);
}

template <class T>
__device__ __forceinline__ T from_lane(T value, int lane) {
  return __shfl_sync(all_lanes, value, lane);
}

__device__ __forceinline__ int from_below(int value, int distance) { return __shfl_up_sync(all_lanes, value, distance); }
__device__ __forceinline__ std::int64_t from_below(std::int64_t value, int distance) {
  return static_cast<std::int64_t>(__shfl_up_sync(all_lanes, static_cast<long long>(value), static_cast<unsigned>(distance)));
}
__device__ __forceinline__ uint128 from_below(uint128 value, int distance) {
  const auto low = static_cast<unsigned long long>(value), high = static_cast<unsigned long long>(value >> 64);
  return static_cast<uint128>(__shfl_up_sync(all_lanes, high, static_cast<unsigned>(distance))) << 64 |
         __shfl_up_sync(all_lanes, low, static_cast<unsigned>(distance));
}

__device__ __forceinline__ uint128 from_lane(uint128 value, int lane) {
  const auto low = static_cast<unsigned long long>(value), high = static_cast<unsigned long long>(value >> 64);
  return static_cast<uint128>(__shfl_sync(all_lanes, high, lane)) << 64 | __shfl_sync(all_lanes, low, lane);
}

// The sum over the lanes up to this one.
template <class T>
__device__ __forceinline__ T warp_scan(T value) {
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
#pragma unroll
  for (int distance = 1; distance < warp_lanes; distance *= 2) {
    const T below = from_below(value, distance);
    if (lane >= distance) value += below;
  }
  return value;
}

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int mask = warp_lanes / 2; mask > 0; mask /= 2) value += from_xor(value, mask);
  return value;
}

// The sum over all threads of the block, in every thread. `scratch` has an element a warp; it may be used again after the
// next barrier.
template <int threads, class T>
__device__ __forceinline__ T block_sum(T value, T* scratch) {
  constexpr int warps = threads / warp_lanes;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
  value = warp_sum(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  T total = scratch[0];
#pragma unroll
  for (int w = 1; w < warps; ++w) total += scratch[w];
  return total;
}

// The sum over the threads before this one; `total` becomes the sum over all.
template <int threads, class T>
__device__ __forceinline__ T block_scan(T value, T* scratch, T& total) {
  constexpr int warps = threads / warp_lanes;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const T inclusive = warp_scan(value);
  if (lane == warp_lanes - 1) scratch[warp] = inclusive;
  __syncthreads();
  T before{};
  total = T{};
#pragma unroll
  for (int w = 0; w < warps; ++w) {
    const T part = scratch[w];
    if (w < warp) before += part;
    total += part;
  }
  return before + inclusive - value;
}

}  // namespace cuda
}  // namespace rad_fast
