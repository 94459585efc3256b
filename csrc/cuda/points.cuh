// Reading points, which the game's pass and the sample's scan share: four at a time, and of these only a few worked on.
//
// Most points pay less than the threshold and are out. That is decided first, for all, in float32 and a few instructions; the
// others are collected, in their order, in a queue of the warp in shared memory, and worked on 32 at a time, a lane each: so
// integers and float64 are spent on points that need them alone.
#pragma once

#include <cuda_runtime.h>

#include "collective.cuh"
#include "kernels.hpp"
#include "point.hpp"

namespace rad_fast {
namespace cuda {

__device__ __forceinline__ bool is_aligned(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % 16 == 0; }
__device__ __forceinline__ bool are_aligned(const Labelled& points) {
  return is_aligned(points.gain) && is_aligned(points.correctness) && is_aligned(points.label);
}

// Elements at .. at + 3 of an array: in one load of 16 bytes where the array begins at a multiple of that (at is a multiple
// of 4), else one by one; those from `end` on are `missing`.
__device__ __forceinline__ void load_quad(const float* values, std::int64_t at, std::int64_t end, bool aligned, float missing,
                                          float* out) {
  if (aligned && at + 4 <= end) {
    const float4 v = __ldg(reinterpret_cast<const float4*>(values + at));
    out[0] = v.x;
    out[1] = v.y;
    out[2] = v.z;
    out[3] = v.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = at + i < end ? __ldg(values + at + i) : missing;
}

// The same of labels; those from `end` on are -1.
__device__ __forceinline__ void load_quad(const std::int32_t* values, std::int64_t at, std::int64_t end, bool aligned,
                                          std::int32_t* out) {
  float bits[4];  // moved as they are
  load_quad(reinterpret_cast<const float*>(values), at, end, aligned, bits_as<float>(std::int32_t{-1}), bits);
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = bits_as<std::int32_t>(bits[i]);
}

// A gain that leaves its point out.
__device__ __forceinline__ float left_out() { return bits_as<float>(std::uint32_t{0x7fffffffu}); }

// What a point has to pay at least, as a float32 product can tell: 2 d in float32 errs by less than 2^-23 of d. Points below it
// are out for certain; of the others, few are.
__device__ __forceinline__ float screen_of(std::int64_t least) {
  const double pays = static_cast<double>(least) * 0x1p-48;
  return static_cast<float>(pays - fabs(pays) * 0x1p-20 - 0x1p-48);
}

__device__ __forceinline__ bool screened_in(float gain, float correctness, float screen) {
  return (2.0f * correctness - 1.0f) * gain >= screen;  // false for a gain of NaN
}

// Of `quads` times 128 points at once, a lane has neighbours in each.
template <int quads, bool labelled = false>
struct WarpQueue {
  static constexpr int step = quads * 4 * warp_lanes;
  static constexpr int room = step + warp_lanes - 1;
  float gain[room], correctness[room];
  std::int32_t index[room];  // from the first point of the warp's stretch on
  std::int32_t label[labelled ? room : 1];
};

// Reads the points from `begin` to `end`, and gives `work` those that `passes` lets through: 32 at a time, in their order; the
// last fewer, beside points that are left out. passes(gain, correctness, label): the gain is NaN for places from `end` on.
// work(gain, correctness, index, label). Labels are 0 where the queue has none. Returns, of all points of this lane's, how many are
// not left out.
template <int quads, bool labelled, class Passes, class Work>
__device__ __forceinline__ std::int64_t for_passing(const float* gain, const float* correctness, const std::int32_t* label,
                                                    std::int64_t begin, std::int64_t end, bool aligned, const Passes& passes,
                                                    WarpQueue<quads, labelled>& queue, const Work& work) {
  typedef WarpQueue<quads, labelled> Queue;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  std::int64_t present = 0;
  int held = 0;
  for (std::int64_t first = begin; first < end; first += Queue::step) {
    float g[quads * 4], c[quads * 4];
    std::int32_t k[quads * 4] = {};
#pragma unroll
    for (int q = 0; q < quads; ++q) {
      const std::int64_t at = first + q * 4 * warp_lanes + lane * 4;
      load_quad(gain, at, end, aligned, left_out(), g + 4 * q);
      load_quad(correctness, at, end, aligned, 0.0f, c + 4 * q);
      if (labelled) load_quad(label, at, end, aligned, k + 4 * q);
    }
#pragma unroll
    for (int q = 0; q < quads; ++q) {
      unsigned in = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        present += g[4 * q + i] >= 0.0f;
        in |= static_cast<unsigned>(passes(g[4 * q + i], c[4 * q + i], k[4 * q + i])) << i;
      }
      // Bit k of a lane's own in vote k: how many are before it, from four votes.
      int before = 0, all = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const unsigned votes = __ballot_sync(all_lanes, static_cast<int>(in >> i & 1));
        before += __popc(votes & ((1u << lane) - 1));
        all += __popc(votes);
      }
      int to = held + before;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if ((in >> i & 1) == 0) continue;
        queue.gain[to] = g[4 * q + i];
        queue.correctness[to] = c[4 * q + i];
        queue.index[to] = static_cast<std::int32_t>(first - begin) + q * 4 * warp_lanes + lane * 4 + i;
        if (labelled) queue.label[to] = k[4 * q + i];
        ++to;
      }
      held += all;
    }
    if (held < warp_lanes) continue;
    __syncwarp();
    int done = 0;
    for (; done + warp_lanes <= held; done += warp_lanes)
      work(queue.gain[done + lane], queue.correctness[done + lane], queue.index[done + lane], labelled ? queue.label[done + lane] : 0);
    // What is left moves to the front.
    const bool moves = lane < held - done;
    const float g0 = moves ? queue.gain[done + lane] : 0.0f, c0 = moves ? queue.correctness[done + lane] : 0.0f;
    const std::int32_t i0 = moves ? queue.index[done + lane] : 0, k0 = labelled && moves ? queue.label[done + lane] : 0;
    __syncwarp();
    if (moves) {
      queue.gain[lane] = g0;
      queue.correctness[lane] = c0;
      queue.index[lane] = i0;
      if (labelled) queue.label[lane] = k0;
    }
    held -= done;
  }
  __syncwarp();
  if (held > 0)
    work(lane < held ? queue.gain[lane] : left_out(), lane < held ? queue.correctness[lane] : 0.0f,
         lane < held ? queue.index[lane] : 0, labelled && lane < held ? queue.label[lane] : 0);
  __syncwarp();
  return present;
}

// The same with one screen for all.
template <int quads, class Work>
__device__ __forceinline__ std::int64_t for_screened(const float* gain, const float* correctness, std::int64_t begin,
                                                     std::int64_t end, bool aligned, float screen, WarpQueue<quads>& queue,
                                                     const Work& work) {
  return for_passing(
      gain, correctness, nullptr, begin, end, aligned, [&](float g, float c, std::int32_t) { return screened_in(g, c, screen); },
      queue, [&](float g, float c, std::int32_t index, std::int32_t) { work(g, c, index); });
}

}  // namespace cuda
}  // namespace rad_fast
