// Rows of 272 bytes to 8 KiB: 4 to 32 lanes have a row in their registers, as few as can: what is done once a row, some 150
// instructions, is then done for the rows of a warp at once. One read, then maxima, then exponentials.
//
// What hides the memory's latency are other warps, that read while this one computes. With 16 of them a multiprocessor an H200
// gave 64% of a read of 1000 bfloat16, with neither its issue slots nor its units full; with 28 and more, 98%. So registers are
// counted here: 64 a thread are 32 warps.
#pragma once

#include <cuda_runtime.h>

#include "launch.cuh"
#include "score_write.cuh"

namespace rad_fast {
namespace cuda {

// `aligned`: rows lie so that a chunk is one load (Matrix). The others' code takes more registers, and shifts.
template <class T, int chunks, bool aligned>
struct WarpBlocks {  // of warp_threads, that a multiprocessor has registers for
  static constexpr int few = aligned ? (sizeof(T) == 8 ? 4 : 8) : 6, many = aligned ? 4 : 3;
  static constexpr int value = chunks <= 8 ? few : many;
};
constexpr int warp_threads = 128;

// `chunks` are all that a lane holds: there is a version for each number, so that little is computed of slots that no row
// of this length fills. The bounds leave the registers that it takes to hold them.
template <class T, int group, int chunks, bool aligned>
__global__ void __launch_bounds__(warp_threads, WarpBlocks<T, chunks, aligned>::value)
    score_warp(const __grid_constant__ Task task) {
  typedef typename Compared<T>::type V;
  constexpr int elements = Chunk<T>::elements;
  constexpr int block_rows = warp_threads / group;
  constexpr int sure = chunks - (chunks <= 8 ? 2 : 4);  // of each lane, in every row of this version, and not its last
  const int lane = static_cast<int>(threadIdx.x) % group;
  // All lanes go on to the shuffles; those past the last row read the last row and write nothing.
  const std::int64_t mine = std::int64_t{block_rows} * blockIdx.x + static_cast<int>(threadIdx.x) / group;
  const std::int64_t row = lesser(mine, task.rows - 1);
  const char* const at = task.data + row * task.row_bytes;
  Chunk<T> chunk[chunks];
  if (aligned) {
    const char* const begin = at + lane * 16;
#pragma unroll
    for (int k = 0; k < chunks; ++k) {
      if (k >= sure) chunk[k].clear();
      if (k < sure || lane + k * group < task.chunks) load_16(begin + k * group * 16, chunk[k].word);
    }
  } else {
    constexpr bool uniform = group == warp_lanes;
    const RowPlace place = place_of<T>(task, at);
    if (place.whole) {
      load_shifted<T, sure, uniform>(place, lane, group, chunk);
      load_chunks<T, chunks - sure, uniform, Reach::any>(task, place, lane + sure * group, group, task.chunks, chunk + sure);
    } else {
      load_chunks<T, chunks, uniform, Reach::any>(task, place, lane, group, task.chunks, chunk);
    }
  }

  Tops<T> own;
#pragma unroll
  for (int k = 0; k < chunks; ++k) own.take(chunk[k], k);
  packed_again<T, chunks>(chunk);
  const TopTwo<V> two = own.result();
  const TopTwo<V> top = group_top(two, group);

  // The label before the sum: what led to it need not be kept.
  std::int32_t label = no_label;
  if (two.first == top.first) {
    const int k = own.first_at();
    const Wanted<T> wanted(top.first);
    Chunk<T> here = chunk[0];
#pragma unroll
    for (int other = 1; other < chunks; ++other) {
#pragma unroll
      for (int i = 0; i < 4; ++i) here.word[i] = k == other ? chunk[other].word[i] : here.word[i];
    }
#pragma unroll
    for (int i = elements - 1; i >= 0; --i)
      if (wanted.is(here, i)) label = (lane + k * group) * elements + i;
  }
  label = group_least(label, group);
  std::int32_t other = no_label;
  if (group <= 2 * static_cast<int>(sizeof(T)) && task.out.other != nullptr) {  // up to 256 classes
    const Wanted<T> wanted(top.second);
#pragma unroll
    for (int k = chunks - 1; k >= 0; --k) {
#pragma unroll
      for (int i = elements - 1; i >= 0; --i) {
        const std::int32_t place = (lane + k * group) * elements + i;
        if (wanted.is(chunk[k], i) && place != label) other = place;
      }
    }
    other = group_least(other, group);
  }
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < chunks; ++k) {
    packed_again<T, 1>(chunk + k);
    sum += chunk_sum(chunk[k], top.first);
  }
  packed_again<T, chunks>(chunk);
  sum = group_sum(sum, group);

  others_at_end();
  if (lane == 0 && mine < task.rows) {
    const Row found{sum, static_cast<float>(top.second - top.first), given_difference<T>(task, row, top.first), label, other};
    write(task.out, row, found);
  }
}

}  // namespace cuda
}  // namespace rad_fast
