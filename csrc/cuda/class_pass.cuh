// The games by class: the passes over all points (classes.cu).
#pragma once

#include "class_games.cuh"
#include "launch.cuh"

namespace rad_fast {
namespace cuda {
namespace {

__device__ __forceinline__ void add_to(std::int64_t* sum, std::int64_t x) {
  atomicAdd(reinterpret_cast<Counter*>(sum), static_cast<Counter>(x));
}
__device__ __forceinline__ void add_to(std::uint64_t* sum, std::uint64_t x) { atomicAdd(reinterpret_cast<Counter*>(sum), Counter{x}); }

__device__ __forceinline__ void add_to(Sums* sums, Point p, Part part) {
  if (part == Part::saturated) {
    const std::int64_t d = effective(p);
    add_to(&sums->saturated, 1);
    add_to(&sums->value_low, static_cast<std::uint64_t>(d & 0xffffffff));
    add_to(&sums->value_high, d >> 32);
  } else if (part == Part::full) {
    add_to(&sums->full, 1);
    add_to(&sums->full_advantage, p.advantage);
    add_to(&sums->full_gain, p.gain);
  } else if (part == Part::priced) {
    const std::uint64_t w = width_of_gain(p.gain);
    add_to(&sums->advantage, p.advantage);
    add_to(&sums->width_low, w & 0xffffffff);
    add_to(&sums->width_high, w >> 32);
  }
}

// `boxed`: some classes have a box, and `cuts` is there.
template <bool boxed>
__device__ __forceinline__ void pass(const Games& s, Queue* queue) {
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const std::int64_t points = s.points.points, warps = std::int64_t{pass_warps} * gridDim.x;
  const std::int64_t stretch = (points + warps * Queue::step - 1) / (warps * Queue::step) * Queue::step;
  const std::int64_t begin = lesser(points, stretch * (std::int64_t{pass_warps} * blockIdx.x + warp));
  Sums* sums = s.sums + blockIdx.x % s.copies * s.large_count;
  for_passing(
      s.points.gain, s.points.correctness, s.points.label, begin, lesser(points, begin + stretch), are_aligned(s.points),
      [&](float g, float c, std::int32_t label) {
        if (!(g >= 0.0f)) return false;
        const std::int32_t k = game_of(s, label);
        return k >= 0 && (boxed ? screened_in(g, c, s.cuts[k].screen) : s.game[k].quota > 0.0);
      },
      queue[warp], [&](float g, float c, std::int32_t, std::int32_t label) {
        const Point p = point_of(g, c);
        const std::int32_t k = p.gain < 0 ? -1 : game_of(s, label);
        Part part = k < 0 ? Part::out : Part::undecided;
        if (boxed && k >= 0) {
          const ClassCuts mine = s.cuts[k];
          part = mine.slot < 0 ? Part::undecided : part_of(p, mine.cuts);
          if (part != Part::undecided) add_to(sums + mine.slot, p, part);
        }
        // Lanes of one class ask for room once.
        const bool undecided = part == Part::undecided;
        const unsigned peers = __match_any_sync(all_lanes, undecided ? k : -1);
        const int leader = __ffs(static_cast<int>(peers)) - 1;
        Counter base = 0;
        if (undecided && lane == leader) base = atomicAdd(s.held + k, static_cast<Counter>(__popc(peers)));
        base = from_lane(base, leader);
        if (undecided) s.region[s.game[k].start + static_cast<std::int64_t>(base) + __popc(peers & ((1u << lane) - 1))] = p;
      });
}

__global__ void __launch_bounds__(pass_threads, pass_resident) reduce_classes(const Games s) {
  __shared__ Queue queue[pass_warps];
  pass<true>(s, queue);
}

// Where no class has a box its points are brought together, and nothing is summed.
__global__ void __launch_bounds__(pass_threads, pass_resident) group_classes(const Games s) {
  __shared__ Queue queue[pass_warps];
  pass<false>(s, queue);
}

// ------------------------------------------------------------------------------------------- few classes, some with a box

// What a warp adds up of a class's part.
struct PartSums {
  std::int64_t count, advantage;
  std::uint64_t low;  // of d, gain or width
  std::int64_t high;
};
constexpr int summed_parts = 3;

// Undecided points of a warp, with their classes.
struct Rest {
  Point point[rest_points + warp_lanes];
  std::int32_t label[rest_points + warp_lanes];
};

struct FewScratch {
  Queue queue[few_pass_warps];
  Rest rest[few_pass_warps];
  float screen[few_classes];
};

// A class asks once for the room of all its points here.
__device__ __forceinline__ void write_rest(const Games& s, const Rest& rest, int held, unsigned* counts) {
  const int lane = lane_of_warp();
  __syncwarp();
  for (int i = lane; i < held; i += warp_lanes) atomicAdd(counts + rest.label[i], 1u);
  __syncwarp();
  for (std::int64_t k = lane; k < s.points.classes; k += warp_lanes)
    if (counts[k] != 0) counts[k] = static_cast<unsigned>(atomicAdd(s.held + k, Counter{counts[k]}));
  __syncwarp();
  for (int i = lane; i < held; i += warp_lanes) {
    const std::int32_t k = rest.label[i];
    s.region[s.game[k].start + static_cast<std::int64_t>(atomicAdd(counts + k, 1u))] = rest.point[i];
  }
  __syncwarp();
  for (std::int64_t k = lane; k < s.points.classes; k += warp_lanes) counts[k] = 0;
  __syncwarp();
}

// Adds the points of all lanes to their classes' parts. key: summed_parts x slot + part; -1: none.
__device__ __forceinline__ void add_by_key(PartSums* sums, int key, std::int64_t x, std::int32_t advantage) {
  const int lane = lane_of_warp();
  const unsigned peers = __match_any_sync(all_lanes, key);
  PartSums all{__popc(peers), 0, 0, 0};
  for (unsigned left = key < 0 ? 0 : peers; __any_sync(all_lanes, left != 0); left &= left - 1) {
    const int from = left == 0 ? lane : __ffs(static_cast<int>(left)) - 1;
    const std::int64_t theirs = from_lane(x, from);
    const std::int32_t their_advantage = from_lane(advantage, from);
    if (left == 0) continue;
    all.advantage += their_advantage;
    all.low += static_cast<std::uint64_t>(theirs & 0xffffffff);
    all.high += theirs >> 32;
  }
  if (key >= 0 && (peers & ((1u << lane) - 1)) == 0) {
    PartSums& mine = sums[key];
    mine.count += all.count;
    mine.advantage += all.advantage;
    mine.low += all.low;
    mine.high += all.high;
  }
  __syncwarp();
}

__device__ __forceinline__ void add_to(Sums* to, int part, const PartSums& p) {
  if (p.count == 0) return;
  const auto low = static_cast<std::int64_t>(p.low);
  if (part == 0) {
    add_to(&to->saturated, p.count);
    add_to(&to->value_low, p.low);
    add_to(&to->value_high, p.high);
  } else if (part == 1) {
    add_to(&to->full, p.count);
    add_to(&to->full_advantage, p.advantage);
    add_to(&to->full_gain, low);
  } else {
    add_to(&to->advantage, p.advantage);
    add_to(&to->width_low, p.low);
    add_to(&to->width_high, static_cast<std::uint64_t>(p.high));
  }
}

__global__ void __launch_bounds__(few_pass_threads, few_pass_resident) reduce_few(const Games s) {
  __shared__ FewScratch scratch;
  RAD_FAST_DYNAMIC_SHARED(memory);  // sums of each warp, then its counts
  const int lane = lane_of_warp(), warp = warp_of_block();
  const std::int64_t keys = s.large_count * summed_parts, classes = s.points.classes;
  auto* const all_sums = reinterpret_cast<PartSums*>(memory);
  auto* const all_counts = reinterpret_cast<unsigned*>(all_sums + keys * few_pass_warps);
  for (std::int64_t i = threadIdx.x; i < keys * few_pass_warps; i += few_pass_threads) all_sums[i] = PartSums{0, 0, 0, 0};
  for (std::int64_t i = threadIdx.x; i < classes * few_pass_warps; i += few_pass_threads) all_counts[i] = 0;
  for (std::int64_t k = threadIdx.x; k < classes; k += few_pass_threads) scratch.screen[k] = s.cuts[k].screen;
  __syncthreads();
  PartSums* const sums = all_sums + keys * warp;
  unsigned* const counts = all_counts + classes * warp;
  Rest& rest = scratch.rest[warp];
  const std::int64_t points = s.points.points, warps = std::int64_t{few_pass_warps} * gridDim.x;
  const std::int64_t stretch = (points + warps * Queue::step - 1) / (warps * Queue::step) * Queue::step;
  const std::int64_t begin = lesser(points, stretch * (std::int64_t{few_pass_warps} * blockIdx.x + warp));
  int held = 0;
  for_passing(
      s.points.gain, s.points.correctness, s.points.label, begin, lesser(points, begin + stretch), are_aligned(s.points),
      [&](float g, float c, std::int32_t k) { return g >= 0.0f && screened_in(g, c, scratch.screen[k]); }, scratch.queue[warp],
      [&](float g, float c, std::int32_t, std::int32_t label) {
        const Point p = point_of(g, c);
        const std::int32_t k = p.gain < 0 ? 0 : label;
        Part part = Part::out;
        int key = -1;
        std::int64_t x = 0;
        if (p.gain >= 0) {
          const ClassCuts mine = s.cuts[k];
          part = mine.slot < 0 ? Part::undecided : part_of(p, mine.cuts);
          const int first = mine.slot * summed_parts;
          if (part == Part::saturated) {
            key = first;
            x = effective(p);
          } else if (part == Part::full) {
            key = first + 1;
            x = p.gain;
          } else if (part == Part::priced) {
            key = first + 2;
            x = static_cast<std::int64_t>(width_of_gain(p.gain));
          }
        }
        add_by_key(sums, key, x, p.advantage);
        const unsigned votes = __ballot_sync(all_lanes, part == Part::undecided);
        if (part == Part::undecided) {
          const int to = held + __popc(votes & ((1u << lane) - 1));
          rest.point[to] = p;
          rest.label[to] = k;
        }
        held += __popc(votes);
        if (held >= rest_points) {
          write_rest(s, rest, held, counts);
          held = 0;
        }
      });
  if (held > 0) write_rest(s, rest, held, counts);
  __syncthreads();
  Sums* const to = s.sums + blockIdx.x % s.copies * s.large_count;
  for (std::int64_t i = threadIdx.x; i < keys; i += few_pass_threads) {
    PartSums all{0, 0, 0, 0};
    for (int w = 0; w < few_pass_warps; ++w) {
      const PartSums& one = all_sums[keys * w + i];
      all.count += one.count;
      all.advantage += one.advantage;
      all.low += one.low;
      all.high += one.high;
    }
    add_to(to + i / summed_parts, static_cast<int>(i % summed_parts), all);
  }
}

// ------------------------------------------------------------------------------------------- no class with a box

// A block brings its points to their classes' regions, for each of which it asks for room once.
__global__ void __launch_bounds__(group_threads) group_locally(const Games s) {
  RAD_FAST_DYNAMIC_SHARED(memory);
  auto* const counts = reinterpret_cast<unsigned*>(memory);
  const std::int64_t points = s.points.points, quads = (points + 3) / 4, length = (quads + gridDim.x - 1) / gridDim.x * 4;
  const std::int64_t begin = lesser(points, length * blockIdx.x), end = lesser(points, begin + length);
  for (std::int64_t k = threadIdx.x; k < s.played.games; k += group_threads) counts[k] = 0;
  __syncthreads();
  const bool aligned = are_aligned(s.points);
  // Calls found(game, gain, correctness) for the points of games that have a quota; without `both` the correctness is 0.
  const auto for_playing = [&](bool both, const auto& found) {
    for (std::int64_t at = begin + 4 * threadIdx.x; at < end; at += 4 * group_threads) {
      float gain[4], correctness[4] = {};
      std::int32_t label[4];
      load_quad(s.points.label, at, end, aligned, label);
      load_quad(s.points.gain, at, end, aligned, left_out(), gain);
      if (both) load_quad(s.points.correctness, at, end, aligned, 0.0f, correctness);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::int32_t k = gain[i] >= 0.0f ? game_of(s, label[i]) : -1;
        if (k >= 0 && s.game[k].quota > 0.0) found(k, gain[i], correctness[i]);
      }
    }
  };
  for_playing(false, [&](std::int32_t k, float, float) { atomicAdd(counts + k, 1u); });
  __syncthreads();
  for (std::int64_t k = threadIdx.x; k < s.played.games; k += group_threads)
    if (counts[k] != 0) counts[k] = static_cast<unsigned>(atomicAdd(s.held + k, Counter{counts[k]}));
  __syncthreads();
  for_playing(true, [&](std::int32_t k, float gain, float correctness) {
    s.region[s.game[k].start + static_cast<std::int64_t>(atomicAdd(counts + k, 1u))] = point_of(gain, correctness);
  });
}

}  // namespace
}  // namespace cuda
}  // namespace rad_fast
