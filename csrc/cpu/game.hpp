// The game's interface: plain data, a table of functions per SIMD level, and the pass over all points that calls them.
#pragma once

#include <cstdint>

namespace rad_fast {

// Points of one call of a kernel: 64 KiB of gain, 64 KiB of correctness. Exact sums in float64 rest on it: 2^14 numbers of
// up to 38 bits take 52.
constexpr std::int64_t game_points = 1 << 14;

// Where the equilibrium is known to lie, ends included.
struct Box {
  double price_low, price_high, threshold_low, threshold_high;
};

// Exact sums over the points that a box decides; those that would not fit 64 bits in two parts. Enough for 2^32 points.
struct Sums {
  std::int64_t saturated;
  std::int64_t value_high, value_low;  // of d over the saturated: high 2^-24 + low 2^-48
  std::int64_t full, full_advantage, full_gain;  // 2^-24
  std::int64_t advantage;                        // of the priced, 2^-24
  std::int64_t width_high, width_low;            // of 1 / g over the priced: high 2^-7 + low 2^-38
};

// Points that reach the lower threshold of their game, 8 bytes each. `what`: the gain, 2^-24, of those that surely are priced, 0 of
// those that surely are saturated, undecided_point of the others. `where`: their place in the block, and their key above.
struct Passing {
  std::int32_t *what, *where;
};
constexpr std::int32_t undecided_point = 1 << 30;
constexpr int place_bits = 14;
static_assert(game_points == 1 << place_bits, "a place in a block has place_bits");

constexpr double narrow_gain = 0x1p-10;  // from it on 2^14 widths, of up to 2^48 units, have a sum of 64 bits

struct Counts {
  std::int64_t passing, undecided;
};

// `count` <= game_points in both; outputs have room for game_points + 16 numbers.
struct GameKernels {
  // Sums what the box decides of `count` points, writes the gain and correctness of the others, in their order, and returns
  // how many those are.
  std::int64_t (*reduce)(const float* gain, const float* correctness, std::int64_t count, const Box& box, Sums& sums,
                         float* undecided_gain, float* undecided_correctness);
  // Adds what the box surely decides to the sums, writes the points that pass, with places from `place` on and keys of 0, and gain
  // and correctness of the undecided ones among them. For thresholds from 0 on: no point is full.
  Counts (*pass)(const float* gain, const float* correctness, std::int64_t count, const Box& box, std::int32_t place, Sums& sums,
                 const Passing& passing, float* undecided_gain, float* undecided_correctness);
};

}  // namespace rad_fast

#if !defined(RAD_FAST_LEVEL)  // the rest is for the baseline translation units alone

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "dispatch.hpp"
#include "parallel.hpp"

namespace rad_fast {

inline void add(Sums& sums, const Sums& other) {
  sums.saturated += other.saturated;
  sums.value_high += other.value_high;
  sums.value_low += other.value_low;
  sums.full += other.full;
  sums.full_advantage += other.full_advantage;
  sums.full_gain += other.full_gain;
  sums.advantage += other.advantage;
  sums.width_high += other.width_high;
  sums.width_low += other.width_low;
}

inline std::int64_t game_blocks(std::int64_t points) { return (points + game_points - 1) / game_points; }

// Waits for the threads that have the blocks before. They are at work, as blocks are handed out in order; where the system
// has stopped one of them, this thread's core is better left to others.
inline void wait_for(const std::atomic<std::int64_t>& turn, std::int64_t block) {
  for (int looks = 0; turn.load(std::memory_order_acquire) != block; ++looks) {
    if (looks < 64) std::this_thread::yield();
    else std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

// One pass over all points, 8 bytes each. A block's undecided points are compacted into its thread's buffer (128 KiB, in
// L2) and copied to the output when the blocks before it have said how many they have: blocks are handed out in order, so
// that wait is short, and only as much of the output as is needed is ever touched. Returns how many points are undecided;
// both outputs have room for all.
inline std::int64_t reduce_all(int threads, const float* gain, const float* correctness, std::int64_t points, const Box& box,
                               Sums& sums, float* undecided_gain, float* undecided_correctness) {
  struct Worker {
    Sums sums{};
    std::unique_ptr<float[]> gain, correctness;
  };
  const GameKernels& kernels = *level().game;
  const std::int64_t blocks = game_blocks(points);
  threads = useful_threads(threads, blocks, points * 8);
  const auto most = static_cast<std::size_t>(std::min(game_points, points) + 16);
  std::vector<Worker> workers(static_cast<std::size_t>(threads));
  for (Worker& worker : workers) {
    worker.gain.reset(new float[most]);  // not set: zeros would take as long as a small block
    worker.correctness.reset(new float[most]);
  }
  std::atomic<std::int64_t> turn{0};
  std::int64_t end = 0;  // of the undecided points of blocks 0 .. turn - 1; belongs to the thread whose turn it is
  for_each_block(threads, blocks, [&](int thread, std::int64_t block) {
    Worker& worker = workers[static_cast<std::size_t>(thread)];
    const std::int64_t first = block * game_points;
    Sums decided;
    const std::int64_t count = kernels.reduce(gain + first, correctness + first, std::min(game_points, points - first), box,
                                              decided, worker.gain.get(), worker.correctness.get());
    add(worker.sums, decided);
    wait_for(turn, block);
    const std::int64_t at = end;
    end += count;
    turn.store(block + 1, std::memory_order_release);
    std::memcpy(undecided_gain + at, worker.gain.get(), static_cast<std::size_t>(count) * sizeof(float));
    std::memcpy(undecided_correctness + at, worker.correctness.get(), static_cast<std::size_t>(count) * sizeof(float));
  });
  for (const Worker& worker : workers) add(sums, worker.sums);
  return end;
}

}  // namespace rad_fast

#else  // what kernels compiled per level share: the arithmetic of `half_lanes` points in float64

#include "simd.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

#if defined(__AVX512F__)
typedef __mmask8 Mask;
RAD_FAST_INLINE Mask greater(Double a, Double b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ); }
RAD_FAST_INLINE Mask equal(Double a, Double b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_EQ_OQ); }
RAD_FAST_INLINE Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
RAD_FAST_INLINE Mask without(Mask a, Mask b) { return static_cast<Mask>(a & ~b); }
RAD_FAST_INLINE Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
RAD_FAST_INLINE Double keep(Mask mask, Double x) { return (Double)_mm512_maskz_mov_pd(mask, (__m512d)x); }
RAD_FAST_INLINE Double choose(Mask mask, Double yes, Double no) {
  return (Double)_mm512_mask_mov_pd((__m512d)no, mask, (__m512d)yes);
}
RAD_FAST_INLINE unsigned bits(Mask mask) { return mask; }
#else
typedef Long Mask;
RAD_FAST_INLINE Mask greater(Double a, Double b) { return a > b; }
RAD_FAST_INLINE Mask equal(Double a, Double b) { return a == b; }
RAD_FAST_INLINE Mask both(Mask a, Mask b) { return a & b; }
RAD_FAST_INLINE Mask without(Mask a, Mask b) { return a & ~b; }
RAD_FAST_INLINE Mask either(Mask a, Mask b) { return a | b; }
RAD_FAST_INLINE Double keep(Mask mask, Double x) { return (Double)(mask & (Long)x); }
RAD_FAST_INLINE Double choose(Mask mask, Double yes, Double no) { return mask ? yes : no; }
RAD_FAST_INLINE unsigned bits(Mask mask) {
#if defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_pd((__m256d)mask));
#elif defined(__SSE4_1__)
  return static_cast<unsigned>(_mm_movemask_pd((__m128d)mask));
#else
  unsigned found = 0;
  for (int i = 0; i < half_lanes; ++i) found |= static_cast<unsigned>(mask[i] & 1) << i;
  return found;
#endif
}
#endif

RAD_FAST_INLINE Double round_down(Double x) {
#if defined(__AVX512F__)
  return (Double)_mm512_roundscale_pd((__m512d)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (Double)_mm256_floor_pd((__m256d)x);
#elif defined(__SSE4_1__)
  return (Double)_mm_floor_pd((__m128d)x);
#else
  for (int i = 0; i < half_lanes; ++i) x[i] = __builtin_floor(x[i]);
  return x;
#endif
}

RAD_FAST_INLINE Double doubles(double x) { return x - Double{}; }
// In one instruction, where GCC would take half a vector at a time.
#if defined(__AVX512F__)
RAD_FAST_INLINE Double widen(NarrowFloat x) { return (Double)_mm512_cvtps_pd((__m256)x); }
RAD_FAST_INLINE Double widen(NarrowInt x) { return (Double)_mm512_cvtepi32_pd((__m256i)x); }
RAD_FAST_INLINE Long longs(NarrowInt x) { return (Long)_mm512_cvtepi32_epi64((__m256i)x); }
#elif defined(__AVX2__)
RAD_FAST_INLINE Double widen(NarrowFloat x) { return (Double)_mm256_cvtps_pd((__m128)x); }
RAD_FAST_INLINE Double widen(NarrowInt x) { return (Double)_mm256_cvtepi32_pd((__m128i)x); }
RAD_FAST_INLINE Long longs(NarrowInt x) { return (Long)_mm256_cvtepi32_epi64((__m128i)x); }
#else
RAD_FAST_INLINE Double widen(NarrowFloat x) { return __builtin_convertvector(x, Double); }
RAD_FAST_INLINE Double widen(NarrowInt x) { return __builtin_convertvector(x, Double); }
RAD_FAST_INLINE Long longs(NarrowInt x) { return __builtin_convertvector(x, Long); }
#endif
RAD_FAST_INLINE double sum(Double x) {
  double total = 0;
  for (int i = 0; i < half_lanes; ++i) total += x[i];
  return total;
}

// Gain, advantage a = 2c - 1 (rounded to float32) and effective gain d = a g (exact). A gain of NaN is a point left out.
struct Terms {
  Double gain, advantage, effective;
};
RAD_FAST_INLINE Terms terms(const float* gain, const float* correctness) {
  const Double g = widen(load<NarrowFloat>(gain));
  const Double a = widen(load<NarrowFloat>(correctness) * 2.0f - 1.0f);
  return {g, a, a * g};
}

// 1 / g in units of 2^-38, rounded; infinite for a gain of 0, whose width nobody uses.
RAD_FAST_INLINE Double width_units(Double gain) { return round_down(doubles(0x1p38) / gain + doubles(0.5)); }

// Calls work(gain, correctness, first, lanes in use) for `count` points, half_lanes at a time; the last ones come in a copy,
// with points that are left out behind them.
template <class Work>
RAD_FAST_INLINE void for_points(const float* gain, const float* correctness, int64_t count, const Work& work) {
  int64_t i = 0;
  for (; i + half_lanes <= count; i += half_lanes) work(gain + i, correctness + i, i, half_lanes);
  if (i == count) return;
  float last_gain[half_lanes], last_correctness[half_lanes];
  for (int k = 0; k < half_lanes; ++k) {
    last_gain[k] = i + k < count ? gain[i + k] : __builtin_nanf("");
    last_correctness[k] = i + k < count ? correctness[i + k] : 0.0f;
  }
  work(last_gain, last_correctness, i, static_cast<int>(count - i));
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast

#endif
