// Sampling's interface: plain data, a table of functions per SIMD level, and the pass over all points that calls them.
#pragma once

#include <cstdint>

#include "game.hpp"

namespace rad_fast {

struct Equilibrium {
  double price, threshold, share;
};

// A sum of probabilities, in units of 2^-62: high 2^-31 + low 2^-62. Enough for 2^32 points.
struct Mass {
  std::int64_t high, low;
};

constexpr int probability_bits = 62;

// count <= game_points in all of them.
struct SampleKernels {
  void (*probabilities)(const float* gain, const float* correctness, std::int64_t count, const Equilibrium& equilibrium,
                        double* out);
  Mass (*mass)(const float* gain, const float* correctness, std::int64_t count, const Equilibrium& equilibrium);
  // The points that may be taken, by their place, and their probabilities in units of 2^-62; returns how many those are, and
  // the mass. `units` and `place` have room for game_points + 16 numbers.
  std::int64_t (*units)(const float* gain, const float* correctness, std::int64_t count, const Equilibrium& equilibrium,
                        std::uint64_t* units, std::int32_t* place, Mass& mass);
  // Writes the indices, `first` + place, of the points where the running sum passes a whole number, and returns how many those are:
  // no more than `room`, which is what the mass says, or any number that suffices. Units past the last are 0.
  std::int64_t (*scan)(const std::uint64_t* units, const std::int32_t* place, std::int64_t count, std::uint64_t running,
                       std::int64_t first, std::int64_t* out, std::int64_t room);
  // Of points that pass (game.hpp) where there is one game, the probabilities in units of 2^-62, and their sum modulo 2^64.
  // `undecided`: the probabilities of those that the box left undecided; returns how many of these there were. `units` has room for
  // `count` + 16 numbers; those past the last are 0.
  std::int64_t (*settle)(const std::int32_t* what, std::int64_t count, double price, const std::uint64_t* undecided,
                         std::uint64_t* units, std::uint64_t& sum);
};

}  // namespace rad_fast

#if !defined(RAD_FAST_LEVEL)  // the rest is for the baseline translation units alone

#include <memory>
#include <vector>

namespace rad_fast {

// Points that are taken, ascending: their places from `begin` on.
struct Sampled {
  std::int64_t begin;
  std::vector<std::uint32_t> places;
};

inline void probabilities_all(int threads, const float* gain, const float* correctness, std::int64_t points,
                              const Equilibrium& equilibrium, double* out) {
  const SampleKernels& kernels = *level().sample;
  const std::int64_t blocks = game_blocks(points);
  for_each_block(useful_threads(threads, blocks, points * 8), blocks, [&](int, std::int64_t block) {
    const std::int64_t first = block * game_points;
    kernels.probabilities(gain + first, correctness + first, std::min(game_points, points - first), equilibrium, out + first);
  });
}

// Where the scan stands.
struct Position {
  std::uint64_t running;  // modulo 2^64
  std::int64_t taken;     // indices so far
};

// Where it stands after a block: the whole numbers passed say how many indices the block takes.
inline Position after(const Position& before, const Mass& mass) {
  constexpr std::uint64_t one = std::uint64_t{1} << probability_bits, half = one >> 31;
  const std::uint64_t high = static_cast<std::uint64_t>(mass.high), low = static_cast<std::uint64_t>(mass.low);
  const std::uint64_t fraction = before.running % one + high % half * half + low;  // below 2^62 + 2^62 + 2^45
  return {before.running + high * half + low, before.taken + static_cast<std::int64_t>(high / half + fraction / one)};
}

inline std::uint64_t mass_all(int threads, const float* gain, const float* correctness, std::int64_t points,
                              const Equilibrium& equilibrium) {
  const SampleKernels& kernels = *level().sample;
  const std::int64_t blocks = game_blocks(points);
  threads = useful_threads(threads, blocks, points * 8);
  std::vector<Position> sums(static_cast<std::size_t>(threads), Position{0, 0});
  for_each_block(threads, blocks, [&](int thread, std::int64_t block) {
    const std::int64_t first = block * game_points;
    Position& sum = sums[static_cast<std::size_t>(thread)];
    sum = after(sum, kernels.mass(gain + first, correctness + first, std::min(game_points, points - first), equilibrium));
  });
  std::uint64_t total = 0;
  for (const Position& sum : sums) total += sum.running;
  return total;
}

// One pass over all points, 8 bytes each: a block's probabilities go to its thread's buffer (128 KiB, in L2) while they are
// summed; when the blocks before it have been summed it is known where its running sum starts and where its indices go.
// Blocks are handed out in order, so that wait is short. `out` has room for an index per point; returns where the scan ends.
inline Position sample_all(int threads, const float* gain, const float* correctness, std::int64_t points,
                           const Equilibrium& equilibrium, std::uint64_t running, std::int64_t* out) {
  const SampleKernels& kernels = *level().sample;
  const std::int64_t blocks = game_blocks(points);
  threads = useful_threads(threads, blocks, points * 8);
  const auto most = static_cast<std::size_t>(std::min(game_points, points) + 16);
  struct Worker {
    std::unique_ptr<std::uint64_t[]> units;
    std::unique_ptr<std::int32_t[]> place;
  };
  std::vector<Worker> workers(static_cast<std::size_t>(threads));
  for (Worker& worker : workers) {
    worker.units.reset(new std::uint64_t[most]);  // not set: zeros would take as long as a small block
    worker.place.reset(new std::int32_t[most]);
  }
  std::atomic<std::int64_t> turn{0};
  Position position{running, 0};  // after blocks 0 .. turn - 1; belongs to the thread whose turn it is
  for_each_block(threads, blocks, [&](int thread, std::int64_t block) {
    Worker& worker = workers[static_cast<std::size_t>(thread)];
    std::uint64_t* const units = worker.units.get();
    std::int32_t* const place = worker.place.get();
    const std::int64_t first = block * game_points;
    Mass mass;
    const std::int64_t count = kernels.units(gain + first, correctness + first, std::min(game_points, points - first),
                                             equilibrium, units, place, mass);
    wait_for(turn, block);
    const Position before = position;
    const std::int64_t taken = (position = after(before, mass)).taken;
    turn.store(block + 1, std::memory_order_release);
    if (taken > before.taken) kernels.scan(units, place, count, before.running, first, out + before.taken, taken - before.taken);
  });
  return position;
}

}  // namespace rad_fast

#endif
