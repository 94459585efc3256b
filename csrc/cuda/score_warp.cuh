// Rows of 272 bytes to 8 KiB: 4 to 32 lanes have a row in their registers, as few as can: what is done once a row, some 150
// instructions, is then done for the rows of a warp at once. One read, then maxima, then exponentials.
#pragma once

#include <cuda_runtime.h>

#include "score_write.cuh"

namespace rad_fast {
namespace cuda {

template <int chunks>
struct WarpThreads {
  static constexpr int value = chunks <= 8 ? block_threads : block_threads / 2;
  static constexpr int blocks = chunks <= 8 ? 2 : 3;  // of a multiprocessor
};

// `chunks` are all that a lane holds: there is a version for each number, so that little is computed of slots that no row
// of this length fills. The bounds leave the registers that it takes to hold them, and 48 to 96 KiB of loads in flight.
template <class T, int group, int chunks>
__global__ void __launch_bounds__(WarpThreads<chunks>::value, WarpThreads<chunks>::blocks)
    score_warp(const __grid_constant__ Task task) {
  typedef typename Compared<T>::type V;
  constexpr int elements = Chunk<T>::elements;
  constexpr int threads = WarpThreads<chunks>::value;
  constexpr int block_rows = threads / group;
  const int lane = static_cast<int>(threadIdx.x) % group;
  // All lanes go on to the shuffles; those past the last row read the last row and write nothing.
  const std::int64_t mine = std::int64_t{block_rows} * blockIdx.x + static_cast<int>(threadIdx.x) / group;
  const std::int64_t row = lesser(mine, task.rows - 1);
  const RowPlace place = place_of<T>(task, task.data + row * task.row_bytes);
  Chunk<T> chunk[chunks];
  load_chunks<T, chunks, group == warp_lanes, Reach::lanes>(task, place, lane, group, task.chunks, chunk);

  Tops<T> own;
  typename Tops<T>::Largest largest[chunks];
#pragma unroll
  for (int k = 0; k < chunks; ++k) largest[k] = own.take(chunk[k]);
  if (chunks > 8) packed_again<T, chunks>(chunk);
  const TopTwo<V> top = group_top(own.result(), group);

  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < chunks; ++k) {
    if (chunks > 8) packed_again<T, 1>(chunk + k);
    sum += chunk_sum(chunk[k], top.first);
  }
  if (chunks > 8) packed_again<T, chunks>(chunk);
  sum = group_sum(sum, group);

  std::int32_t label = no_label;
#pragma unroll
  for (int k = 0; k < chunks; ++k) {
    if (Tops<T>::is(largest[k], top.first) && label == no_label) {
#pragma unroll
      for (int i = elements - 1; i >= 0; --i)
        if (chunk[k][i] == top.first) label = (lane + k * group) * elements + i;
    }
  }
  label = group_least(label, group);
  std::int32_t other = no_label;
  if (group < warp_lanes && task.out.other != nullptr) {  // up to 256 classes, of 8 bytes each at most
#pragma unroll
    for (int k = chunks - 1; k >= 0; --k) {
#pragma unroll
      for (int i = elements - 1; i >= 0; --i) {
        const std::int32_t at = (lane + k * group) * elements + i;
        if (chunk[k][i] == top.second && at != label) other = at;
      }
    }
    other = group_least(other, group);
  }
  if (lane == 0 && mine < task.rows) {
    const Row found{sum, static_cast<float>(top.second - top.first), given_difference<T>(task, row, top.first), label, other};
    write(task.out, row, found);
  }
}

}  // namespace cuda
}  // namespace rad_fast
