// The two largest of chunks. Numbers of 16 bits are compared two at a time, where the device can: in the halves of a word,
// each half with its own two largest, that meet at the end. Maxima drop NaN here as everywhere (row.hpp).
#pragma once

#include <cuda_runtime.h>

#include "chunk.cuh"

namespace rad_fast {
namespace cuda {

// `at`: which of the chunks, numbered as they are taken in, the largest came with first.
template <class T>
struct Tops {
  typedef typename Compared<T>::type V;
  TopTwo<V> two = no_top<V>();
  int at = 0;

  __device__ __forceinline__ void take(const Chunk<T>& chunk, int number = 0) {
    TopTwo<V> here{maximum(chunk[0], chunk[1]), minimum(chunk[0], chunk[1])};
#pragma unroll
    for (int i = 2; i < Chunk<T>::elements; ++i) include(here, chunk[i]);
    at = here.first > two.first ? number : at;
    two = merged(two, here);
  }
  __device__ __forceinline__ TopTwo<V> result() const { return two; }
  __device__ __forceinline__ int first_at() const { return at; }
};

template <class T>
struct HalfTops {
  static constexpr std::uint32_t none = 0x10001u * (sizeof(T) == 2 ? T::lowest_bits : 0);
  std::uint32_t first = none, second = none, at = 0;  // of the lower and of the upper halves

  __device__ __forceinline__ void take(const Chunk<T>& chunk, int number = 0) {
    const std::uint32_t* w = chunk.word;
    const std::uint32_t a = greater2(w[0], w[1]), b = lesser2(w[0], w[1]);
    const std::uint32_t c = greater2(w[2], w[3]), d = lesser2(w[2], w[3]);
    const std::uint32_t here = greater2(a, c);
    const std::uint32_t next = greater2(lesser2(a, c), greater2(b, d));
    const std::uint32_t higher = above2(here, first);
    at = (0x10001u * static_cast<std::uint32_t>(number) & higher) | (at & ~higher);
    second = greater2(lesser2(first, here), greater2(second, next));
    first = greater2(first, here);
  }
  __device__ __forceinline__ void take(std::uint32_t pair) {
    second = greater2(second, lesser2(first, pair));
    first = greater2(first, pair);
  }
  __device__ __forceinline__ TopTwo<float> result() const {
    return merged(TopTwo<float>{low(first), low(second)}, TopTwo<float>{high(first), high(second)});
  }
  __device__ __forceinline__ int first_at() const {
    const int lower = static_cast<int>(at & 0xffffu), upper = static_cast<int>(at >> 16);
    const float of_lower = low(first), of_upper = high(first);
    return of_lower > of_upper ? lower : of_upper > of_lower ? upper : lesser(lower, upper);
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
  // Half by half, all bits where a is above b, else none.
  static __device__ __forceinline__ std::uint32_t above2(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    return T::above2(a, b);
#else
    return (low(a) > low(b) ? 0xffffu : 0u) | (high(a) > high(b) ? 0xffff0000u : 0u);
#endif
  }
  // Half by half, a's where `keeps` says so of the numbers that they are. Of a NaN it says no, and of two it does not matter.
  template <class Keeps>
  static __device__ __forceinline__ std::uint32_t chosen(std::uint32_t a, std::uint32_t b, const Keeps& keeps) {
    const std::uint32_t lower = keeps(low(a), low(b)) ? a : b, upper = keeps(high(a), high(b)) ? a : b;
    return (lower & 0xffffu) | (upper & 0xffff0000u);
  }
};

// Elements equal to a number that is one of them.
template <class T>
struct Wanted {
  typename Compared<T>::type value;
  __device__ __forceinline__ explicit Wanted(typename Compared<T>::type number) : value(number) {}
  __device__ __forceinline__ bool is(const Chunk<T>& chunk, int i) const { return chunk[i] == value; }
};

#if defined(__CUDA_ARCH__)
// By their bits, so that nothing is widened again, or kept since it was: of 0, without the sign.
template <class T>
struct HalfWanted {
  std::uint32_t pair, lower, upper;
  __device__ __forceinline__ explicit HalfWanted(float number)
      : pair(0x10001u * T::narrowed(number)), lower(number == 0.0f ? 0x7fffu : 0xffffu), upper(lower << 16) {}
  __device__ __forceinline__ bool is(const Chunk<T>& chunk, int i) const {
    return ((chunk.word[i / 2 % 4] ^ pair) & (i % 2 ? upper : lower)) == 0;
  }
};

template <>
struct Wanted<Float16> : HalfWanted<Float16> {
  using HalfWanted<Float16>::HalfWanted;
};
template <>
struct Wanted<BFloat16> : HalfWanted<BFloat16> {
  using HalfWanted<BFloat16>::HalfWanted;
};
#endif

template <>
struct Tops<Float16> : HalfTops<Float16> {};
template <>
struct Tops<BFloat16> : HalfTops<BFloat16> {};

}  // namespace cuda
}  // namespace rad_fast
