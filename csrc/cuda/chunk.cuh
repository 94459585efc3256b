// Reading a row of logits: 16 bytes at a time, wherever it lies.
#pragma once

#include <cuda_runtime.h>

#include "row.hpp"

namespace rad_fast {
namespace cuda {

struct Matrix {
  const char* data;
  std::int64_t rows, classes;
  std::int64_t row_bytes, column_bytes;  // from one to the next
  const char *low, *high;                // where the logits' memory begins and ends
};

// 16 bytes of a row; positions past its end hold -inf.
template <class T>
struct Chunk {
  static constexpr int elements = 16 / sizeof(T);
  std::uint32_t word[4];

  __device__ __forceinline__ typename Compared<T>::type operator[](int i) const {
    T element;
    if (sizeof(T) == 8) {
      const std::uint64_t both = static_cast<std::uint64_t>(word[(2 * i + 1) % 4]) << 32 | word[2 * i % 4];
      memcpy(&element, &both, sizeof element);
    } else if (sizeof(T) == 4) {
      memcpy(&element, &word[i % 4], sizeof element);
    } else {
      const std::uint16_t half = static_cast<std::uint16_t>(word[i / 2 % 4] >> 16 * (i % 2));
      memcpy(&element, &half, sizeof element);
    }
    return widened(element);
  }

  __device__ __forceinline__ void set(int i, T element) {
    if (sizeof(T) == 8) {
      std::uint64_t both;
      memcpy(&both, &element, sizeof element);
      word[2 * i % 4] = static_cast<std::uint32_t>(both);
      word[(2 * i + 1) % 4] = static_cast<std::uint32_t>(both >> 32);
    } else if (sizeof(T) == 4) {
      memcpy(&word[i % 4], &element, sizeof element);
    } else {
      std::uint16_t half;
      memcpy(&half, &element, sizeof half);
      const int shift = 16 * (i % 2);
      word[i / 2 % 4] = (word[i / 2 % 4] & ~(0xffffu << shift)) | static_cast<std::uint32_t>(half) << shift;
    }
  }
};

__device__ __forceinline__ void load_16(const char* from, std::uint32_t* word) {
  const uint4 v = __ldg(reinterpret_cast<const uint4*>(from));
  word[0] = v.x;
  word[1] = v.y;
  word[2] = v.z;
  word[3] = v.w;
}

// 16 bytes from an address `behind` bytes past a multiple of 16: two loads, of which the second is mostly in L1, where a
// neighbour's first has brought it. `behind` is a multiple of the element's size.
template <class T>
__device__ __forceinline__ void load_shifted(const char* from, unsigned behind, std::uint32_t* word) {
  std::uint32_t w[8];
  load_16(from - behind, w);
  load_16(from - behind + 16, w + 4);
  if (behind & 8) {
#pragma unroll
    for (int k = 0; k < 6; ++k) w[k] = w[k + 2];
  }
  if (sizeof(T) < 8 && (behind & 4)) {
#pragma unroll
    for (int k = 0; k < 5; ++k) w[k] = w[k + 1];
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) word[k] = sizeof(T) < 4 && (behind & 2) ? w[k] >> 16 | w[k + 1] << 16 : w[k];
}

// Chunk `j` of the row at `row`.
template <class T, class Index>
__device__ __forceinline__ Chunk<T> chunk_of(const Matrix& z, const char* row, Index j) {
  constexpr int elements = Chunk<T>::elements;
  Chunk<T> chunk;
  const std::int64_t left = z.classes - static_cast<std::int64_t>(j) * elements;
  const char* from = row + static_cast<std::int64_t>(j) * 16;
  const unsigned behind = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(from) % 16);
  const char* first = from - behind;
  const bool inside = z.column_bytes == sizeof(T) && first >= z.low && first + (behind ? 32 : 16) <= z.high;
  if (left > 0 && inside) {
    if (behind == 0)
      load_16(from, chunk.word);
    else
      load_shifted<T>(from, behind, chunk.word);
    if (left >= elements) return chunk;
#pragma unroll
    for (int i = 0; i < elements; ++i)
      if (i >= left) chunk.set(i, minus_infinity<T>());
    return chunk;
  }
  const char* at = row + static_cast<std::int64_t>(j) * elements * z.column_bytes;
#pragma unroll
  for (int i = 0; i < elements; ++i) {
    T element = minus_infinity<T>();
    if (i < left) element = *reinterpret_cast<const T*>(at + i * z.column_bytes);
    chunk.set(i, element);
  }
  return chunk;
}

}  // namespace cuda
}  // namespace rad_fast
