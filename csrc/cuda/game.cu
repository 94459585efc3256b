// The game: exact sums over the points that a box decides (kernels/reference/game.py, reduce), and the whole solver.
//
// Bytes per point of a pass: 8 read, 8 written for each undecided point (some 10%). The floor is those over the memory's
// bandwidth. A point takes some 20 instructions to be screened out (points.cuh), any other some 100 more.
//
// The solver is a fixed sequence of launches, with nothing for the host to decide in between:
//   estimate, reduce   as often as it takes to bring the points down to `direct_points`. Estimate searches a sample of 2^13
//                      points with budget and mistakes moved by four standard errors both ways, in 4 clusters, one a corner;
//                      reduce adds up what the corners' common box decides and compacts the rest into a buffer. Together a
//                      pass over all points, and one over each pool that was left undecided: 1.1 passes, at 10%.
//   finish             one cluster of blocks searches what is left, exactly, and checks the answer against all sums.
// Where there are no clusters (before compute capability 9.0) one block is in each one's place.
// Levels that turn out not to be needed end at once. A box that misses the answer, or a pool that does not shrink, ends in a
// status that sends the host to its own solver (rad_fast/game/solver.py) over the same reduce: the answer does not depend on it.

#include "collective.cuh"
#include "equilibrium.cuh"
#include "kernels.hpp"
#include "launch.cuh"
#include "points.cuh"
#include "wide_team.cuh"
#include "workspace.cuh"

namespace rad_fast {
namespace cuda {
namespace {

// --------------------------------------------------------------------------------------------------- one pass over points

constexpr int pass_threads = 256;
constexpr int pass_warps = pass_threads / warp_lanes;
// Blocks a multiprocessor: of 64 registers a thread, which are enough from compute capability 9.0 on, or of 80; 64 or 48 KiB of
// loads in flight.
constexpr int resident_of(int capability) { return capability >= 9 ? 4 : 3; }
#if defined(__CUDA_ARCH__)
constexpr int pass_resident = resident_of(__CUDA_ARCH__ / 100);
#else
constexpr int pass_resident = resident_of(9);
#endif
constexpr int rest_points = 128;  // that a warp writes at once, having asked for room once
typedef WarpQueue<2> Queue;

struct PassScratch {
  Queue queue[pass_warps];
  float gain[pass_warps][rest_points + warp_lanes], correctness[pass_warps][rest_points + warp_lanes];
  std::int64_t fields[sums_fields][pass_warps];
};

// All blocks together: sums over the decided points are added to `sums`, the others written to where its count says.
__device__ __forceinline__ void pass(const float* gain, const float* correctness, std::int64_t points, const Cuts& cuts,
                                     Sums* sums, float* undecided_gain, float* undecided_correctness, std::int64_t capacity,
                                     PassScratch& scratch) {
  const bool aligned = is_aligned(gain) && is_aligned(correctness);
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const std::int64_t warps = std::int64_t{pass_warps} * gridDim.x;
  const std::int64_t stretch = (points + warps * Queue::step - 1) / (warps * Queue::step) * Queue::step;
  const std::int64_t begin = lesser(points, stretch * (std::int64_t{pass_warps} * blockIdx.x + warp));
  float *rest_gain = scratch.gain[warp], *rest_correctness = scratch.correctness[warp];
  Sums own{};
  int held = 0;
  const auto write_rest = [&] {
    Counter base = 0;
    if (lane == 0) base = atomicAdd(reinterpret_cast<Counter*>(&sums->undecided), static_cast<Counter>(held));
    const auto to = static_cast<std::int64_t>(from_lane(base, 0));
    __syncwarp();
    for (int i = lane; i < held; i += warp_lanes) {
      if (to + i >= capacity) continue;
      undecided_gain[to + i] = rest_gain[i];
      undecided_correctness[to + i] = rest_correctness[i];
    }
    __syncwarp();
    held = 0;
  };
  const std::int64_t present = for_screened(
      gain, correctness, begin, lesser(points, begin + stretch), aligned, screen_of(cuts.below), scratch.queue[warp],
      [&](float g, float c, std::int32_t) {
        const Point p = point_of(g, c);
        const Part part = part_of(p, cuts);
        add_point(own, p, part);
        const unsigned votes = __ballot_sync(all_lanes, part == Part::undecided);
        if (part == Part::undecided) {
          const int to = held + __popc(votes & ((1u << lane) - 1));
          rest_gain[to] = g;
          rest_correctness[to] = c;
        }
        held += __popc(votes);
        if (held >= rest_points) write_rest();
      });
  if (held > 0) write_rest();
  own.present = present;
  std::int64_t fields[sums_fields];
  memcpy(fields, &own, sizeof fields);
#pragma unroll
  for (int k = 0; k < sums_fields - 1; ++k) {  // the undecided have been counted
    const std::int64_t sum = warp_sum(fields[k]);
    if (lane == 0) scratch.fields[k][warp] = sum;
  }
  __syncthreads();
  const auto k = static_cast<int>(threadIdx.x);
  if (k >= sums_fields - 1) return;
  std::int64_t total = 0;
#pragma unroll
  for (int w = 0; w < pass_warps; ++w) total += scratch.fields[k][w];
  if (total != 0) atomicAdd(reinterpret_cast<Counter*>(sums) + k, static_cast<Counter>(total));
}

__global__ void __launch_bounds__(pass_threads, pass_resident)
    reduce_points(const float* gain, const float* correctness, std::int64_t points, const Cuts cuts, Sums* sums,
                  float* undecided_gain, float* undecided_correctness, std::int64_t capacity) {
  __shared__ PassScratch scratch;
  pass(gain, correctness, points, cuts, sums, undecided_gain, undecided_correctness, capacity, scratch);
}

// ---------------------------------------------------------------------------------------------------- the solver's state

constexpr int most_levels = 6;
constexpr std::int64_t direct_points = 1 << 14;  // the last step takes so many without another box
constexpr std::int64_t finish_points = 1 << 17;  // and has room for so many
constexpr int sample_bits = 13;
constexpr std::int64_t sample_points = 1 << sample_bits;

constexpr int most_parts = 8;  // blocks of a team where clusters are: as many as any device with clusters has room for

struct Level {
  Bounds corner[corners];
  Sums sums;
};

struct State {
  Level level[most_levels];
};

struct Pool {
  const float *gain, *correctness;
  std::int64_t size;
};

struct Solver {
  Pool all;
  std::int64_t budget;
  double mistakes, mistakes_each;
  int levels;
  State* state;
  float* buffer[2];  // gain, then correctness, of the pools of odd and of even levels
  std::int64_t capacity[2];
  // What a team has no shared memory for: each corner's sample, or the finish's points.
  Point* points;
  std::uint64_t* widths;
  Solution* solution;
};

// The pool before level `level`; its size is -1 where an earlier pool was small enough, or did not fit its buffer.
__device__ __forceinline__ Pool pool_of(const Solver& s, int level) {
  Pool pool = s.all;
  for (int l = 0; l < level; ++l) {
    if (pool.size <= direct_points) {
      pool.size = -1;
      return pool;
    }
    const std::int64_t left = s.state->level[l].sums.undecided, capacity = s.capacity[l % 2];
    if (left > capacity) {
      pool.size = -1;
      return pool;
    }
    pool = {s.buffer[l % 2], s.buffer[l % 2] + capacity, left};
  }
  return pool;
}

__device__ __forceinline__ Bounds bounds_before(const Solver& s, int level) {
  return level == 0 ? Bounds{} : box_of(s.state->level[level - 1].corner);
}

__device__ __forceinline__ Exact known_before(const Solver& s, int level) {
  Exact known;
  for (int l = 0; l < level; ++l) known.add(s.state->level[l].sums);
  return known;
}

__device__ __forceinline__ int128 spend_for(const Solver& s, std::int64_t valid) {
  return spend_of(on_grid(ieee_add(s.mistakes, ieee_multiply(s.mistakes_each, static_cast<double>(valid)))));
}

// --------------------------------------------------------------------------------------------------------------- estimate

// One point out of each of sample_points equal stretches of the pool.
__device__ __forceinline__ Point sampled_point(const Pool& pool, std::int64_t i) {
  const std::uint64_t place = static_cast<std::uint64_t>(i) << 32 | mixed(static_cast<std::uint32_t>(i));
  const auto at =
      static_cast<std::int64_t>(static_cast<uint128>(place) * static_cast<std::uint64_t>(pool.size) >> (32 + sample_bits));
  return point_of(pool.gain[at], pool.correctness[at]);
}

__device__ __forceinline__ int128 scaled(int128 x, std::int64_t size) { return x / size * sample_points; }

template <int parts>
__global__ void __launch_bounds__(WideTeam<parts>::threads) estimate(const __grid_constant__ Solver s, int level) {
  if constexpr (parts > 1 && !RAD_FAST_CLUSTERS) return;
  typedef WideTeam<parts> AnyTeam;
  RAD_FAST_DYNAMIC_SHARED(shared);
  const Pool pool = pool_of(s, level);
  if (pool.size <= direct_points) return;
  const auto which = static_cast<int>(blockIdx.x) / parts;
  const Bounds start = bounds_before(s, level);
  AnyTeam team(*reinterpret_cast<typename AnyTeam::Scratch*>(shared), sample_points, s.points + which * sample_points,
               s.widths + which * sample_points, [&](std::int64_t i) { return sampled_point(pool, i); });
  // The first pass over all points counts the valid ones; until then the sample says about how many they are.
  const std::int64_t valid =
      level > 0
          ? s.state->level[0].sums.present
          : static_cast<std::int64_t>(static_cast<double>(team.present()) * (static_cast<double>(pool.size) / sample_points));
  Problem problem = {static_cast<int128>(s.budget) << 62, spend_for(s, valid), 0};
  problem.take_off(known_before(s, level));
  problem = {scaled(problem.budget, pool.size), scaled(problem.spend, pool.size),
             static_cast<uint128>(scaled(static_cast<int128>(problem.width), pool.size))};
  const Bounds corner = corner_of(team, problem, start, which, s.mistakes != 0.0 || s.mistakes_each != 0.0);
  if (threadIdx.x == 0 && blockIdx.x % parts == 0) s.state->level[level].corner[which] = corner;
}

__global__ void __launch_bounds__(pass_threads, pass_resident) reduce_level(const __grid_constant__ Solver s, int level) {
  __shared__ PassScratch scratch;
  const Pool pool = pool_of(s, level);
  if (pool.size <= direct_points) return;
  Level& here = s.state->level[level];
  float* to = s.buffer[level % 2];
  pass(pool.gain, pool.correctness, pool.size, cuts_of(box_of(here.corner)), &here.sums, to, to + s.capacity[level % 2],
       s.capacity[level % 2], scratch);
}

// ----------------------------------------------------------------------------------------------------------------- finish

template <int parts>
__global__ void __launch_bounds__(WideTeam<parts>::threads) finish(const __grid_constant__ Solver s) {
  if constexpr (parts > 1 && !RAD_FAST_CLUSTERS) return;
  typedef WideTeam<parts> AnyTeam;
  RAD_FAST_DYNAMIC_SHARED(shared);
  const bool writes = threadIdx.x == 0 && blockIdx.x == 0;
  int level = 0;
  Pool pool = s.all;
  while (level < s.levels && pool.size > direct_points) {
    pool = pool_of(s, level + 1);
    if (pool.size < 0) break;
    ++level;
  }
  if (pool.size < 0 || pool.size > finish_points) {
    const std::int64_t valid = s.levels > 0 ? s.state->level[0].sums.present : 0;
    const Status status = valid < s.budget ? Status::few : Status::too_many;
    if (writes) *s.solution = Solution{{0.0, 0.0, 0.0, 0.0}, status, pool.size, valid};
    return;
  }
  AnyTeam team(*reinterpret_cast<typename AnyTeam::Scratch*>(shared), pool.size, s.points, s.widths,
               [&](std::int64_t i) { return point_of(pool.gain[i], pool.correctness[i]); });
  const std::int64_t valid = level > 0 ? s.state->level[0].sums.present : team.present();
  if (valid < s.budget) {
    if (writes) *s.solution = Solution{{0.0, 0.0, 0.0, 0.0}, Status::few, pool.size, valid};
    return;
  }
  const int128 spend = spend_for(s, valid);
  const Bounds start = bounds_before(s, level);
  const int128 budget = static_cast<int128>(s.budget) << 62;
  Exact known = known_before(s, level);
  Problem problem{budget, spend, 0};
  problem.take_off(known);
  Solution answer{{0.0, 0.0, 0.0, 0.0}, Status::unfinished, pool.size, valid};
  answer.status = settled(team, problem, start, known, budget, spend, answer.equilibrium);
  if (writes) *s.solution = answer;
}

// --------------------------------------------------------------------------------------------------------------- launches

std::int64_t pass_blocks(std::int64_t points, int device) {
  // As many as run at once: each adds its sums to the common ones when it has seen all its points.
  const int resident = resident_of(attribute(cudaDevAttrComputeCapabilityMajor, device));
  const std::int64_t most = std::int64_t{multiprocessors(device)} * resident;
  constexpr std::int64_t step = std::int64_t{pass_warps} * Queue::step;
  return greater(lesser((points + step - 1) / step, most), std::int64_t{1});
}

int levels_of(std::int64_t points) {
  int levels = 0;
  for (; points > direct_points && levels < most_levels; points /= 6) ++levels;
  return levels;
}

std::int64_t capacity_of(std::int64_t points, int parity) {
  if (points <= direct_points) return 0;
  return greater(points / (parity == 0 ? 2 : 4), finish_points) / 4 * 4;
}

template <int parts>
void queue_launches(const Solver& s, cudaStream_t stream, int device) {
  constexpr int threads = WideTeam<parts>::threads;
  constexpr std::size_t shared = sizeof(typename WideTeam<parts>::Scratch);
  static_assert(shared <= 48 << 10, "more has to be asked for first");
  for (int level = 0; level < s.levels; ++level) {
    launch("estimate", estimate<parts>, {corners * parts, threads, parts, shared}, stream, s, level);
    const std::int64_t most = level == 0 ? s.all.size : s.capacity[(level - 1) % 2];
    launch("reduce_level", reduce_level, {pass_blocks(most, device), pass_threads}, stream, s, level);
  }
  launch("finish", finish<parts>, {parts, threads, parts, shared}, stream, s);
}

std::size_t lay_out(Solver& s, void* workspace) {
  Pieces pieces(workspace);
  s.state = pieces.take<State>(1);
  s.levels = levels_of(s.all.size);
  const std::int64_t held = greater(lesser(s.all.size, finish_points), s.levels == 0 ? 0 : corners * sample_points);
  s.points = pieces.take<Point>(held);
  s.widths = pieces.take<std::uint64_t>(held);
  for (int parity = 0; parity < 2; ++parity) {
    s.capacity[parity] = capacity_of(s.all.size, parity);
    s.buffer[parity] = pieces.take<float>(2 * s.capacity[parity]);
  }
  return pieces.used();
}

}  // namespace

void reduce(const Where& where, const float* gain, const float* correctness, std::int64_t points, const Cuts& cuts, Sums* sums,
            float* undecided_gain, float* undecided_correctness, std::int64_t capacity) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  RAD_FAST_CHECK(cudaMemsetAsync(sums, 0, sizeof *sums, stream));
  if (points == 0) return;
  launch("reduce_points", reduce_points, {pass_blocks(points, where.device), pass_threads}, stream, gain, correctness, points,
         cuts, sums, undecided_gain, undecided_correctness, capacity);
}

std::size_t solve_workspace(std::int64_t points) {
  Solver s{};
  s.all.size = points;
  return lay_out(s, nullptr);
}

void solve(const Where& where, const float* gain, const float* correctness, std::int64_t points, std::int64_t budget,
           double mistakes, double mistakes_each, void* workspace, std::size_t workspace_bytes, Solution* solution) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  Solver s{};
  s.all = {gain, correctness, points};
  s.budget = budget;
  s.mistakes = mistakes;
  s.mistakes_each = mistakes_each;
  s.solution = solution;
  if (lay_out(s, workspace) > workspace_bytes) throw std::invalid_argument("workspace: smaller than solve_workspace(points)");
  if (s.levels > 0) RAD_FAST_CHECK(cudaMemsetAsync(s.state, 0, sizeof *s.state, stream));
  if (attribute(cudaDevAttrComputeCapabilityMajor, where.device) >= 9)
    queue_launches<most_parts>(s, stream, where.device);
  else
    queue_launches<1>(s, stream, where.device);
}

}  // namespace cuda
}  // namespace rad_fast
