// The games by class: samples and boxes, a second box, and the answers (classes.cu).
#pragma once

#include "class_games.cuh"

namespace rad_fast {
namespace cuda {
namespace {

__global__ void __launch_bounds__(pass_threads) place_games(const Played played) {
  const std::int64_t i = std::int64_t{pass_threads} * blockIdx.x + threadIdx.x;
  if (i < played.games) played.place[played.classes[i]] = static_cast<std::int32_t>(i);
}

// One of `stride` points, and of these what makes some 2^13 a class.
__global__ void __launch_bounds__(pass_threads) sample_classes(const Games s) {
  const std::int64_t looks = s.points.points / s.stride, step = std::int64_t{pass_threads} * gridDim.x;
  for (std::int64_t i = std::int64_t{pass_threads} * blockIdx.x + threadIdx.x; i < looks; i += step) {
    const std::uint32_t random = mixed(static_cast<std::uint32_t>(i));
    const std::int64_t at = i * s.stride + random % s.stride;
    const float gain = s.points.gain[at];
    if (!(gain >= 0.0f)) continue;
    const std::int32_t k = game_of(s, s.points.label[at]);
    if (k < 0) continue;
    const ClassGame game = s.game[k];
    if (game.count <= direct_points || game.quota == 0.0) continue;
    const std::int64_t thin = greater(std::int64_t{1}, game.count / s.stride / wanted_sample);
    if (mixed(~random) % thin != 0) continue;
    const auto to = static_cast<std::int64_t>(atomicAdd(s.held + k, Counter{1}));
    if (to < game.count) s.region[game.start + to] = point_of(gain, s.points.correctness[at]);
  }
}

__device__ __forceinline__ int128 scaled(int128 x, std::int64_t size, std::int64_t sample) { return x / size * sample; }

__global__ void __launch_bounds__(estimate_threads) estimate_classes(const Games s) {
  typedef Team<estimate_threads, false> SomeTeam;
  __shared__ SomeTeam::Scratch scratch;
  const std::int64_t place = blockIdx.x / corners;
  const int which = static_cast<int>(blockIdx.x % corners);
  const std::int32_t k = s.large[place];
  const ClassGame game = s.game[k];
  const std::int64_t sample = lesser(static_cast<std::int64_t>(s.held[k]), lesser(game.count, most_sample));
  Bounds corner{};
  if (sample >= least_sample && game.quota > 0.0) {
    SomeTeam team(s.region + game.start, nullptr, sample, scratch);
    const Problem problem = {scaled(in_units(game.quota), game.count, sample), scaled(spend_of(game.mistakes), game.count, sample),
                             0};
    corner = corner_of(team, problem, Bounds{}, which, game.mistakes != 0.0);
  }
  if (threadIdx.x == 0) s.corner[blockIdx.x] = corner;
}

// What each class's box decides; its region is empty again. First all classes, as if they had no box; then those that have.
__global__ void __launch_bounds__(pass_threads) cut_classes(const Games s, bool boxed) {
  const std::int64_t i = std::int64_t{pass_threads} * blockIdx.x + threadIdx.x;
  if (i >= (boxed ? s.large_count : s.played.games)) return;
  const std::int64_t k = boxed ? s.large[i] : i;
  ClassCuts mine;
  mine.cuts = cuts_of(boxed ? box_of(s.corner + i * corners) : Bounds{});
  mine.screen = s.game[k].quota > 0.0 ? screen_of(mine.cuts.below) : infinity();
  mine.slot = boxed ? static_cast<std::int32_t>(i) : -1;
  s.cuts[k] = mine;
  s.held[k] = 0;
}

// --------------------------------------------------------------------------------------------------- a second box

// A corner of a class's box by a block of many threads, from some points in shared memory: of the sample, or, `second`, of what the
// first box left.
template <bool second>
__global__ void __launch_bounds__(few_threads) estimate_few(const Games s) {
  typedef Team<few_threads, false> SomeTeam;
  __shared__ SomeTeam::Scratch scratch;
  __shared__ Point sample[few_sample];
  const std::int64_t place = blockIdx.x / corners;
  const std::int32_t k = s.large[place];
  if (second && !again(s, k)) return;
  const ClassGame game = s.game[k];
  const std::int64_t there = lesser(static_cast<std::int64_t>(s.held[k]), game.count), size = second ? there : game.count;
  Bounds corner{};
  if (there >= least_sample && game.quota > 0.0) {
    const std::int64_t some = lesser(there, few_sample);
    for (std::int64_t i = threadIdx.x; i < some; i += few_threads) {
      const std::uint64_t at = static_cast<std::uint64_t>(i) << 32 | mixed(static_cast<std::uint32_t>(i));
      const uint128 scaled_up = static_cast<uint128>(at) * static_cast<std::uint64_t>(there);
      sample[i] = s.region[game.start + static_cast<std::int64_t>(static_cast<std::uint64_t>(scaled_up >> 32) / static_cast<std::uint64_t>(some))];
    }
    __syncthreads();
    SomeTeam team(sample, nullptr, some, scratch);
    Problem problem{in_units(game.quota), spend_of(game.mistakes), 0};
    if (second) problem.take_off(sums_of(s, place));
    problem = {scaled(problem.budget, size, some), scaled(problem.spend, size, some),
               static_cast<uint128>(scaled(static_cast<int128>(problem.width), size, some))};
    const Bounds start = second ? box_of(s.corner + place * corners) : Bounds{};
    corner = corner_of(team, problem, start, static_cast<int>(blockIdx.x % corners), game.mistakes != 0.0);
  }
  if (threadIdx.x == 0) (second ? s.again_corner : s.corner)[blockIdx.x] = corner;
}

__device__ __forceinline__ std::int64_t again_room(const ClassGame& game) { return game.count / again_share; }

// `each` blocks a class: sums of what the second box decides, and the rest beside.
__global__ void __launch_bounds__(again_threads) reduce_again(const Games s, std::int64_t each) {
  __shared__ std::int64_t fields[sums_fields - 1];
  __shared__ unsigned count;
  __shared__ Counter base;
  const std::int64_t place = blockIdx.x / each, part = blockIdx.x % each;
  const std::int32_t k = s.large[place];
  if (!again(s, k)) return;
  if (threadIdx.x < sums_fields - 1) fields[threadIdx.x] = 0;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  const ClassGame game = s.game[k];
  const Cuts cuts = cuts_of(box_of(s.again_corner + place * corners));
  const auto size = static_cast<std::int64_t>(s.held[k]);
  const std::int64_t length = (size + each - 1) / each;
  const std::int64_t begin = game.start + lesser(size, length * part), end = game.start + lesser(size, length * (part + 1));
  Sums own{};
  for (std::int64_t i = begin + threadIdx.x; i < end; i += again_threads) {
    const Point p = s.region[i];
    add_point(own, p, part_of(p, cuts));
  }
  std::int64_t numbers[sums_fields];
  memcpy(numbers, &own, sizeof numbers);
#pragma unroll
  for (int f = 0; f < sums_fields - 2; ++f) {
    const std::int64_t sum = warp_sum(numbers[f]);
    if (lane_of_warp() == 0 && sum != 0) atomicAdd(reinterpret_cast<Counter*>(fields + f), static_cast<Counter>(sum));
  }
  const std::int64_t undecided = warp_sum(own.undecided);
  if (lane_of_warp() == 0) atomicAdd(&count, static_cast<unsigned>(undecided));
  __syncthreads();
  if (threadIdx.x < sums_fields - 2 && fields[threadIdx.x] != 0)
    atomicAdd(reinterpret_cast<Counter*>(s.again_sums + place) + threadIdx.x, static_cast<Counter>(fields[threadIdx.x]));
  if (threadIdx.x == 0) {
    base = atomicAdd(s.again_held + place, Counter{count});
    count = 0;
  }
  __syncthreads();
  const auto first = static_cast<std::int64_t>(base);
  for (std::int64_t from = begin; from < end; from += again_threads) {
    const std::int64_t i = from + threadIdx.x;
    const Point p = i < end ? s.region[i] : Point{-1, 0};
    const bool keep = part_of(p, cuts) == Part::undecided;
    const unsigned votes = __ballot_sync(all_lanes, keep);
    unsigned to = 0;
    if (lane_of_warp() == 0 && votes != 0) to = atomicAdd(&count, static_cast<unsigned>(__popc(votes)));
    const std::int64_t at = first + from_lane(to, 0) + __popc(votes & ((1u << lane_of_warp()) - 1));
    if (keep && at < again_room(game)) s.again_region[game.start / again_share + at] = p;
  }
}

// ------------------------------------------------------------------------------------------------------- the answers

__device__ __forceinline__ void write_answer(const Games& s, std::int64_t k, const Equilibrium& e, Status status, std::int64_t points) {
  const std::int64_t games = s.played.games;
  s.answers[k] = e.price;
  s.answers[games + k] = e.threshold;
  s.answers[2 * games + k] = e.share;
  s.answers[3 * games + k] = e.value;
  s.answers[4 * games + k] = static_cast<double>(static_cast<std::int64_t>(status));
  s.answers[5 * games + k] = static_cast<double>(points);
}

// `boxed`: the classes that have a box, else all others.
template <int threads, bool boxed>
__global__ void __launch_bounds__(threads) finish_classes(const Games s) {
  typedef Team<threads, false> SomeTeam;
  __shared__ typename SomeTeam::Scratch scratch;
  const std::int64_t k = boxed ? s.large[blockIdx.x] : static_cast<std::int64_t>(blockIdx.x);
  const ClassGame game = s.game[k];
  if (game.quota == 0.0) {  // no point pays more than the threshold
    if (threadIdx.x == 0) write_answer(s, k, {0.0, 2.0, 0.0, 0.0}, Status::solved, 0);
    return;
  }
  if (!boxed && game.count > direct_points) return;
  Bounds start;
  Exact known;
  Point* left = s.region + game.start;
  auto size = static_cast<std::int64_t>(s.held[k]);
  if (boxed) {
    const std::int64_t place = blockIdx.x;
    start = box_of(s.corner + corners * place);
    known = sums_of(s, place);
    if (again(s, k) && static_cast<std::int64_t>(s.again_held[place]) <= again_room(game)) {
      start = box_of(s.again_corner + corners * place);
      known.add(s.again_sums[place]);
      left = s.again_region + game.start / again_share;
      size = static_cast<std::int64_t>(s.again_held[place]);
    }
  }
  const int128 budget = in_units(game.quota), spend = spend_of(game.mistakes);
  Problem problem{budget, spend, 0};
  problem.take_off(known);
  SomeTeam team(left, nullptr, size, scratch);
  Equilibrium answer{0.0, 0.0, 0.0, 0.0};
  const Status status = settled(team, problem, start, known, budget, spend, answer);
  if (threadIdx.x == 0) write_answer(s, k, answer, status, size);
}

}  // namespace
}  // namespace cuda
}  // namespace rad_fast
