// Rows of up to 256 bytes: a thread has a row. A block copies its rows to shared memory in pieces of 16 bytes, whole lines of
// memory one after the other, and each thread then reads its own there: no thread waits for another's part of a sum, and
// nothing is computed past a row's end. Other blocks compute meanwhile: nobody waits for the memory but those who read.
#pragma once

#include <cuda_runtime.h>

#include "launch.cuh"
#include "score_write.cuh"

namespace rad_fast {
namespace cuda {

// How the rows of a tile lie in shared memory: as they do in memory, one after the other; the same, but 16 bytes apart, where
// their length is an even number of 16 bytes and neighbours' reads would meet in a bank; or gathered element by element.
enum class Tiling : int { flat, apart, gathered };

constexpr int tile_blocks = 10;  // of a multiprocessor

struct Tile {
  Tiling tiling;
  int rows;         // a multiple of tile_threads
  int pitch;        // bytes from one to the next, in shared memory
};

__device__ __forceinline__ void copy_16(char* to, const char* from) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
#else
  *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
#endif
}

__device__ __forceinline__ void copied() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
  __syncthreads();
}

// Copies the rows first .. first + rows - 1; returns where the first one begins.
template <class T>
__device__ __forceinline__ const char* fill_tile(const Task& task, const Tile& tile, std::int64_t first, int rows, char* to) {
  const char* from = task.data + first * task.row_bytes;
  const int row_bytes = static_cast<int>(task.classes) * static_cast<int>(sizeof(T));
  if (tile.tiling == Tiling::flat) {
    const unsigned behind = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(from) % 16);
    const char* begin = from - behind;
    const int bytes = static_cast<int>(behind) + rows * row_bytes, chunks = (bytes + 15) / 16;
    if (begin >= task.low && begin + std::int64_t{chunks} * 16 <= task.high) {
      for (int i = static_cast<int>(threadIdx.x); i < chunks; i += tile_threads) copy_16(to + i * 16, begin + i * 16);
    } else {  // the ends of the logits' memory
      for (int i = static_cast<int>(behind / sizeof(T)) + static_cast<int>(threadIdx.x); i < bytes / static_cast<int>(sizeof(T));
           i += tile_threads)
        reinterpret_cast<T*>(to)[i] = reinterpret_cast<const T*>(begin)[i];
    }
    return to + behind;
  }
  if (tile.tiling == Tiling::apart) {
    const int row_chunks = row_bytes / 16, chunks = rows * row_chunks;
    const int rows_on = tile_threads / row_chunks, chunks_on = tile_threads % row_chunks;
    int row = static_cast<int>(threadIdx.x) / row_chunks, chunk = static_cast<int>(threadIdx.x) % row_chunks;
    for (int i = static_cast<int>(threadIdx.x); i < chunks; i += tile_threads) {
      copy_16(to + row * tile.pitch + chunk * 16, from + i * 16);
      row += rows_on;
      chunk += chunks_on;
      if (chunk >= row_chunks) {
        chunk -= row_chunks;
        ++row;
      }
    }
    return to;
  }
  const int classes = static_cast<int>(task.classes);
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < rows * classes; i += tile_threads) {
    const int row = i / classes, column = i % classes;
    const char* element = from + row * task.row_bytes + column * task.column_bytes;
    *reinterpret_cast<T*>(to + row * tile.pitch + column * static_cast<int>(sizeof(T))) = *reinterpret_cast<const T*>(element);
  }
  return to;
}

// `bytes`: of which the address is a multiple, as much as one load takes.
template <class T, int bytes>
__device__ __forceinline__ Chunk<T> chunk_at(const char* at) {
  Chunk<T> chunk;
  if (bytes == 16) {
    const uint4 v = *reinterpret_cast<const uint4*>(at);
    chunk.word[0] = v.x;
    chunk.word[1] = v.y;
    chunk.word[2] = v.z;
    chunk.word[3] = v.w;
  } else if (bytes == 8) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint2 v = reinterpret_cast<const uint2*>(at)[i];
      chunk.word[2 * i] = v.x;
      chunk.word[2 * i + 1] = v.y;
    }
  } else if (bytes == 4) {
#pragma unroll
    for (int i = 0; i < 4; ++i) chunk.word[i] = reinterpret_cast<const std::uint32_t*>(at)[i];
  } else {
#pragma unroll
    for (int i = 0; i < Chunk<T>::elements; ++i) chunk.set(i, reinterpret_cast<const T*>(at)[i]);
  }
  return chunk;
}

// What a row in shared memory comes to. Its exponentials are summed from the end.
template <class T, int bytes>
__device__ __forceinline__ void score_in_tile(const Task& task, std::int64_t row, const char* at) {
  typedef typename Compared<T>::type V;
  constexpr int elements = Chunk<T>::elements;
  const int whole = static_cast<int>(task.classes) / elements, rest = static_cast<int>(task.classes) % elements;
  const T* tail = reinterpret_cast<const T*>(at) + whole * elements;
  Tops<T> tops;
#pragma unroll 1
  for (int j = 0; j < whole; ++j) tops.take(chunk_at<T, bytes>(at + j * 16), j);
  TopTwo<V> top = tops.result();
  const V of_chunks = top.first;
#pragma unroll 1
  for (int i = 0; i < rest; ++i) include(top, widened(tail[i]));
  float sum = 0.0f;
  std::int32_t label = no_label;
#pragma unroll 1
  for (int i = rest - 1; i >= 0; --i) {
    const V x = widened(tail[i]);
    sum += exp_difference(x, top.first);
    if (x == top.first) label = whole * elements + i;
  }
#pragma unroll 1
  for (int j = whole - 1; j >= 0; --j) sum += chunk_sum(chunk_at<T, bytes>(at + j * 16), top.first);
  if (whole > 0 && of_chunks == top.first) {
    const int j = tops.first_at();
    const Chunk<T> chunk = chunk_at<T, bytes>(at + j * 16);
#pragma unroll
    for (int i = elements - 1; i >= 0; --i)
      if (chunk[i] == top.first) label = j * elements + i;
  }
  std::int32_t other = 0;
  if (task.out.other != nullptr) {
#pragma unroll 1
    for (int i = static_cast<int>(task.classes) - 1; i >= 0; --i)
      if (widened(reinterpret_cast<const T*>(at)[i]) == top.second && i != label) other = i;
  }
  write(task.out, row,
        Row{sum, static_cast<float>(top.second - top.first), given_difference<T>(task, row, top.first), label, other});
}

// The same of rows of a few 16-bit numbers, all of them in registers: the same sum.
template <class T, int classes>
__device__ __forceinline__ void score_pairs(const Task& task, std::int64_t row, const char* at) {
  constexpr int elements = Chunk<T>::elements, whole = classes / elements;
  Chunk<T> chunk[whole + 1];
  chunk[whole].clear();
  if (classes % elements == 0) {
#pragma unroll
    for (int j = 0; j < whole; ++j) chunk[j] = chunk_at<T, 16>(at + j * 16);
  } else {
#pragma unroll
    for (int i = 0; i < classes / 2; ++i) chunk[i / 4].word[i % 4] = reinterpret_cast<const std::uint32_t*>(at)[i];
  }
  Tops<T> tops;
#pragma unroll
  for (int i = 0; i < classes / 2; ++i) tops.take(chunk[i / 4].word[i % 4]);
  const TopTwo<float> top = tops.result();
  float sum = 0.0f;
#pragma unroll
  for (int i = classes % elements - 1; i >= 0; --i) sum += exp_difference(chunk[whole][i], top.first);
#pragma unroll
  for (int j = whole - 1; j >= 0; --j) sum += chunk_sum(chunk[j], top.first);
  std::int32_t label = no_label, other = 0;
#pragma unroll
  for (int i = classes - 1; i >= 0; --i)
    if (chunk[i / elements][i % elements] == top.first) label = i;
  if (task.out.other != nullptr) {
#pragma unroll
    for (int i = classes - 1; i >= 0; --i)
      if (chunk[i / elements][i % elements] == top.second && i != label) other = i;
  }
  write(task.out, row, Row{sum, top.second - top.first, given_difference<T>(task, row, top.first), label, other});
}

template <class T, int classes>
struct InPairs {
  const Task& task;
  __device__ __forceinline__ void operator()(std::int64_t row, const char* at) const { score_pairs<T, classes>(task, row, at); }
};

template <class T>
__global__ void __launch_bounds__(tile_threads, tile_blocks)
    score_tile(const __grid_constant__ Task task, const __grid_constant__ Tile tile) {
  RAD_FAST_DYNAMIC_SHARED(memory);
  const std::int64_t first = std::int64_t{tile.rows} * blockIdx.x;
  const int rows = static_cast<int>(lesser(std::int64_t{tile.rows}, task.rows - first));
  const char* begin = fill_tile<T>(task, tile, first, rows, memory);
  copied();
  others_at_end();
  const std::uintptr_t places = reinterpret_cast<std::uintptr_t>(begin) | static_cast<unsigned>(tile.pitch);
  const auto each = [&](auto&& scored) {
#pragma unroll 1
    for (int mine = static_cast<int>(threadIdx.x); mine < rows; mine += tile_threads)
      scored(first + mine, begin + mine * tile.pitch);
  };
  if constexpr (sizeof(T) == 2) {
    if (places % (task.classes % 8 == 0 ? 16 : 4) == 0) {
      switch (task.classes) {
        case 2: return each(InPairs<T, 2>{task});
        case 4: return each(InPairs<T, 4>{task});
        case 6: return each(InPairs<T, 6>{task});
        case 8: return each(InPairs<T, 8>{task});
        case 10: return each(InPairs<T, 10>{task});
        case 12: return each(InPairs<T, 12>{task});
        case 14: return each(InPairs<T, 14>{task});
        case 16: return each(InPairs<T, 16>{task});
        case 32: return each(InPairs<T, 32>{task});
        default: break;
      }
    }
  }
  constexpr int one = static_cast<int>(sizeof(T)), pair = 2 * one;
  if (places % 16 == 0)
    each([&](std::int64_t row, const char* at) { score_in_tile<T, 16>(task, row, at); });
  else if (pair < 16 && places % pair == 0)
    each([&](std::int64_t row, const char* at) { score_in_tile<T, pair>(task, row, at); });
  else
    each([&](std::int64_t row, const char* at) { score_in_tile<T, one>(task, row, at); });
}

}  // namespace cuda
}  // namespace rad_fast
