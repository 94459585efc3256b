// A game a class (kernels/reference/quotas.py): how many points each class has, and the equilibrium of each.
//
// Counting reads 9 bytes a point. The games are a fixed sequence of launches, with nothing for the host to decide in between:
//   sample_classes, estimate_classes   where there are classes above `direct_points`: a sample of each, and the corners of the
//                      box that its equilibrium lies in, four blocks a class. Others need no box.
//   reduce_classes     one pass over all points, the box looked up by label: sums of what is decided, a class; the rest, 8 bytes
//                      each, goes to the class's region, which has room for all its points. group_classes where none has a box.
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
  const std::int64_t step = std::int64_t{count_threads} * gridDim.x;
  for (std::int64_t i = std::int64_t{count_threads} * blockIdx.x + threadIdx.x; i < points.points; i += step) {
    const std::int32_t label = points.label[i];
    if (label < 0) continue;
    const float gain = points.gain[i];
    if (gain >= 0.0f) count(label);
    if (gain > 0.0f && points.correctness[i] > 0.5f) count(points.classes + label);  // (2c - 1) g > 0
    if (chosen != nullptr && chosen[i] != 0) count(2 * points.classes + label);
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
constexpr int large_threads = 512, small_threads = 128;
constexpr int estimate_threads = 128;             // blocks that wait for their decisions share a multiprocessor by fours
constexpr int pass_threads = 256;
constexpr int pass_warps = pass_threads / warp_lanes;
constexpr int pass_resident = 3;
constexpr std::int64_t most_copies = 64, most_sums = 1024;  // of the classes' sums, so that blocks meet less often
typedef WarpQueue<2> Queue;

// Of a class: what its box decides, in the pass over all points.
struct ClassCuts {
  Cuts cuts;
  float screen;
  std::int32_t slot;  // of its sums; -1: its box is everything, and decides nothing
};

struct Games {
  Labelled points;
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
  double* answers;
};

// One of `stride` points, and of these what makes some 2^13 a class.
__global__ void __launch_bounds__(pass_threads) sample_classes(const Games s) {
  const std::int64_t looks = s.points.points / s.stride, step = std::int64_t{pass_threads} * gridDim.x;
  for (std::int64_t i = std::int64_t{pass_threads} * blockIdx.x + threadIdx.x; i < looks; i += step) {
    const std::uint32_t random = mixed(static_cast<std::uint32_t>(i));
    const std::int64_t at = i * s.stride + random % s.stride;
    const std::int32_t k = s.points.label[at];
    const float gain = s.points.gain[at];
    if (!(gain >= 0.0f)) continue;
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
  if (i >= (boxed ? s.large_count : s.points.classes)) return;
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
  const std::int32_t* label = s.points.label;
  Sums* sums = s.sums + blockIdx.x % s.copies * s.large_count;
  for_passing(
      s.points.gain, s.points.correctness, begin, lesser(points, begin + stretch),
      is_aligned(s.points.gain) && is_aligned(s.points.correctness),
      [&](float g, float c, std::int64_t at) {
        if (!(g >= 0.0f)) return false;
        return boxed ? screened_in(g, c, s.cuts[label[at]].screen) : s.game[label[at]].quota > 0.0;
      },
      queue[warp], [&](float g, float c, std::int32_t index) {
        const Point p = point_of(g, c);
        const std::int32_t k = p.gain < 0 ? -1 : label[begin + index];
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

__device__ __forceinline__ void write_answer(const Games& s, std::int64_t k, const Equilibrium& e, Status status) {
  const std::int64_t classes = s.points.classes;
  s.answers[k] = e.price;
  s.answers[classes + k] = e.threshold;
  s.answers[2 * classes + k] = e.share;
  s.answers[3 * classes + k] = e.value;
  s.answers[4 * classes + k] = static_cast<double>(static_cast<std::int64_t>(status));
  s.answers[5 * classes + k] = static_cast<double>(s.held[k]);
}

// `threads`: large_threads for the classes that have a box, small_threads for all others.
template <int threads>
__global__ void __launch_bounds__(threads) finish_classes(const Games s) {
  typedef Team<threads, false> SomeTeam;
  __shared__ typename SomeTeam::Scratch scratch;
  constexpr bool boxed = threads == large_threads;
  const std::int64_t k = boxed ? s.large[blockIdx.x] : static_cast<std::int64_t>(blockIdx.x);
  const ClassGame game = s.game[k];
  if (game.quota == 0.0) {  // no point pays more than the threshold
    if (threadIdx.x == 0) write_answer(s, k, {0.0, 2.0, 0.0, 0.0}, Status::solved);
    return;
  }
  if (!boxed && game.count > direct_points) return;
  Bounds start;
  Exact known;
  if (boxed) {
    start = box_of(s.corner + std::int64_t{corners} * blockIdx.x);
    for (std::int64_t copy = 0; copy < s.copies; ++copy) known.add(s.sums[copy * s.large_count + blockIdx.x]);
  }
  const int128 budget = in_units(game.quota), spend = spend_of(game.mistakes);
  Problem problem{budget, spend, 0};
  problem.take_off(known);
  SomeTeam team(s.region + game.start, nullptr, static_cast<std::int64_t>(s.held[k]), scratch);
  Equilibrium answer{0.0, 0.0, 0.0, 0.0};
  const Status status = settled(team, problem, start, known, budget, spend, answer);
  if (threadIdx.x == 0) write_answer(s, k, answer, status);
}

std::size_t lay_out(Games& s, void* workspace) {
  Pieces pieces(workspace);
  const std::int64_t most = greater(s.large_count, std::int64_t{1});
  s.copies = greater(std::int64_t{1}, lesser(most_copies, most_sums / most));
  s.region = pieces.take<Point>(s.points.points);
  s.cuts = s.large_count == 0 ? nullptr : pieces.take<ClassCuts>(s.points.classes);
  s.corner = pieces.take<Bounds>(s.large_count * corners);
  // As many for any number of large classes: of fewer there are more copies.
  s.sums = pieces.take<Sums>(s.large_count == 0 ? 0 : greater(s.large_count, most_sums));
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

std::size_t class_games_workspace(std::int64_t points, std::int64_t classes, std::int64_t large) {
  Games s{};
  s.points.points = points;
  s.points.classes = classes;
  s.large_count = large;
  return lay_out(s, nullptr);
}

std::int64_t class_games_direct() { return direct_points; }

void solve_by_class(const Where& where, const Labelled& points, const ClassGame* games, Counter* held,
                    const std::int32_t* large, std::int64_t large_count, std::int64_t least, void* workspace, std::size_t workspace_bytes,
                    double* answers) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  Games s{};
  s.points = points;
  s.game = games;
  s.held = held;
  s.large = large;
  s.large_count = large_count;
  s.answers = answers;
  s.stride = greater(std::int64_t{8}, 4 * least / wanted_sample);
  if (lay_out(s, workspace) > workspace_bytes) throw std::invalid_argument("workspace: smaller than class_games_workspace(...)");
  const auto class_blocks = [](std::int64_t classes) { return (classes + pass_threads - 1) / pass_threads; };
  if (large_count > 0) {
    RAD_FAST_CHECK(cudaMemsetAsync(s.sums, 0, static_cast<std::size_t>(large_count * s.copies) * sizeof *s.sums, stream));
    const std::int64_t blocks = resident((points.points / s.stride + pass_threads - 1) / pass_threads, where.device, 8);
    launch("sample_classes", sample_classes, {blocks, pass_threads}, stream, s);
    launch("estimate_classes", estimate_classes, {large_count * corners, estimate_threads}, stream, s);
    launch("cut_classes", cut_classes, {class_blocks(points.classes), pass_threads}, stream, s, false);
    launch("cut_classes", cut_classes, {class_blocks(large_count), pass_threads}, stream, s, true);
  }
  constexpr std::int64_t step = std::int64_t{pass_warps} * Queue::step;
  const std::int64_t blocks = resident((points.points + step - 1) / step, where.device, pass_resident);
  launch("reduce_classes", large_count > 0 ? reduce_classes : group_classes, {blocks, pass_threads}, stream, s);
  if (large_count > 0)
    launch("finish_classes", finish_classes<large_threads>, {large_count, large_threads}, stream, s);
  launch("finish_classes", finish_classes<small_threads>, {points.classes, small_threads}, stream, s);
}

}  // namespace cuda
}  // namespace rad_fast
