// Blocks that work together: a cluster of `parts` blocks has one barrier, and each can write to the others' shared memory
// (compute capability 9.0). One block alone is a cluster of 1, anywhere.
#pragma once

#include <cuda_runtime.h>

#include "platform.hpp"

#if defined(__CUDACC__)
#include <cooperative_groups.h>
#endif

// Whether what is compiled can run in clusters: kernels of more than one part are empty where it cannot.
#if !defined(__CUDACC__) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
#define RAD_FAST_CLUSTERS 1
#else
#define RAD_FAST_CLUSTERS 0
#endif

namespace rad_fast {
namespace cuda {

// The barrier of all blocks of a cluster: what was written before it, to any block's shared memory, is seen after it.
template <int parts>
__device__ __forceinline__ void cluster_sync() {
  if constexpr (parts == 1) {
    __syncthreads();
  } else {
#if !defined(__CUDACC__)
    emulator::cluster_sync();
#elif RAD_FAST_CLUSTERS
    cooperative_groups::this_cluster().sync();
#endif
  }
}

// Where another block has what lies at `mine`, an address in dynamic shared memory.
template <int parts, class T>
__device__ __forceinline__ T* at_part(T* mine, [[maybe_unused]] int part) {
  if constexpr (parts > 1) {
#if !defined(__CUDACC__)
    return emulator::at_part(mine, part);
#elif RAD_FAST_CLUSTERS
    return cooperative_groups::this_cluster().map_shared_rank(mine, part);
#endif
  }
  return mine;
}

// What the warps of a cluster tell one another: numbers that each writes to every block, and that all wait for. The stores
// themselves say that they have arrived (a transaction barrier in each block's shared memory), so that nobody has to wait for
// all other memory, as a cluster's barrier does. In dynamic shared memory. Two halves serve in turn: one is written again only by
// who has seen the other whole, to which every warp of the block writes after it has read the first.
template <int parts, int all_warps, int most>
struct Exchange {
  std::uint64_t arrived[2];
  std::int64_t slots[2][most][all_warps];

  // By all threads, once; it is all blocks' barrier.
  __device__ __forceinline__ void begin() {
#if defined(__CUDACC__)
    if constexpr (parts > 1) {
#if RAD_FAST_CLUSTERS
      if (threadIdx.x == 0) {
        for (int turn = 0; turn < 2; ++turn)
          asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(address(&arrived[turn])) : "memory");
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
      }
#endif
    }
#endif
    cluster_sync<parts>();
  }

  // A warp's numbers to all blocks, and the wait for all warps'. The turns are numbered from 0 on.
  template <int n>
  __device__ __forceinline__ void pass(int turn, int lane, int warp, const std::int64_t (&own)[n]) {
    const int half = turn & 1;
#if defined(__CUDACC__) && RAD_FAST_CLUSTERS
    if constexpr (parts > 1) {
      const std::uint32_t barrier = address(&arrived[half]);
      if (threadIdx.x == 0)
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(n * all_warps * 8) : "memory");
      if (lane < parts) {
        const std::uint32_t there = part_of(address(&slots[half][0][warp]), lane), told = part_of(barrier, lane);
#pragma unroll
        for (int k = 0; k < n; ++k)
          asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b64 [%0], %1, [%2];" ::"r"(there + k * all_warps * 8),
                       "l"(static_cast<long long>(own[k])), "r"(told)
                       : "memory");
      }
      std::uint32_t done = 0;
      while (done == 0)
        asm volatile(
            "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
            : "=r"(done)
            : "r"(barrier), "r"(turn >> 1 & 1)
            : "memory");
      __syncwarp();
      return;
    }
#endif
    if (lane < parts) {
      std::int64_t* there = at_part<parts>(&slots[half][0][0], lane) + warp;
#pragma unroll
      for (int k = 0; k < n; ++k) there[k * all_warps] = own[k];
    }
    cluster_sync<parts>();
  }

 private:
#if defined(__CUDACC__) && RAD_FAST_CLUSTERS
  static __device__ __forceinline__ std::uint32_t address(const void* shared) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  }
  static __device__ __forceinline__ std::uint32_t part_of(std::uint32_t shared, int part) {
    std::uint32_t there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared), "r"(part));
    return there;
  }
#endif
};

}  // namespace cuda
}  // namespace rad_fast
