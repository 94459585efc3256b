// The two largest of chunks. Numbers of 16 bits are compared two at a time, where the device can: in the halves of a word,
// each half with its own two largest, that meet at the end. Maxima drop NaN here as everywhere (row.hpp).
#pragma once

#include <cuda_runtime.h>

#include "chunk.cuh"

namespace rad_fast {
namespace cuda {

template <class T>
struct Tops {
  typedef typename Compared<T>::type V;
  typedef V Largest;  // of a chunk
  TopTwo<V> two = no_top<V>();

  __device__ __forceinline__ Largest take(const Chunk<T>& chunk) {
    TopTwo<V> here{maximum(chunk[0], chunk[1]), minimum(chunk[0], chunk[1])};
#pragma unroll
    for (int i = 2; i < Chunk<T>::elements; ++i) include(here, chunk[i]);
    two = merged(two, here);
    return here.first;
  }
  __device__ __forceinline__ TopTwo<V> result() const { return two; }
  static __device__ __forceinline__ bool is(Largest largest, V top) { return largest == top; }
};

template <class T>
struct HalfTops {
  typedef std::uint32_t Largest;
  static constexpr std::uint32_t none = 0x10001u * (sizeof(T) == 2 ? T::lowest_bits : 0);
  std::uint32_t first = none, second = none;

  __device__ __forceinline__ Largest take(const Chunk<T>& chunk) {
    const std::uint32_t* w = chunk.word;
    const std::uint32_t a = greater2(w[0], w[1]), b = lesser2(w[0], w[1]);
    const std::uint32_t c = greater2(w[2], w[3]), d = lesser2(w[2], w[3]);
    const std::uint32_t here = greater2(a, c);
    const std::uint32_t next = greater2(lesser2(a, c), greater2(b, d));
    second = greater2(lesser2(first, here), greater2(second, next));
    first = greater2(first, here);
    return here;
  }
  __device__ __forceinline__ TopTwo<float> result() const {
    return merged(TopTwo<float>{low(first), low(second)}, TopTwo<float>{high(first), high(second)});
  }
  static __device__ __forceinline__ bool is(Largest largest, float top) {
    return maximum(low(largest), high(largest)) == top;
  }

 private:
  static __device__ __forceinline__ float low(std::uint32_t pair) { return widened(T{static_cast<std::uint16_t>(pair)}); }
  static __device__ __forceinline__ float high(std::uint32_t pair) { return widened(T{static_cast<std::uint16_t>(pair >> 16)}); }
  static __device__ __forceinline__ std::uint32_t greater2(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return T::greater2(a, b);
#else
    return chosen(a, b, [](float x, float y) { return maximum(x, y) == x; });
#endif
  }
  static __device__ __forceinline__ std::uint32_t lesser2(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return T::lesser2(a, b);
#else
    return chosen(a, b, [](float x, float y) { return minimum(x, y) == x; });
#endif
  }
  // Half by half, a's where `keeps` says so of the numbers that they are. Of a NaN it says no, and of two it does not matter.
  template <class Keeps>
  static __device__ __forceinline__ std::uint32_t chosen(std::uint32_t a, std::uint32_t b, const Keeps& keeps) {
    const std::uint32_t lower = keeps(low(a), low(b)) ? a : b, upper = keeps(high(a), high(b)) ? a : b;
    return (lower & 0xffffu) | (upper & 0xffff0000u);
  }
};

template <>
struct Tops<Float16> : HalfTops<Float16> {};
template <>
struct Tops<BFloat16> : HalfTops<BFloat16> {};

}  // namespace cuda
}  // namespace rad_fast
