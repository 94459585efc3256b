// Rows above 8 KiB: a block has a row, or from 128 KiB on a cluster of 8 blocks, and reads it once with a running maximum. What
// is done once a row, or a part, every warp does: blocks have four warps, and for rows up to 32 KiB two.
//
// A thread's sum is rescaled when its maximum rises. Where the maximum is, a thread notes by the step in which it saw it; once
// the row's maximum is known, the threads that have it read that step again, some 64 bytes, for the label. A long row is
// summed in 8 parts; its warps leave what each part came to in shared memory, and meet once, at the row's end.
#pragma once

#include <cuda_runtime.h>

#include "launch.cuh"
#include "score_write.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#include <cooperative_groups.h>
#endif

namespace rad_fast {
namespace cuda {

constexpr int step_chunks = 4;          // of a thread at once
constexpr int resident_threads = 1024;  // of a multiprocessor, with 64 registers each: 64 KiB in flight

template <class V>
__device__ __forceinline__ V lowest();
template <>
__device__ __forceinline__ float lowest<float>() {
  return bits_as<float>(std::uint32_t{0xff7fffffu});
}
template <>
__device__ __forceinline__ double lowest<double>() {
  return bits_as<double>(std::uint64_t{0xffefffffffffffffu});
}

// What has been seen of a part of a row. The sum is relative to the maximum, but to a finite number while only -inf has been
// seen.
template <class V>
struct Seen {
  TopTwo<V> top;
  float sum;
};

template <class V>
__device__ __forceinline__ V reference_of(const TopTwo<V>& top) {
  return maximum(top.first, lowest<V>());
}

template <class V>
__device__ __forceinline__ Seen<V> nothing_seen() {
  return {no_top<V>(), 0.0f};
}

// The sum of both, in this order.
template <class V>
__device__ __forceinline__ void join(Seen<V>& seen, const Seen<V>& other) {
  const TopTwo<V> top = merged(seen.top, other.top);
  const V reference = reference_of(top);
  seen.sum = seen.sum * exp_difference(reference_of(seen.top), reference) +
             other.sum * exp_difference(reference_of(other.top), reference);
  seen.top = top;
}

// Takes in some chunks of one thread.
template <class T, int chunks>
__device__ __forceinline__ void absorb(Seen<typename Compared<T>::type>& seen, Chunk<T>* chunk) {
  typedef typename Compared<T>::type V;
  const V before = reference_of(seen.top);
  Tops<T> tops;
#pragma unroll
  for (int k = 0; k < chunks; ++k) tops.take(chunk[k]);
  seen.top = merged(seen.top, tops.result());
  packed_again<T, chunks>(chunk);
  const V reference = reference_of(seen.top);
  seen.sum *= exp_difference(before, reference);
#pragma unroll
  for (int k = 0; k < chunks; ++k) seen.sum += chunk_sum(chunk[k], reference);
}

// The largest number that a thread has seen of a row, and the first chunk of the step in which it was.
template <class V>
struct Best {
  V value;
  int chunk;
};

template <Way way>
struct By {
  static constexpr Way value = way;
};

template <int count>
struct Some {
  static constexpr int value = count;
};

// The block reads chunks first .. end - 1 of a row; a thread's own sum of them.
template <class T, int threads>
__device__ __forceinline__ Seen<typename Compared<T>::type> read_part(const Task& task, const RowPlace& row, int first, int end,
                                                                      Best<typename Compared<T>::type>& best) {
  typedef typename Compared<T>::type V;
  Seen<V> seen = nothing_seen<V>();
  const auto note = [&](int chunk) {
    const bool higher = seen.top.first > best.value;
    best.value = higher ? seen.top.first : best.value;
    best.chunk = higher ? chunk : best.chunk;
  };
  constexpr int step = step_chunks * threads;
  int j = first + static_cast<int>(threadIdx.x);
  // Steps of whole chunks alone, up to the row's last one where that is in part or is read in two pieces.
  const auto steps = [&](auto way, int stop) {
    const int before = stop - step + static_cast<int>(threadIdx.x);
#pragma unroll 1
    for (; j <= before; j += step) {
      Chunk<T> chunk[step_chunks];
      load_whole<T, step_chunks, decltype(way)::value>(task, row, j, threads, chunk);
      absorb<T, step_chunks>(seen, chunk);
      note(j);
    }
  };
  const int inside = lesser(end, task.chunks - 1);
  switch (way_of(task, row)) {
    case Way::direct: steps(By<Way::direct>(), task.rest == 0 ? end : inside); break;
    case Way::words_0:
      if (sizeof(T) == 2) steps(By<Way::words_0>(), inside);
      break;
    case Way::words_1:
      if (sizeof(T) <= 4) steps(By<Way::words_1>(), inside);
      break;
    case Way::words_2: steps(By<Way::words_2>(), inside); break;
    case Way::words_3:
      if (sizeof(T) <= 4) steps(By<Way::words_3>(), inside);
      break;
    case Way::gathered: steps(By<Way::gathered>(), inside); break;
  }
  const int rest = end + static_cast<int>(threadIdx.x) - j;
  const auto last = [&](auto some) {
    constexpr int count = decltype(some)::value;
    Chunk<T> chunk[count];
    load_chunks<T, count, true, Reach::any>(task, row, j, threads, end, chunk);
    absorb<T, count>(seen, chunk);
    note(j);
  };
  if (rest > 2 * threads)
    last(Some<step_chunks>());
  else if (rest > threads)
    last(Some<2>());
  else if (rest > 0)
    last(Some<1>());
  return seen;
}

struct Parts {
  int count, chunks;  // of each, but the last

  __device__ __forceinline__ explicit Parts(int all) {
    count = all >= long_chunks ? long_parts : 1;
    chunks = (all + count - 1) / count;
  }
};

template <class V, int threads>
struct BlockScratch {
  static constexpr int warps = threads / warp_lanes;
  static constexpr int parts = threads == block_threads ? long_parts : 1;
  TopTwo<V> top[parts][warps];
  float sum[parts][warps];
  V best[warps];
  std::int32_t label[warps];
};

// A warp's sum of a part, left in shared memory.
template <class V, int threads>
__device__ __forceinline__ void leave(const Seen<V>& own, int part, BlockScratch<V, threads>& scratch) {
  const TopTwo<V> top = group_top(own.top, warp_lanes);
  const float sum = group_sum(own.sum * exp_difference(reference_of(own.top), reference_of(top)), warp_lanes);
  const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
  if (threadIdx.x % warp_lanes == 0) {
    scratch.top[part][warp] = top;
    scratch.sum[part][warp] = sum;
  }
}

// All warps' sums of a part.
template <class V, int threads>
__device__ __forceinline__ Seen<V> gathered(int part, const BlockScratch<V, threads>& scratch) {
  constexpr int warps = threads / warp_lanes;
  Seen<V> all{scratch.top[part][0], 0.0f};
#pragma unroll
  for (int w = 1; w < warps; ++w) all.top = merged(all.top, scratch.top[part][w]);
#pragma unroll
  for (int w = 0; w < warps; ++w)
    all.sum += scratch.sum[part][w] * exp_difference(reference_of(scratch.top[part][w]), reference_of(all.top));
  return all;
}

// The first element equal to the largest of what the block has read; in thread 0. Two barriers; what was left is there after
// the first.
template <class T, int threads>
__device__ __forceinline__ std::int32_t find_label(const Task& task, const RowPlace& row, int end,
                                                   const Best<typename Compared<T>::type>& best,
                                                   BlockScratch<typename Compared<T>::type, threads>& scratch) {
  typedef typename Compared<T>::type V;
  constexpr int warps = threads / warp_lanes;
  constexpr int elements = Chunk<T>::elements;
  const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const V mine = group_top(TopTwo<V>{best.value, minus_infinity<V>()}, warp_lanes).first;
  if (threadIdx.x % warp_lanes == 0) scratch.best[warp] = mine;
  __syncthreads();
  V top = scratch.best[0];
#pragma unroll
  for (int w = 1; w < warps; ++w) top = maximum(top, scratch.best[w]);
  std::int32_t label = no_label;
  if (best.value == top && best.chunk >= 0) {
    Chunk<T> chunk[step_chunks];
    load_chunks<T, step_chunks, false, Reach::any>(task, row, best.chunk, threads, end, chunk);
#pragma unroll
    for (int k = step_chunks - 1; k >= 0; --k)
#pragma unroll
      for (int i = elements - 1; i >= 0; --i)
        if (chunk[k][i] == top) label = (best.chunk + k * threads) * elements + i;
  }
  label = group_least(label, warp_lanes);
  if (threadIdx.x % warp_lanes == 0) scratch.label[warp] = label;
  __syncthreads();
  if (threadIdx.x != 0) return label;
#pragma unroll
  for (int w = 0; w < warps; ++w) label = lesser(label, scratch.label[w]);
  return label;
}

template <class T>
__device__ __forceinline__ void write_seen(const Task& task, std::int64_t row, const Seen<typename Compared<T>::type>& seen,
                                           std::int32_t label) {
  typedef typename Compared<T>::type V;
  const V top = seen.top.first;
  const float sum = top == minus_infinity<V>() ? bits_as<float>(std::uint32_t{0x7fffffffu}) : seen.sum;
  write(task.out, row, Row{sum, static_cast<float>(seen.top.second - top), given_difference<T>(task, row, top), label, 0});
}

template <class T, int threads>
__global__ void __launch_bounds__(threads, resident_threads / threads) score_block(const __grid_constant__ Task task) {
  typedef typename Compared<T>::type V;
  __shared__ BlockScratch<V, threads> scratch;
  const std::int64_t row = blockIdx.x;
  const RowPlace place = place_of<T>(task, task.data + row * task.row_bytes);
  const Parts parts(task.chunks);
  const int count = threads == short_threads ? 1 : parts.count;
  Best<V> best{minus_infinity<V>(), -1};
#pragma unroll 1
  for (int part = 0; part < count; ++part) {
    const int end = lesser(task.chunks, (part + 1) * parts.chunks);
    leave(read_part<T, threads>(task, place, part * parts.chunks, end, best), part, scratch);
  }
  others_at_end();
  const std::int32_t label = find_label<T, threads>(task, place, task.chunks, best, scratch);
  if (threads == short_threads) {
    if (threadIdx.x == 0) write_seen<T>(task, row, gathered(0, scratch), label);
    return;
  }
  if (threadIdx.x >= warp_lanes) return;
  const Seen<V> seen = gathered(lesser(static_cast<int>(threadIdx.x), parts.count - 1), scratch);
  Seen<V> joined = seen;
#pragma unroll
  for (int part = 1; part < long_parts; ++part) {
    const Seen<V> other{{from_lane(seen.top.first, part), from_lane(seen.top.second, part)}, from_lane(seen.sum, part)};
    if (part < parts.count) join(joined, other);
  }
  if (threadIdx.x == 0) write_seen<T>(task, row, joined, label);
}

template <class T>
__global__ void __launch_bounds__(block_threads, resident_threads / block_threads)
    score_cluster([[maybe_unused]] const __grid_constant__ Task task) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  typedef typename Compared<T>::type V;
  struct Left {
    Seen<V> seen;
    std::int32_t label;
  };
  __shared__ BlockScratch<V, block_threads> scratch;
  __shared__ Left left[long_parts];
  const auto cluster = cooperative_groups::this_cluster();
  auto running = cluster.barrier_arrive();  // the first block's memory can be written to when it runs
  const int part = static_cast<int>(cluster.block_rank());
  const std::int64_t row = blockIdx.x / long_parts;
  const RowPlace place = place_of<T>(task, task.data + row * task.row_bytes);
  const Parts parts(task.chunks);
  const int end = lesser(task.chunks, (part + 1) * parts.chunks);
  Best<V> best{minus_infinity<V>(), -1};
  leave(read_part<T, block_threads>(task, place, lesser(task.chunks, part * parts.chunks), end, best), 0, scratch);
  others_at_end();
  const std::int32_t label = find_label<T, block_threads>(task, place, end, best, scratch);
  cluster.barrier_wait(std::move(running));
  if (threadIdx.x == 0) cluster.map_shared_rank(left, 0)[part] = Left{gathered(0, scratch), label};
  auto done = cluster.barrier_arrive();
  if (part != 0) return;
  cluster.barrier_wait(std::move(done));
  if (threadIdx.x != 0) return;
  Left joined = left[0];
#pragma unroll 1
  for (int other = 1; other < long_parts; ++other) {
    const Left theirs = left[other];
    if (theirs.seen.top.first > joined.seen.top.first) joined.label = theirs.label;
    join(joined.seen, theirs.seen);
  }
  write_seen<T>(task, row, joined.seen, joined.label);
#endif
}

}  // namespace cuda
}  // namespace rad_fast
