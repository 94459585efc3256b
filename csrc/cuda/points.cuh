// Reading points four at a time, which the game's pass and the sample's scan share.
#pragma once

#include <cuda_runtime.h>

#include "point.hpp"

namespace rad_fast {
namespace cuda {

__device__ __forceinline__ bool is_aligned(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % 16 == 0; }

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

// A gain that leaves its point out.
__device__ __forceinline__ float left_out() { return bits_as<float>(std::uint32_t{0x7fffffffu}); }

}  // namespace cuda
}  // namespace rad_fast
