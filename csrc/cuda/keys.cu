// The sample along few keys (kernels/reference/sample.py, sample_by_key): exactly its indices, with no point moved.
//
// As the reference has it: the sums of each key's probabilities say where the running sum starts in each, and a second look at
// the points carries as many running sums as there are keys. The points are cut into stretches, a warp each, that all run at
// once; a table has the sum of each key in each stretch.
//   add_keys     the table, from one look at all points
//   scan_keys    a block a key: the sums of the stretches before each
//   begin_keys   where the running sum starts in each key
//   take_keys    the second look
// The sums are whole, in 128 bits, and bits 62 and up count the indices taken: so a stretch knows from its starts in all keys how
// many indices those before it take, and writes its own where they belong.
//
// Bytes per point: 13 read twice. The table takes 16 a key and stretch, of 1024 points at least.

#include "collective.cuh"
#include "keys.cuh"
#include "launch.cuh"
#include "points.cuh"
#include "rates.cuh"
#include "workspace.cuh"

namespace rad_fast {
namespace cuda {
namespace {

constexpr int key_threads = 128;
constexpr int key_warps = key_threads / warp_lanes;
constexpr int key_resident = 8;  // blocks a multiprocessor, with the sums of 256 keys
constexpr std::int64_t most_key_stretches = 4096;
constexpr std::int64_t least_stretch = 1024;
typedef WarpQueue<2, true> Queue;

struct Keys {
  Labelled points;
  std::int64_t keys, stretches, length;
  ClassRates* rates;
  uint128* table;  // keys x (stretches + 1)
  uint128* begins;
  std::uint64_t running;
  std::int64_t* indices;
  std::int64_t capacity;
  Drawn* drawn;
};

struct KeyScratch {
  Queue queue[key_warps];
  float screen[few_keys];  // of each class
};

__device__ __forceinline__ void load_screens(const Keys& s, KeyScratch& scratch) {
  for (std::int64_t k = threadIdx.x; k < s.points.classes; k += key_threads) scratch.screen[k] = s.rates[k].screen;
}

// Calls found(units, key, point) for the points of a stretch that may be taken, 32 at a time, in their order; -1: no point.
template <class Found>
__device__ __forceinline__ void for_keyed(const Keys& s, std::int64_t stretch, KeyScratch& scratch, const Found& found) {
  const std::int64_t begin = s.length * stretch, end = lesser(s.points.points, begin + s.length);
  for_passing(
      s.points.gain, s.points.correctness, s.points.label, begin, end, are_aligned(s.points),
      [&](float g, float c, std::int32_t k) { return g >= 0.0f && screened_in(g, c, scratch.screen[k]); },
      scratch.queue[warp_of_block()], [&](float g, float c, std::int32_t index, std::int32_t k) {
        const std::int64_t i = begin + index;
        std::uint64_t units = 0;
        int key = -1;
        if (g >= 0.0f) {
          units = units_of(point_of(g, c), s.rates[k].rates);
          key = s.points.other == nullptr ? k : k * static_cast<int>(s.points.others) + s.points.other[i];
        }
        found(units, units > 0 ? key : -1, i);
      });
}

// The sum over the lanes of the same key, and over those of them before this one.
struct OfPeers {
  uint128 all, before;
  bool first;
};

__device__ __forceinline__ OfPeers sum_of_peers(std::uint64_t units, int key) {
  const int lane = lane_of_warp();
  const unsigned peers = __match_any_sync(all_lanes, key);
  OfPeers sum{0, 0, key >= 0 && (peers & ((1u << lane) - 1)) == 0};
  for (unsigned left = key < 0 ? 0 : peers; __any_sync(all_lanes, left != 0); left &= left - 1) {
    const int from = left == 0 ? lane : __ffs(static_cast<int>(left)) - 1;
    const std::uint64_t theirs = from_lane(units, from);
    if (left == 0) continue;
    sum.all += theirs;
    if (from < lane) sum.before += theirs;
  }
  return sum;
}

__global__ void __launch_bounds__(key_threads, key_resident) add_keys(const Keys s) {
  __shared__ KeyScratch scratch;
  RAD_FAST_DYNAMIC_SHARED(memory);
  uint128* const sums = reinterpret_cast<uint128*>(memory) + s.keys * warp_of_block();
  load_screens(s, scratch);
  for (std::int64_t k = lane_of_warp(); k < s.keys; k += warp_lanes) sums[k] = 0;
  __syncthreads();
  const std::int64_t mine = std::int64_t{key_warps} * blockIdx.x + warp_of_block();
  if (mine >= s.stretches) return;
  for_keyed(s, mine, scratch, [&](std::uint64_t units, int key, std::int64_t) {
    const OfPeers sum = sum_of_peers(units, key);
    if (sum.first) sums[key] += sum.all;
    __syncwarp();
  });
  for (std::int64_t k = lane_of_warp(); k < s.keys; k += warp_lanes) s.table[k * (s.stretches + 1) + mine] = sums[k];
}

__global__ void __launch_bounds__(scan_threads) scan_keys(const Keys s) {
  __shared__ uint128 scratch[2][scan_warps];
  uint128* const sums = s.table + blockIdx.x * (s.stretches + 1);
  uint128 running = 0;
  int turn = 0;
  for (std::int64_t first = 0; first < s.stretches; first += scan_threads, turn ^= 1) {
    const std::int64_t i = first + threadIdx.x;
    const uint128 own = i < s.stretches ? sums[i] : 0;
    uint128 total;
    const uint128 before = running + block_scan<scan_threads>(own, scratch[turn], total);
    if (i < s.stretches) sums[i] = before;
    running += total;
  }
  if (threadIdx.x == 0) sums[s.stretches] = running;
}

__global__ void __launch_bounds__(few_keys) begin_keys(const Keys s) {
  __shared__ uint128 scratch[few_keys / warp_lanes];
  const std::int64_t k = threadIdx.x;
  const uint128 own = k < s.keys ? s.table[k * (s.stretches + 1) + s.stretches] : 0;
  uint128 total;
  const uint128 begin = s.running + block_scan<few_keys>(own, scratch, total);
  if (k < s.keys) s.begins[k] = begin;
  if (k != 0) return;
  const uint128 end = s.running + total;
  *s.drawn = {static_cast<std::uint64_t>(end), static_cast<std::int64_t>(passed(end) - passed(s.running))};
}

__global__ void __launch_bounds__(key_threads, key_resident) take_keys(const Keys s) {
  __shared__ KeyScratch scratch;
  RAD_FAST_DYNAMIC_SHARED(memory);
  auto* const running = reinterpret_cast<std::uint64_t*>(memory) + s.keys * warp_of_block();
  load_screens(s, scratch);
  __syncthreads();
  const std::int64_t mine = std::int64_t{key_warps} * blockIdx.x + warp_of_block();
  if (mine >= s.stretches) return;
  std::int64_t to = 0, own = 0;
  for (std::int64_t k = lane_of_warp(); k < s.keys; k += warp_lanes) {
    const uint128 begin = s.begins[k], *const sums = s.table + k * (s.stretches + 1) + mine;
    const uint128 here = begin + sums[0];
    running[k] = static_cast<std::uint64_t>(here);
    to += static_cast<std::int64_t>(passed(here) - passed(begin));
    own += static_cast<std::int64_t>(passed(begin + sums[1]) - passed(here));
  }
  to = warp_sum(to);
  if (warp_sum(own) == 0) return;
  __syncwarp();
  for_keyed(s, mine, scratch, [&](std::uint64_t units, int key, std::int64_t i) {
    const OfPeers sum = sum_of_peers(units, key);
    const std::uint64_t before = (key < 0 ? 0 : running[key]) + static_cast<std::uint64_t>(sum.before);
    const bool taken = key >= 0 && passed(before + units) != passed(before);
    __syncwarp();
    if (sum.first) running[key] += static_cast<std::uint64_t>(sum.all);
    const unsigned votes = __ballot_sync(all_lanes, taken);
    const std::int64_t at = to + __popc(votes & ((1u << lane_of_warp()) - 1));
    if (taken && at < s.capacity) s.indices[at] = i;
    to += __popc(votes);
    __syncwarp();
  });
}

__global__ void __launch_bounds__(key_threads) rate_keys(const double* answers, const Played played, std::int64_t classes, ClassRates* out) {
  rate(answers, played, classes, out);
}

std::int64_t most_stretches_of(std::int64_t points) {
  return lesser(most_key_stretches, (points + least_stretch - 1) / least_stretch);
}

std::size_t lay_out(Keys& s, void* workspace) {
  Pieces pieces(workspace);
  s.table = pieces.take<uint128>(s.keys * (most_stretches_of(s.points.points) + 1));
  s.begins = pieces.take<uint128>(s.keys);
  s.rates = pieces.take<ClassRates>(s.points.classes);
  return pieces.used();
}

}  // namespace

std::size_t sample_along_few_workspace(std::int64_t points, std::int64_t classes, std::int64_t keys) {
  Keys s{};
  s.points.points = points;
  s.points.classes = classes;
  s.keys = keys;
  return lay_out(s, nullptr);
}

void sample_along_few(const Where& where, const Labelled& points, const Played& played, const double* answers, std::uint64_t running,
                      std::int64_t* indices, std::int64_t capacity, void* workspace, Drawn* drawn) {
  const auto stream = static_cast<cudaStream_t>(where.stream);
  Keys s{};
  s.points = points;
  s.keys = points.classes * (points.other == nullptr ? 1 : points.others);
  s.running = running;
  s.indices = indices;
  s.capacity = capacity;
  s.drawn = drawn;
  lay_out(s, workspace);
  // As many as run at once.
  const std::int64_t most =
      lesser(most_stretches_of(points.points), std::int64_t{multiprocessors(where.device)} * key_resident * key_warps);
  const std::int64_t steps = (points.points + Queue::step - 1) / Queue::step;
  s.length = (steps + most - 1) / most * Queue::step;
  s.stretches = (points.points + s.length - 1) / s.length;
  const std::int64_t blocks = (s.stretches + key_warps - 1) / key_warps;
  const auto room = static_cast<std::size_t>(s.keys * key_warps);
  launch("rate_keys", rate_keys, {(points.classes + key_threads - 1) / key_threads, key_threads}, stream, answers, played,
         points.classes, s.rates);
  launch("add_keys", add_keys, {blocks, key_threads, 1, room * sizeof(uint128)}, stream, s);
  launch("scan_keys", scan_keys, {s.keys, scan_threads}, stream, s);
  launch("begin_keys", begin_keys, {1, static_cast<int>(few_keys)}, stream, s);
  launch("take_keys", take_keys, {blocks, key_threads, 1, room * sizeof(std::uint64_t)}, stream, s);
}

}  // namespace cuda
}  // namespace rad_fast
