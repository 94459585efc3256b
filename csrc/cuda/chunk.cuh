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
  int chunks;                            // of 16 bytes in a row, the last of which may be in part
  int rest;                              // elements of that one, where it is in part, else 0
  bool aligned;                          // every row begins at a multiple of 16 bytes and has whole chunks alone
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

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < elements; ++i) set(i, minus_infinity<T>());
  }
};

__device__ __forceinline__ void load_16(const char* from, std::uint32_t* word) {
  const uint4 v = __ldg(reinterpret_cast<const uint4*>(from));
  word[0] = v.x;
  word[1] = v.y;
  word[2] = v.z;
  word[3] = v.w;
}

// The same for all chunks of a row that is not aligned.
struct RowPlace {
  const char* at;
  unsigned behind;  // bytes past a multiple of 16
  bool whole;       // its memory can be read in pieces of 16 bytes, from one multiple of 16 to another
};

template <class T>
__device__ __forceinline__ RowPlace place_of(const Matrix& z, const char* row) {
  if (z.aligned) return {row, 0, true};
  const std::int64_t bytes = z.classes * static_cast<std::int64_t>(sizeof(T));
  const unsigned behind = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(row) % 16);
  const std::int64_t reach = (behind + bytes + 15) / 16 * 16;
  return {row, behind, z.column_bytes == sizeof(T) && row - behind >= z.low && row - behind + reach <= z.high};
}

// out[i]: the 32 bits that begin `shift` bits past w[i + words].
template <int words>
__device__ __forceinline__ void moved(const std::uint32_t (&w)[8], unsigned shift, std::uint32_t* out) {
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = __funnelshift_r(w[i + words], w[(i + words + 1) % 8], shift);
}

// How the chunks of a row are read, the same for all of it: each in one piece; in two pieces, of which it begins in word 0, 1, 2
// or 3 of the first; element by element.
enum class Way : int { words_0, words_1, words_2, words_3, direct, gathered };

__device__ __forceinline__ Way way_of(const Matrix& z, const RowPlace& row) {
  if (z.aligned || (row.whole && row.behind == 0)) return Way::direct;
  return row.whole ? static_cast<Way>(row.behind / 4) : Way::gathered;
}

// Chunks first, first + apart, ... of a row, `count` of them, all whole and, but for Way::direct and Way::gathered, not its last.
template <class T, int count, Way way>
__device__ __forceinline__ void load_whole(const Matrix& z, const RowPlace& row, int first, int apart, Chunk<T>* chunk) {
  const char* from = row.at + static_cast<std::int64_t>(first) * 16;
  if (way == Way::direct) {
#pragma unroll
    for (int k = 0; k < count; ++k) load_16(from + k * apart * 16, chunk[k].word);
  } else if (way == Way::gathered) {
#pragma unroll
    for (int k = 0; k < count; ++k) {
#pragma unroll
      for (int i = 0; i < Chunk<T>::elements; ++i) {
        const std::int64_t at = static_cast<std::int64_t>(first + k * apart) * Chunk<T>::elements + i;
        chunk[k].set(i, *reinterpret_cast<const T*>(row.at + at * z.column_bytes));
      }
    }
  } else {
    constexpr int words = way == Way::direct || way == Way::gathered ? 0 : static_cast<int>(way);
    std::uint32_t w[count][8];
    from -= row.behind;
#pragma unroll
    for (int k = 0; k < count; ++k) {
      load_16(from + k * apart * 16, w[k]);
      load_16(from + k * apart * 16 + 16, w[k] + 4);  // mostly in L1, where a neighbour's first has brought it
    }
#pragma unroll
    for (int k = 0; k < count; ++k) moved<words>(w[k], sizeof(T) >= 4 ? 0 : row.behind % 4 * 8, chunk[k].word);
  }
}

// The same of a row whose memory is whole, wherever it begins. `uniform`: all lanes of a warp read the same row.
template <class T, int count, bool uniform>
__device__ __forceinline__ void load_shifted(const RowPlace& row, int first, int apart, Chunk<T>* chunk) {
  constexpr int batch = count < 4 ? count : 4;  // 8 registers each until they are moved
  const unsigned words = row.behind / 4, shift = sizeof(T) >= 4 ? 0 : row.behind % 4 * 8;
  const char* const from = row.at - row.behind + static_cast<std::int64_t>(first) * 16;
#pragma unroll
  for (int begin = 0; begin < count; begin += batch) {
    std::uint32_t w[batch][8];
#pragma unroll
    for (int k = 0; k < batch; ++k) {
      if (begin + k >= count) continue;
      load_16(from + (begin + k) * apart * 16, w[k]);
      load_16(from + (begin + k) * apart * 16 + 16, w[k] + 4);
    }
    const auto each = [&](auto&& move) {
#pragma unroll
      for (int k = 0; k < batch; ++k)
        if (begin + k < count) move(w[k], chunk[begin + k].word);
    };
    if (uniform) {
      switch (words) {
        case 0: each([&](const std::uint32_t (&w)[8], std::uint32_t* out) { moved<0>(w, shift, out); }); break;
        case 1: each([&](const std::uint32_t (&w)[8], std::uint32_t* out) { moved<1>(w, shift, out); }); break;
        case 2: each([&](const std::uint32_t (&w)[8], std::uint32_t* out) { moved<2>(w, shift, out); }); break;
        default: each([&](const std::uint32_t (&w)[8], std::uint32_t* out) { moved<3>(w, shift, out); }); break;
      }
    } else {
      each([&](std::uint32_t (&w)[8], std::uint32_t* out) {
#pragma unroll
        for (int i = 0; i < 6; ++i) w[i] = words & 2 ? w[i + 2] : w[i];
#pragma unroll
        for (int i = 0; i < 5; ++i) w[i] = words & 1 ? w[i + 1] : w[i];
        moved<0>(w, shift, out);
      });
    }
  }
}

// Which of the chunks that are asked for are before the end: all; those of all lanes or of some, `first` being the lane; any.
enum class Reach : int { inside, lanes, any };

// Chunks first, first + apart, ... of a row, `count` of them; those from `end` on are -inf. All loads are issued before the
// first is waited for. `uniform`: all lanes of a warp read the same row.
template <class T, int count, bool uniform, Reach reach>
__device__ __forceinline__ void load_chunks(const Matrix& z, const RowPlace& row, int first, int apart, int end, Chunk<T>* chunk) {
  constexpr int elements = Chunk<T>::elements;
  if (z.aligned || (row.whole && row.behind == 0)) {
    const char* from = row.at + static_cast<std::int64_t>(first) * 16;
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (reach == Reach::inside || (reach == Reach::lanes && (k + 1) * apart <= end)) {  // all lanes' chunks are there
        load_16(from + k * apart * 16, chunk[k].word);
      } else {
        chunk[k].clear();
        if (first + k * apart < end) load_16(from + k * apart * 16, chunk[k].word);
      }
    }
    if (z.aligned) return;
  } else if (row.whole) {
    constexpr int batch = count > 8 ? 2 : count < 4 ? count : 4;  // 8 registers each until they are moved
    const unsigned words = row.behind / 4, shift = row.behind % 4 * 8;
    const char* last = row.at + z.classes * static_cast<std::int64_t>(sizeof(T));
#pragma unroll
    for (int begin = 0; begin < count; begin += batch) {
      std::uint32_t w[batch][8];
#pragma unroll
      for (int k = 0; k < batch; ++k) {
        const int j = first + (begin + k) * apart;
        const char* from = row.at - row.behind + static_cast<std::int64_t>(j) * 16;
#pragma unroll
        for (int i = 0; i < 8; ++i) w[k][i] = 0;
        if (begin + k < count && j < end) {
          load_16(from, w[k]);
          if (from + 16 < last) load_16(from + 16, w[k] + 4);  // mostly in L1, where a neighbour's first has brought it
        }
      }
      if (uniform) {
#pragma unroll
        for (int k = 0; k < batch; ++k) {
          if (begin + k >= count) continue;
          switch (words) {
            case 0: moved<0>(w[k], shift, chunk[begin + k].word); break;
            case 1: moved<1>(w[k], shift, chunk[begin + k].word); break;
            case 2: moved<2>(w[k], shift, chunk[begin + k].word); break;
            default: moved<3>(w[k], shift, chunk[begin + k].word); break;
          }
        }
      } else {
#pragma unroll
        for (int k = 0; k < batch; ++k) {
          if (begin + k >= count) continue;
          if (words & 2) {
#pragma unroll
            for (int i = 0; i < 6; ++i) w[k][i] = w[k][i + 2];
          }
          if (words & 1) {
#pragma unroll
            for (int i = 0; i < 5; ++i) w[k][i] = w[k][i + 1];
          }
          moved<0>(w[k], shift, chunk[begin + k].word);
        }
      }
#pragma unroll
      for (int k = 0; k < batch; ++k)
        if (begin + k < count && first + (begin + k) * apart >= end) chunk[begin + k].clear();
    }
  } else {
#pragma unroll
    for (int k = 0; k < count; ++k) {
      const std::int64_t begin = static_cast<std::int64_t>(first + k * apart) * elements;
      const std::int64_t stop = first + k * apart < end ? z.classes : 0;
#pragma unroll
      for (int i = 0; i < elements; ++i) {
        T element = minus_infinity<T>();
        if (begin + i < stop) element = *reinterpret_cast<const T*>(row.at + (begin + i) * z.column_bytes);
        chunk[k].set(i, element);
      }
    }
    return;
  }
  if (z.rest == 0) return;
#pragma unroll
  for (int k = 0; k < count; ++k) {
    if (first + k * apart != z.chunks - 1) continue;
#pragma unroll
    for (int i = 1; i < elements; ++i)
      if (i >= z.rest) chunk[k].set(i, minus_infinity<T>());
  }
}

}  // namespace cuda
}  // namespace rad_fast
