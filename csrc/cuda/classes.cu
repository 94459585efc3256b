// A game a class (kernels/reference/quotas.py): how many points each class has, and the equilibrium of each.
//
// Counting reads 9 bytes a point. The games are a fixed sequence of launches, with nothing for the host to decide in between:
//   sample_classes, estimate_classes   where there are classes above `direct_points`: a sample of each, and the corners of the
//                      box that its equilibrium lies in, four blocks a class. Others need no box.
//   reduce_classes     one pass over all points, the box looked up by label: sums of what is decided, a class; the rest, 8 bytes
//                      each, goes to the class's region, which has room for all its points. Of few classes (reduce_few) each warp
//                      has the sums in shared memory: additions in memory to the same ten sums waited for one another. Where no
//                      class has a box the points are brought together alone: group_locally, group_classes.
//   estimate_again, reduce_again   the same once more for classes of which so many points are left that one block would be long
//                      at them.
//   finish_classes     a block a class searches what is left, in place, and checks the answer against all sums.
// Bytes per point: 12 read, 8 written for each undecided point. What a block does for its class takes no launch of its own, so
// that 65,536 classes cost what their points do. A class whose search does not settle is left to the solver on the host.

#include "collective.cuh"
#include "equilibrium.cuh"
#include "kernels.hpp"
#include "launch.cuh"
#include "points.cuh"
#include "workspace.cuh"

namespace rad_fast {
namespace cuda {
namespace {

// --------------------------------------------------------------------------------------------------------------- counting

constexpr int count_threads = 256;
constexpr std::int64_t counted_locally = 4096;  // classes whose counts a block keeps in shared memory, 48 KiB at most

__global__ void __launch_bounds__(count_threads) count_points(const Labelled points, const std::uint8_t* chosen,
                                                              const Findings* findings, bool locally, Findings* out) {
  auto* const counts = reinterpret_cast<Counter*>(out + 1);
  static_assert(sizeof(Findings) / sizeof(Counter) <= count_threads, "a number a thread");
  if (findings != nullptr && findings != out && blockIdx.x == 0 && threadIdx.x < sizeof(Findings) / sizeof(Counter))
    reinterpret_cast<Counter*>(out)[threadIdx.x] = reinterpret_cast<const Counter*>(findings)[threadIdx.x];
  RAD_FAST_DYNAMIC_SHARED(memory);
  auto* const mine = reinterpret_cast<unsigned*>(memory);
  const std::int64_t tables = chosen == nullptr ? 2 : 3, numbers = tables * points.classes;
  if (locally) {
    for (std::int64_t i = threadIdx.x; i < numbers; i += count_threads) mine[i] = 0;
    __syncthreads();
  }
  const auto count = [&](std::int64_t at) {
    if (locally)
      atomicAdd(mine + at, 1u);
    else
      atomicAdd(counts + at, Counter{1});
  };
  const std::int64_t step = 4 * std::int64_t{count_threads} * gridDim.x, end = points.points;
  const bool aligned = are_aligned(points);
  for (std::int64_t at = 4 * (std::int64_t{count_threads} * blockIdx.x + threadIdx.x); at < end; at += step) {
    float gain[4], correctness[4];
    std::int32_t label[4];
    load_quad(points.label, at, end, aligned, label);
    load_quad(points.gain, at, end, aligned, left_out(), gain);
    load_quad(points.correctness, at, end, aligned, 0.0f, correctness);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::int32_t k = label[i];
      if (k < 0) continue;
      if (gain[i] >= 0.0f) count(k);
      if (gain[i] > 0.0f && correctness[i] > 0.5f) count(points.classes + k);  // (2c - 1) g > 0
      if (chosen != nullptr && chosen[at + i] != 0) count(2 * points.classes + k);
    }
  }
  if (!locally) return;
  __syncthreads();
  for (std::int64_t i = threadIdx.x; i < numbers; i += count_threads)
    if (mine[i] != 0) atomicAdd(counts + i, Counter{mine[i]});
}

// ------------------------------------------------------------------------------------------------------------- the games

constexpr std::int64_t direct_points = 1 << 14;   // a class of so many needs no box
constexpr std::int64_t wanted_sample = 1 << 13;   // of a larger one, at least a quarter of this
constexpr std::int64_t most_sample = 1 << 14;
constexpr std::int64_t least_sample = 256;        // of fewer points no box is made
constexpr int large_threads = 512;                // of a block that searches a class with a box; of others by how many there are
constexpr int estimate_threads = 128;             // blocks that wait for their decisions share a multiprocessor by fours
constexpr int few_threads = 512;                  // where there are no more blocks than multiprocessors
constexpr int pass_threads = 256;
constexpr int pass_warps = pass_threads / warp_lanes;
constexpr int pass_resident = 3;
constexpr std::int64_t most_copies = 64, most_sums = 1024;  // of the classes' sums, so that blocks meet less often
constexpr int few_classes = 48;                   // whose sums each warp has in shared memory
constexpr int few_pass_threads = 128;
constexpr int few_pass_warps = few_pass_threads / warp_lanes;
constexpr int few_pass_resident = 5;
constexpr int rest_points = 128;                  // undecided points that a warp writes at once
constexpr int again_sample = 4096;                // of a class's undecided points, for a second box
constexpr int again_threads = 256;
constexpr std::int64_t again_share = 8;           // room for one of so many of a class's points after a second box
constexpr int group_threads = 512;
constexpr std::int64_t grouped_locally = 8192;    // classes whose counts a block keeps in shared memory, 32 KiB
typedef WarpQueue<2, true> Queue;

// Of a class: what its box decides, in the pass over all points.
struct ClassCuts {
  Cuts cuts;
  float screen;
  std::int32_t slot;  // of its sums; -1: its box is everything, and decides nothing
};

struct Games {
  Labelled points;
  Played played;
  const ClassGame* game;
  const std::int32_t* large;  // the classes above direct_points that have a quota
  std::int64_t large_count;
  std::int64_t stride;        // one of so many points is looked at for the sample
  std::int64_t copies;
  Point* region;
  ClassCuts* cuts;            // null where no class has a box
  Counter* held;              // of each class's region
  Bounds* corner;             // large_count x corners
  Sums* sums;                 // copies x large_count
  // Of a second box, for classes of which the first left many points: as above, large_count each.
  Point* again_region;
  Counter* again_held;
  Bounds* again_corner;
  Sums* again_sums;
  double* answers;
};

__device__ __forceinline__ std::int32_t game_of(const Games& s, std::int32_t label) {
  return s.played.place == nullptr ? label : s.played.place[label];
}

// Whether a class, all of whose points have been passed, needs a second box.
__device__ __forceinline__ bool again(const Games& s, std::int64_t k) {
  return static_cast<std::int64_t>(s.held[k]) > direct_points;
}

__device__ __forceinline__ Exact sums_of(const Games& s, std::int64_t place) {
  Exact known;
  for (std::int64_t copy = 0; copy < s.copies; ++copy) known.add(s.sums[copy * s.large_count + place]);
  return known;
}

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

template <int threads>
__global__ void __launch_bounds__(threads) estimate_classes(const Games s) {
  typedef Team<threads, false> SomeTeam;
  __shared__ typename SomeTeam::Scratch scratch;
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

// --------------------------------------------------------------------------------------------------- a second box

// A sample of what the first box left of a class, and the corners of a smaller one.
__global__ void __launch_bounds__(few_threads) estimate_again(const Games s) {
  typedef Team<few_threads, false> SomeTeam;
  __shared__ SomeTeam::Scratch scratch;
  __shared__ Point sample[again_sample];
  const std::int64_t place = blockIdx.x / corners;
  const std::int32_t k = s.large[place];
  if (!again(s, k)) return;
  const ClassGame game = s.game[k];
  const auto size = static_cast<std::int64_t>(s.held[k]);
  for (std::uint32_t i = threadIdx.x; i < again_sample; i += few_threads) {
    const std::uint64_t at = static_cast<std::uint64_t>(i) << 32 | mixed(i);
    sample[i] = s.region[game.start + static_cast<std::int64_t>(static_cast<uint128>(at) * static_cast<std::uint64_t>(size) /
                                                                (std::uint64_t{again_sample} << 32))];
  }
  __syncthreads();
  SomeTeam team(sample, nullptr, again_sample, scratch);
  Problem problem{in_units(game.quota), spend_of(game.mistakes), 0};
  problem.take_off(sums_of(s, place));
  problem = {scaled(problem.budget, size, again_sample), scaled(problem.spend, size, again_sample),
             static_cast<uint128>(scaled(static_cast<int128>(problem.width), size, again_sample))};
  const Bounds corner = corner_of(team, problem, box_of(s.corner + place * corners), static_cast<int>(blockIdx.x % corners),
                                  game.mistakes != 0.0);
  if (threadIdx.x == 0) s.again_corner[blockIdx.x] = corner;
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

// ------------------------------------------------------------------------------------------- no class with a box

// A block brings its points to their classes' regions, for each of which it asks for room once.
__global__ void __launch_bounds__(group_threads) group_locally(const Games s) {
  RAD_FAST_DYNAMIC_SHARED(memory);
  auto* const counts = reinterpret_cast<unsigned*>(memory);
  const std::int64_t points = s.points.points, length = (points + gridDim.x - 1) / gridDim.x;
  const std::int64_t begin = lesser(points, length * blockIdx.x), end = lesser(points, begin + length);
  for (std::int64_t k = threadIdx.x; k < s.played.games; k += group_threads) counts[k] = 0;
  __syncthreads();
  for (std::int64_t i = begin + threadIdx.x; i < end; i += group_threads) {
    if (!(s.points.gain[i] >= 0.0f)) continue;
    const std::int32_t k = game_of(s, s.points.label[i]);
    if (k >= 0 && s.game[k].quota > 0.0) atomicAdd(counts + k, 1u);
  }
  __syncthreads();
  for (std::int64_t k = threadIdx.x; k < s.played.games; k += group_threads)
    if (counts[k] != 0) counts[k] = static_cast<unsigned>(atomicAdd(s.held + k, Counter{counts[k]}));
  __syncthreads();
  for (std::int64_t i = begin + threadIdx.x; i < end; i += group_threads) {
    const float gain = s.points.gain[i];
    if (!(gain >= 0.0f)) continue;
    const std::int32_t k = game_of(s, s.points.label[i]);
    if (k < 0) continue;
    const ClassGame game = s.game[k];
    if (game.quota > 0.0)
      s.region[game.start + static_cast<std::int64_t>(atomicAdd(counts + k, 1u))] = point_of(gain, s.points.correctness[i]);
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

std::size_t lay_out(Games& s, void* workspace) {
  Pieces pieces(workspace);
  const std::int64_t most = greater(s.large_count, std::int64_t{1});
  s.copies = greater(std::int64_t{1}, lesser(most_copies, most_sums / most));
  s.region = pieces.take<Point>(s.points.points);
  s.cuts = s.large_count == 0 ? nullptr : pieces.take<ClassCuts>(s.played.games);
  s.corner = pieces.take<Bounds>(s.large_count * corners);
  // As many for any number of large classes: of fewer there are more copies.
  s.sums = pieces.take<Sums>(s.large_count == 0 ? 0 : greater(s.large_count, most_sums));
  s.again_region = pieces.take<Point>(s.large_count == 0 ? 0 : s.points.points / again_share);
  s.again_corner = pieces.take<Bounds>(s.large_count * corners);
  s.again_sums = pieces.take<Sums>(s.large_count);  // cleared together with the next
  s.again_held = pieces.take<Counter>(s.large_count);
  return pieces.used();
}

std::int64_t resident(std::int64_t blocks, int device, int each) {
  return greater(lesser(blocks, std::int64_t{multiprocessors(device)} * each), std::int64_t{1});
}

}  // namespace

void count_classes(const Where& where, const Labelled& points, const std::uint8_t* chosen, const Findings* findings,
                   Findings* tally) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  const std::int64_t numbers = points.classes * (chosen == nullptr ? 2 : 3);
  if (tally != findings) {
    const std::size_t bytes = sizeof *tally + static_cast<std::size_t>(3 * points.classes) * sizeof(Counter);
    RAD_FAST_CHECK(cudaMemsetAsync(tally, 0, bytes, stream));
  }
  const bool locally = points.classes <= counted_locally;
  const std::size_t shared = locally ? static_cast<std::size_t>(numbers) * sizeof(unsigned) : 0;
  const std::int64_t blocks = resident((points.points + 4095) / 4096, where.device, 8);
  static_assert(sizeof(Findings) % sizeof(Counter) == 0, "counts lie behind the findings");
  launch("count_points", count_points, {blocks, count_threads, 1, shared}, stream, points, chosen, findings, locally,
         tally);
}

std::size_t class_games_workspace(std::int64_t points, std::int64_t games, std::int64_t large) {
  Games s{};
  s.points.points = points;
  s.played.games = games;
  s.large_count = large;
  return lay_out(s, nullptr);
}

std::int64_t class_games_direct() { return direct_points; }

void solve_by_class(const Where& where, const Labelled& points, const Played& played, const ClassGame* games, Counter* held,
                    const std::int32_t* large, std::int64_t large_count, std::int64_t least, void* workspace, std::size_t workspace_bytes,
                    double* answers) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  Games s{};
  s.points = points;
  s.played = played;
  s.game = games;
  s.held = held;
  s.large = large;
  s.large_count = large_count;
  s.answers = answers;
  const std::int64_t processors = multiprocessors(where.device);
  const bool few = large_count * corners <= processors;  // every corner can have a multiprocessor
  s.stride = greater(std::int64_t{8}, (few ? 1 : 4) * least / wanted_sample);
  if (lay_out(s, workspace) > workspace_bytes) throw std::invalid_argument("workspace: smaller than class_games_workspace(...)");
  const auto class_blocks = [](std::int64_t classes) { return (classes + pass_threads - 1) / pass_threads; };
  if (played.place != nullptr) {
    RAD_FAST_CHECK(cudaMemsetAsync(played.place, 0xff, static_cast<std::size_t>(points.classes) * sizeof *played.place, stream));
    launch("place_games", place_games, {class_blocks(played.games), pass_threads}, stream, played);
  }
  const auto bytes = [](std::int64_t count, std::size_t each) { return static_cast<std::size_t>(count) * each; };
  if (large_count > 0) {
    RAD_FAST_CHECK(cudaMemsetAsync(s.sums, 0, bytes(large_count * s.copies, sizeof *s.sums), stream));
    const auto* const end = reinterpret_cast<char*>(s.again_held + large_count);
    RAD_FAST_CHECK(cudaMemsetAsync(s.again_sums, 0, static_cast<std::size_t>(end - reinterpret_cast<char*>(s.again_sums)), stream));
    const std::int64_t blocks = resident((points.points / s.stride + pass_threads - 1) / pass_threads, where.device, 8);
    launch("sample_classes", sample_classes, {blocks, pass_threads}, stream, s);
    launch("estimate_classes", few ? estimate_classes<few_threads> : estimate_classes<estimate_threads>,
           {large_count * corners, few ? few_threads : estimate_threads}, stream, s);
    launch("cut_classes", cut_classes, {class_blocks(played.games), pass_threads}, stream, s, false);
    launch("cut_classes", cut_classes, {class_blocks(large_count), pass_threads}, stream, s, true);
  }
  const auto passes = [&](std::int64_t warps, int each) {
    const std::int64_t step = warps * Queue::step;
    return resident((points.points + step - 1) / step, where.device, each);
  };
  if (large_count > 0 && points.classes <= few_classes) {  // each has a game: Played tells some of many more classes
    const std::size_t shared = bytes(large_count * summed_parts, sizeof(PartSums)) + bytes(points.classes, sizeof(unsigned));
    launch("reduce_few", reduce_few, {passes(few_pass_warps, few_pass_resident), few_pass_threads, 1, shared * few_pass_warps}, stream,
           s);
  } else if (large_count > 0) {
    launch("reduce_classes", reduce_classes, {passes(pass_warps, pass_resident), pass_threads}, stream, s);
  } else if (points.points > direct_points && played.games <= grouped_locally) {
    const std::int64_t blocks = resident((points.points + 4 * group_threads - 1) / (4 * group_threads), where.device, 2);
    launch("group_locally", group_locally, {blocks, group_threads, 1, bytes(played.games, sizeof(unsigned))}, stream, s);
  } else {
    launch("group_classes", group_classes, {passes(pass_warps, pass_resident), pass_threads}, stream, s);
  }
  if (large_count > 0) {
    launch("estimate_again", estimate_again, {large_count * corners, few_threads}, stream, s);
    const std::int64_t each = greater(std::int64_t{1}, 4 * processors / large_count);
    launch("reduce_again", reduce_again, {large_count * each, again_threads}, stream, s, each);
    launch("finish_classes", finish_classes<large_threads, true>, {large_count, large_threads}, stream, s);
  }
  // Fewer threads a class where there are so many that blocks have to wait for one another.
  if (played.games > 4 * processors)
    launch("finish_classes", finish_classes<64, false>, {played.games, 64}, stream, s);
  else if (played.games > processors)
    launch("finish_classes", finish_classes<128, false>, {played.games, 128}, stream, s);
  else
    launch("finish_classes", finish_classes<512, false>, {played.games, 512}, stream, s);
}

}  // namespace cuda
}  // namespace rad_fast
