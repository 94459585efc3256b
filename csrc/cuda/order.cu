// The sample along the keys (kernels/reference/sample.py, sample_by_key): exactly its indices.
//
// The points that can be taken, few of all, are listed in their order (4 bytes each), and the list is brought into the order
// of the keys by a radix sort, stable, 8 bits at a time: two passes at most for 65,536 keys. Along it one scan of units in 128
// bits passes whole numbers, as in sample.cu; what is taken is marked, and the marks are read in the points' order. So no table
// of keys is kept, and memory does not grow with them.
//
// Of few points all of it is done by one block, in one launch. Along few keys nothing has to be moved: keys.cu.
//
// Bytes per point: 12 read twice for the list, 1 written and 1 read for the marks; for each that can be taken some 60 more.

#include "collective.cuh"
#include "kernels.hpp"
#include "keys.cuh"
#include "launch.cuh"
#include "points.cuh"
#include "rates.cuh"
#include "workspace.cuh"

namespace rad_fast {
namespace cuda {
namespace {

constexpr int walk_threads = 256;
constexpr int walk_warps = walk_threads / warp_lanes;
constexpr int digit_bits = 8, digits = 1 << digit_bits;
constexpr int sort_threads = digits;  // a thread a digit
constexpr int sort_warps = sort_threads / warp_lanes;
constexpr std::int64_t most_sorters = 512;
constexpr std::int64_t few_points = 1 << 14;
constexpr std::int64_t rated_by_one = 1024;  // classes whose rates one block finds in passing
constexpr std::int64_t mark_step = 4 * warp_lanes;  // marks that a warp reads at once
typedef WarpQueue<2, true> Queue;

// Stretches of equal length, a warp each.
struct Stretches {
  std::int64_t count, length;
};

struct Part {
  std::int64_t begin, end;
};

struct Order {
  Labelled points;
  Played played;
  const double* answers;
  ClassRates* rates;
  std::uint32_t* list[2];
  std::uint8_t* marks;
  std::int64_t* starts;  // of every stretch in the list, then how many it has in all
  std::int64_t* table;   // digits x sorters
  std::int64_t* total;   // of each digit
  std::int64_t* places;  // of every stretch in the indices
  uint128* sums;         // of every stretch of the ordered list, and the end of the last
  Stretches by_index, by_key, by_mark;
  std::int64_t sorters;
  std::uint64_t running;
  std::int64_t* indices;
  std::int64_t capacity;
  Drawn* drawn;
};

__device__ __forceinline__ std::int64_t my_stretch() { return std::int64_t{walk_warps} * blockIdx.x + warp_of_block(); }

// Every step of the sample is a function that all blocks of a grid call together, and a kernel; `few` calls them in turn.

__global__ void __launch_bounds__(walk_threads) rate_classes(const double* answers, const Played played, std::int64_t classes,
                                                            ClassRates* out) {
  rate(answers, played, classes, out);
}

__device__ __forceinline__ std::uint64_t units_at(const Order& s, std::int64_t i) {
  return units_of(point_of(s.points.gain[i], s.points.correctness[i]), s.rates[s.points.label[i]].rates);
}

// Calls found(taken, point) for those of a stretch that may be taken, 32 at a time, in their order.
template <class Found>
__device__ __forceinline__ void for_taken(const Order& s, std::int64_t begin, std::int64_t end, Queue& queue, const Found& found) {
  for_passing(
      s.points.gain, s.points.correctness, s.points.label, begin, end, are_aligned(s.points),
      [&](float g, float c, std::int32_t k) { return g >= 0.0f && screened_in(g, c, s.rates[k].screen); }, queue,
      [&](float g, float c, std::int32_t index, std::int32_t k) {
        found(g >= 0.0f && units_of(point_of(g, c), s.rates[k].rates) > 0, begin + index);
      });
}

__device__ __forceinline__ void count_all(const Order& s, Queue* queue) {
  const std::int64_t mine = my_stretch();
  if (mine >= s.by_index.count) return;
  const std::int64_t begin = s.by_index.length * mine, end = lesser(s.points.points, begin + s.by_index.length);
  std::int64_t count = 0;
  for_taken(s, begin, end, queue[warp_of_block()],
            [&](bool taken, std::int64_t) { count += __popc(__ballot_sync(all_lanes, taken)); });
  if (lane_of_warp() == 0) s.starts[mine] = count;
}

__global__ void __launch_bounds__(walk_threads) count_taken(const Order s) {
  __shared__ Queue queue[walk_warps];
  count_all(s, queue);
}

// Numbers become the sums of those before them; their sum goes behind the last.
template <int threads>
__device__ __forceinline__ void scan_all(std::int64_t* numbers, std::int64_t count, std::int64_t (*scratch)[threads / warp_lanes]) {
  std::int64_t running = 0;
  int turn = 0;
  for (std::int64_t first = 0; first < count; first += threads, turn ^= 1) {
    const std::int64_t i = first + threadIdx.x;
    const std::int64_t own = i < count ? numbers[i] : 0;
    std::int64_t total;
    const std::int64_t before = running + block_scan<threads>(own, scratch[turn], total);
    if (i < count) numbers[i] = before;
    running += total;
  }
  if (threadIdx.x == 0) numbers[count] = running;
}

__global__ void __launch_bounds__(scan_threads) scan_counts(std::int64_t* numbers, std::int64_t count) {
  __shared__ std::int64_t scratch[2][scan_warps];
  scan_all<scan_threads>(numbers, count, scratch);
}

__device__ __forceinline__ void list_all(const Order& s, Queue* queue) {
  const std::int64_t mine = my_stretch();
  if (mine >= s.by_index.count) return;
  const std::int64_t begin = s.by_index.length * mine, end = lesser(s.points.points, begin + s.by_index.length);
  std::int64_t to = s.starts[mine];
  if (to == s.starts[mine + 1]) return;
  for_taken(s, begin, end, queue[warp_of_block()], [&](bool taken, std::int64_t i) {
    const unsigned votes = __ballot_sync(all_lanes, taken);
    if (taken) s.list[0][to + __popc(votes & ((1u << lane_of_warp()) - 1))] = static_cast<std::uint32_t>(i);
    to += __popc(votes);
  });
}

__global__ void __launch_bounds__(walk_threads) list_taken(const Order s) {
  __shared__ Queue queue[walk_warps];
  list_all(s, queue);
}

// ----------------------------------------------------------------------------------------------------------------- by key

__device__ __forceinline__ std::int64_t listed(const Order& s) { return s.starts[s.by_index.count]; }

__device__ __forceinline__ int digit_of(const Order& s, std::uint32_t i, int shift) {
  // Of games the order is the same as of their classes, and has fewer bits.
  const std::int64_t label = s.played.place == nullptr ? s.points.label[i] : s.played.place[s.points.label[i]];
  const std::int64_t key = s.points.other == nullptr ? label : label * s.points.others + s.points.other[i];
  return static_cast<int>(key >> shift) & (digits - 1);
}

// A sorter's part of the list.
__device__ __forceinline__ Part part_of_sorter(const Order& s) {
  const std::int64_t steps = (listed(s) + sort_threads - 1) / sort_threads;
  const std::int64_t length = (steps + gridDim.x - 1) / gridDim.x * sort_threads;
  const std::int64_t begin = lesser(listed(s), length * blockIdx.x);
  return {begin, lesser(listed(s), begin + length)};
}

__device__ __forceinline__ void count_all_digits(const Order& s, int from, int shift, unsigned* counts) {
  const Part part = part_of_sorter(s);
  counts[threadIdx.x] = 0;
  __syncthreads();
  for (std::int64_t i = part.begin + threadIdx.x; i < part.end; i += sort_threads)
    atomicAdd(counts + digit_of(s, s.list[from][i], shift), 1u);
  __syncthreads();
  s.table[std::int64_t{threadIdx.x} * gridDim.x + blockIdx.x] = counts[threadIdx.x];
}

__global__ void __launch_bounds__(sort_threads) count_digits(const Order s, int from, int shift) {
  __shared__ unsigned counts[digits];
  count_all_digits(s, from, shift, counts);
}

// A block a digit: how many of it the sorters before each have, and how many there are.
__global__ void __launch_bounds__(sort_threads) scan_digits(const Order s) {
  __shared__ std::int64_t scratch[2][sort_warps];
  std::int64_t* const counts = s.table + blockIdx.x * s.sorters;
  std::int64_t running = 0;
  int turn = 0;
  for (std::int64_t first = 0; first < s.sorters; first += sort_threads, turn ^= 1) {
    const std::int64_t i = first + threadIdx.x;
    const std::int64_t own = i < s.sorters ? counts[i] : 0;
    std::int64_t total;
    const std::int64_t before = running + block_scan<sort_threads>(own, scratch[turn], total);
    if (i < s.sorters) counts[i] = before;
    running += total;
  }
  if (threadIdx.x == 0) s.total[blockIdx.x] = running;
}

// Moves a part of the list to where its digits belong, those of one digit in their order. `next`: where the first goes of the
// digit that is this thread's.
__device__ __forceinline__ void move_all(const Order& s, int from, int shift, std::int64_t next, std::int64_t (*places)[digits]) {
  const int lane = lane_of_warp(), warp = warp_of_block(), mine = static_cast<int>(threadIdx.x);
  const Part part = part_of_sorter(s);
  for (std::int64_t first = part.begin; first < part.end; first += sort_threads) {
    for (int w = 0; w < sort_warps; ++w) places[w][mine] = 0;
    __syncthreads();
    const std::int64_t i = first + mine;
    const bool here = i < part.end;
    const std::uint32_t point = here ? s.list[from][i] : 0;
    const int digit = here ? digit_of(s, point, shift) : -1;
    const unsigned peers = __match_any_sync(all_lanes, digit);
    const int before = __popc(peers & ((1u << lane) - 1));
    if (here && before == 0) places[warp][digit] = __popc(peers);
    __syncthreads();
    for (int w = 0; w < sort_warps; ++w) {
      const std::int64_t count = places[w][mine];
      places[w][mine] = next;
      next += count;
    }
    __syncthreads();
    if (here) s.list[from ^ 1][places[warp][digit] + before] = point;
    __syncthreads();
  }
}

__global__ void __launch_bounds__(sort_threads) move_digits(const Order s, int from, int shift) {
  __shared__ std::int64_t places[sort_warps][digits];  // of each warp's next of a digit
  __shared__ std::int64_t scratch[sort_warps];
  std::int64_t all;
  const std::int64_t below = block_scan<sort_threads>(s.total[threadIdx.x], scratch, all);
  move_all(s, from, shift, below + s.table[std::int64_t{threadIdx.x} * gridDim.x + blockIdx.x], places);
}

// -------------------------------------------------------------------------------------------------------------- the scan

// A warp's part of the list in the order of the keys.
__device__ __forceinline__ Part part_of_walker(const Order& s, std::int64_t mine) {
  const std::int64_t steps = (listed(s) + warp_lanes - 1) / warp_lanes;
  const std::int64_t length = (steps + s.by_key.count - 1) / s.by_key.count * warp_lanes;
  const std::int64_t begin = lesser(listed(s), length * mine);
  return {begin, lesser(listed(s), begin + length)};
}

__device__ __forceinline__ void add_all(const Order& s, int from) {
  const std::int64_t mine = my_stretch();
  if (mine >= s.by_key.count) return;
  const Part part = part_of_walker(s, mine);
  uint128 sum = 0;
  for (std::int64_t i = part.begin + lane_of_warp(); i < part.end; i += warp_lanes) sum += units_at(s, s.list[from][i]);
  sum = warp_sum(sum);
  if (lane_of_warp() == 0) s.sums[mine] = sum;
}

__global__ void __launch_bounds__(walk_threads) add_ordered(const Order s, int from) {
  add_all(s, from);
}

template <int threads>
__device__ __forceinline__ void scan_all_ordered(const Order& s, uint128 (*scratch)[threads / warp_lanes]) {
  uint128 running = s.running;
  int turn = 0;
  for (std::int64_t first = 0; first < s.by_key.count; first += threads, turn ^= 1) {
    const std::int64_t i = first + threadIdx.x;
    const uint128 own = i < s.by_key.count ? s.sums[i] : 0;
    uint128 total;
    const uint128 before = running + block_scan<threads>(own, scratch[turn], total);
    if (i < s.by_key.count) s.sums[i] = before;
    running += total;
  }
  if (threadIdx.x != 0) return;
  s.sums[s.by_key.count] = running;
  *s.drawn = {static_cast<std::uint64_t>(running), static_cast<std::int64_t>(passed(running) - passed(s.running))};
}

__global__ void __launch_bounds__(scan_threads) scan_ordered(const Order s) {
  __shared__ uint128 scratch[2][scan_warps];
  scan_all_ordered<scan_threads>(s, scratch);
}

__device__ __forceinline__ void mark_all(const Order& s, int from) {
  const std::int64_t mine = my_stretch();
  if (mine >= s.by_key.count) return;
  uint128 running = s.sums[mine];
  if (passed(running) == passed(s.sums[mine + 1])) return;
  const Part part = part_of_walker(s, mine);
  for (std::int64_t first = part.begin; first < part.end; first += warp_lanes) {
    const std::int64_t i = first + lane_of_warp();
    const bool here = i < part.end;
    const std::uint32_t point = here ? s.list[from][i] : 0;
    const uint128 own = here ? units_at(s, point) : 0;
    const uint128 after = running + warp_scan(own);
    if (passed(after) != passed(after - own)) s.marks[point] = 1;
    running = from_lane(after, warp_lanes - 1);
  }
}

__global__ void __launch_bounds__(walk_threads) mark_taken(const Order s, int from) {
  mark_all(s, from);
}

// --------------------------------------------------------------------------------------------------------------- by index

// Marks at .. at + 3, a bit each; there are marks of no points behind the last.
__device__ __forceinline__ unsigned marks_at(const Order& s, std::int64_t at) {
  return *reinterpret_cast<const std::uint32_t*>(s.marks + at) & 0x01010101u;
}

__device__ __forceinline__ void count_all_marked(const Order& s) {
  const std::int64_t mine = my_stretch();
  if (mine >= s.by_mark.count) return;
  const std::int64_t begin = s.by_mark.length * mine, end = lesser(s.points.points, begin + s.by_mark.length);
  int count = 0;
  for (std::int64_t at = begin + 4 * lane_of_warp(); at < end; at += mark_step) count += __popc(marks_at(s, at));
  count = warp_sum(count);
  if (lane_of_warp() == 0) s.places[mine] = count;
}

__global__ void __launch_bounds__(walk_threads) count_marked(const Order s) {
  count_all_marked(s);
}

__device__ __forceinline__ void list_all_marked(const Order& s) {
  const std::int64_t mine = my_stretch();
  if (mine >= s.by_mark.count) return;
  std::int64_t to = s.places[mine];
  if (to == s.places[mine + 1]) return;
  const std::int64_t begin = s.by_mark.length * mine, end = lesser(s.points.points, begin + s.by_mark.length);
  for (std::int64_t first = begin; first < end; first += mark_step) {
    const std::int64_t at = first + 4 * lane_of_warp();
    const unsigned marks = at < end ? marks_at(s, at) : 0;
    const int own = __popc(marks), up_to = warp_scan(own);
    std::int64_t next = to + up_to - own;
    for (int i = 0; i < 4; ++i) {
      if ((marks >> 8 * i & 1) == 0) continue;
      if (next < s.capacity) s.indices[next] = at + i;
      ++next;
    }
    to += from_lane(up_to, warp_lanes - 1);
  }
}

__global__ void __launch_bounds__(walk_threads) list_marked(const Order s) {
  list_all_marked(s);
}

// All of it, for few points, by one block.
union FewScratch {
  Queue queue[walk_warps];
  std::int64_t numbers[2][walk_warps];
  uint128 sums[2][walk_warps];
  unsigned counts[digits];
  std::int64_t places[sort_warps][digits];
  __device__ FewScratch() {}
};

__global__ void __launch_bounds__(walk_threads, 1) sample_few_by_class(const Order s, std::int64_t keys, bool rated) {
  __shared__ FewScratch scratch;
  if (!rated) rate(s.answers, s.played, s.points.classes, s.rates);
  for (std::int64_t i = threadIdx.x; i < s.points.points + mark_step; i += walk_threads) s.marks[i] = 0;
  __syncthreads();
  count_all(s, scratch.queue);
  __syncthreads();
  scan_all<walk_threads>(s.starts, s.by_index.count, scratch.numbers);
  __syncthreads();
  list_all(s, scratch.queue);
  __syncthreads();
  int from = 0;
  for (int shift = 0; (keys - 1) >> shift > 0; shift += digit_bits, from ^= 1) {
    count_all_digits(s, from, shift, scratch.counts);
    __syncthreads();
    scan_all<walk_threads>(s.table, digits, scratch.numbers);
    __syncthreads();
    move_all(s, from, shift, s.table[threadIdx.x], scratch.places);
    __syncthreads();
  }
  add_all(s, from);
  __syncthreads();
  scan_all_ordered<walk_threads>(s, scratch.sums);
  __syncthreads();
  mark_all(s, from);
  __syncthreads();
  count_all_marked(s);
  __syncthreads();
  scan_all<walk_threads>(s.places, s.by_mark.count, scratch.numbers);
  __syncthreads();
  list_all_marked(s);
}

__global__ void __launch_bounds__(walk_threads) write_class_probabilities(const Labelled points, const ClassRates* rates,
                                                                          double* out) {
  const std::int64_t step = std::int64_t{walk_threads} * gridDim.x;
  for (std::int64_t i = std::int64_t{walk_threads} * blockIdx.x + threadIdx.x; i < points.points; i += step) {
    const Point p = point_of(points.gain[i], points.correctness[i]);
    out[i] = p.gain < 0 ? 0.0 : probability_of(p, rates[points.label[i]].rates);
  }
}

// --------------------------------------------------------------------------------------------------------------- launches

Stretches stretches_of(std::int64_t points, std::int64_t step) {
  const std::int64_t steps = (points + step - 1) / step;
  if (points <= few_points) {  // a warp of one block each
    const std::int64_t length = (steps + walk_warps - 1) / walk_warps * step;
    return {(points + length - 1) / length, length};
  }
  const std::int64_t length = greater(std::int64_t{4}, (steps + most_stretches - 1) / most_stretches) * step;
  return {(points + length - 1) / length, length};
}

std::int64_t warp_blocks(const Stretches& stretches) { return (stretches.count + walk_warps - 1) / walk_warps; }

std::size_t lay_out(Order& s, void* workspace) {
  Pieces pieces(workspace);
  const std::int64_t points = s.points.points;
  s.by_index = stretches_of(points, Queue::step);
  s.by_mark = stretches_of(points, mark_step * 8);
  const bool few = points <= few_points;
  s.by_key = {few ? walk_warps : lesser(most_stretches, (points + 1023) / 1024), 0};  // their length depends on what is listed
  s.sorters = few ? 1 : lesser(most_sorters, (points + 2047) / 2048);
  for (auto& list : s.list) list = pieces.take<std::uint32_t>(points);
  s.marks = pieces.take<std::uint8_t>(points + mark_step);
  s.rates = pieces.take<ClassRates>(s.points.classes);
  s.starts = pieces.take<std::int64_t>(s.by_index.count + 1);
  s.table = pieces.take<std::int64_t>(digits * s.sorters + 1);
  s.total = pieces.take<std::int64_t>(digits);
  s.places = pieces.take<std::int64_t>(s.by_mark.count + 1);
  s.sums = pieces.take<uint128>(s.by_key.count + 1);
  return pieces.used();
}

}  // namespace

std::size_t sample_by_class_workspace(std::int64_t points, std::int64_t classes) {
  Order s{};
  s.points.points = points;
  s.points.classes = classes;
  return greater(lay_out(s, nullptr), sample_along_few_workspace(points, lesser(classes, few_keys), few_keys));
}

void sample_by_class(const Where& where, const Labelled& points, const Played& played, const double* answers, std::uint64_t running,
                     std::int64_t* indices, std::int64_t capacity, void* workspace, std::size_t workspace_bytes, Drawn* drawn) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  Order s{};
  s.points = points;
  s.played = played;
  s.answers = answers;
  s.running = running;
  s.indices = indices;
  s.capacity = capacity;
  s.drawn = drawn;
  if (sample_by_class_workspace(points.points, points.classes) > workspace_bytes)
    throw std::invalid_argument("workspace: smaller than sample_by_class_workspace(...)");
  const std::int64_t keys = played.games * (points.other == nullptr ? 1 : points.others);
  if (points.points > few_points && played.place == nullptr && keys <= few_keys) {
    sample_along_few(where, points, played, answers, running, indices, capacity, workspace, drawn);
    return;
  }
  lay_out(s, workspace);
  const bool few = points.points <= few_points, rated = !few || points.classes > rated_by_one;
  const std::int64_t class_blocks = (points.classes + walk_threads - 1) / walk_threads;
  if (rated) launch("rate_classes", rate_classes, {class_blocks, walk_threads}, stream, answers, played, points.classes, s.rates);
  if (few) {
    launch("sample_few_by_class", sample_few_by_class, {1, walk_threads}, stream, s, keys, rated);
    return;
  }
  launch("count_taken", count_taken, {warp_blocks(s.by_index), walk_threads}, stream, s);
  launch("scan_counts", scan_counts, {1, scan_threads}, stream, s.starts, s.by_index.count);
  launch("list_taken", list_taken, {warp_blocks(s.by_index), walk_threads}, stream, s);
  int from = 0;
  for (int shift = 0; (keys - 1) >> shift > 0; shift += digit_bits, from ^= 1) {
    launch("count_digits", count_digits, {s.sorters, sort_threads}, stream, s, from, shift);
    launch("scan_digits", scan_digits, {digits, sort_threads}, stream, s);
    launch("move_digits", move_digits, {s.sorters, sort_threads}, stream, s, from, shift);
  }
  launch("add_ordered", add_ordered, {warp_blocks(s.by_key), walk_threads}, stream, s, from);
  launch("scan_ordered", scan_ordered, {1, scan_threads}, stream, s);
  RAD_FAST_CHECK(cudaMemsetAsync(s.marks, 0, static_cast<std::size_t>(points.points + mark_step), stream));
  launch("mark_taken", mark_taken, {warp_blocks(s.by_key), walk_threads}, stream, s, from);
  launch("count_marked", count_marked, {warp_blocks(s.by_mark), walk_threads}, stream, s);
  launch("scan_counts", scan_counts, {1, scan_threads}, stream, s.places, s.by_mark.count);
  launch("list_marked", list_marked, {warp_blocks(s.by_mark), walk_threads}, stream, s);
}

std::size_t class_rates_bytes() { return sizeof(ClassRates); }

void class_probabilities(const Where& where, const Labelled& points, const double* answers, void* rates, double* out) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  if (points.points == 0) return;
  auto* const mine = static_cast<ClassRates*>(rates);
  launch("rate_classes", rate_classes, {(points.classes + walk_threads - 1) / walk_threads, walk_threads}, stream, answers,
         Played{nullptr, nullptr, points.classes}, points.classes, mine);
  const std::int64_t blocks = lesser((points.points + walk_threads - 1) / walk_threads, std::int64_t{multiprocessors(where.device)} * 8);
  launch("write_class_probabilities", write_class_probabilities, {blocks, walk_threads}, stream, points, mine, out);
}

}  // namespace cuda
}  // namespace rad_fast
