// Systematic sampling: exactly the indices of kernels/reference/sample.py, from sums in units of 2^-62.
//
// Bytes per point: 8 read for the sums of stretches of points, and 8 again in those stretches in which an index is taken:
// 8 to 16, and 8 written an index. The floor is 8 over the memory's bandwidth. Three launches; one for few points. A warp has
// a stretch, and waits for no other warp.
//
// The reference keeps its running sum modulo 2^64. Here it is kept whole, in 128 bits: bits 62 and up then count the indices
// taken, so that one scan says both whether a point is taken and where its index goes.

#include "collective.cuh"
#include "kernels.hpp"
#include "launch.cuh"
#include "points.cuh"

namespace rad_fast {
namespace cuda {
namespace {

constexpr int sample_threads = 256;
constexpr int sample_warps = sample_threads / warp_lanes;
constexpr int few_threads = 512;  // one block, in one launch
constexpr int few_warps = few_threads / warp_lanes;
constexpr std::int64_t few_points = 1 << 15;
typedef WarpQueue<2> Queue;
typedef WarpQueue<1> SmallQueue;

struct Scan {
  const float *gain, *correctness;
  std::int64_t points;
  Equilibrium equilibrium;
  const Solution* solution;  // where not null, what counts
  std::int64_t stretch;      // points of each
  std::uint64_t running;
  std::int64_t offset, capacity;
  std::int64_t* indices;
  uint128* starts;  // of every stretch, and the end of the last
  Drawn* drawn;
};

__device__ __forceinline__ Rates rates_of(const Scan& scan) {
  if (scan.solution == nullptr) return rates_of(scan.equilibrium);
  return rates_of(scan.solution->equilibrium);
}

// The sum of the units of a stretch.
template <class SomeQueue>
__device__ __forceinline__ uint128 mass_of(const Scan& scan, const Rates& rates, std::int64_t begin, std::int64_t end,
                                           SomeQueue& queue) {
  const bool aligned = is_aligned(scan.gain) && is_aligned(scan.correctness);
  uint128 sum = 0;
  for_screened(scan.gain, scan.correctness, begin, end, aligned, screen_of(rates.threshold), queue,
               [&](float g, float c, std::int32_t) { sum += units_of(point_of(g, c), rates); });
  return warp_sum(sum);
}

// Writes the indices that a stretch takes; `running`: the sum before it.
template <class SomeQueue>
__device__ __forceinline__ void take(const Scan& scan, const Rates& rates, std::int64_t begin, std::int64_t end,
                                     uint128 running, SomeQueue& queue) {
  const bool aligned = is_aligned(scan.gain) && is_aligned(scan.correctness);
  const std::uint64_t first_passed = passed(scan.running);
  for_screened(scan.gain, scan.correctness, begin, end, aligned, screen_of(rates.threshold), queue,
               [&](float g, float c, std::int32_t index) {
                 const uint128 own = units_of(point_of(g, c), rates);
                 const uint128 after = running + warp_scan(own), before = after - own;
                 if (passed(after) != passed(before)) {
                   const auto to = static_cast<std::int64_t>(passed(before) - first_passed);
                   if (to < scan.capacity) scan.indices[to] = scan.offset + begin + index;
                 }
                 running = from_lane(after, warp_lanes - 1);
               });
}

__global__ void __launch_bounds__(sample_threads) add_stretches(const Scan scan, std::int64_t stretches) {
  __shared__ Queue queue[sample_warps];
  const std::int64_t mine = std::int64_t{sample_warps} * blockIdx.x + warp_of_block();
  if (mine >= stretches) return;
  const std::int64_t begin = scan.stretch * mine, end = lesser(scan.points, begin + scan.stretch);
  const uint128 sum = mass_of(scan, rates_of(scan), begin, end, queue[warp_of_block()]);
  if (threadIdx.x % warp_lanes == 0) scan.starts[mine] = sum;
}

__device__ __forceinline__ void write_drawn(const Scan& scan, uint128 end) {
  const std::uint64_t before = passed(scan.running);
  *scan.drawn = {static_cast<std::uint64_t>(end), static_cast<std::int64_t>(passed(end) - before)};
}

// Sums of stretches become the running sums before them.
__global__ void __launch_bounds__(scan_threads) scan_stretches(const Scan scan, std::int64_t stretches) {
  __shared__ uint128 scratch[2][scan_warps];
  uint128 running = scan.running;
  int turn = 0;
  for (std::int64_t first = 0; first < stretches; first += scan_threads, turn ^= 1) {
    const std::int64_t i = first + threadIdx.x;
    const uint128 own = i < stretches ? scan.starts[i] : 0;
    uint128 total;
    const uint128 before = running + block_scan<scan_threads>(own, scratch[turn], total);
    if (i < stretches) scan.starts[i] = before;
    running += total;
  }
  if (threadIdx.x != 0) return;
  scan.starts[stretches] = running;
  write_drawn(scan, running);
}

__global__ void __launch_bounds__(sample_threads) take_indices(const Scan scan, std::int64_t stretches) {
  __shared__ Queue queue[sample_warps];
  const std::int64_t mine = std::int64_t{sample_warps} * blockIdx.x + warp_of_block();
  if (mine >= stretches) return;
  const uint128 running = scan.starts[mine];
  if (passed(running) == passed(scan.starts[mine + 1])) return;
  const std::int64_t begin = scan.stretch * mine, end = lesser(scan.points, begin + scan.stretch);
  take(scan, rates_of(scan), begin, end, running, queue[warp_of_block()]);
}

// All of it, for few points: each warp has a stretch, and adds up those before its own.
__global__ void __launch_bounds__(few_threads, 1) sample_few(const Scan scan) {
  __shared__ SmallQueue queue[few_warps];
  __shared__ uint128 sums[few_warps];
  const int warp = warp_of_block();
  const Rates rates = rates_of(scan);
  const std::int64_t begin = lesser(scan.points, scan.stretch * warp), end = lesser(scan.points, begin + scan.stretch);
  const uint128 sum = mass_of(scan, rates, begin, end, queue[warp]);
  if (threadIdx.x % warp_lanes == 0) sums[warp] = sum;
  __syncthreads();
  uint128 running = scan.running;
  for (int w = 0; w < warp; ++w) running += sums[w];
  if (scan.indices != nullptr && begin < end) take(scan, rates, begin, end, running, queue[warp]);
  if (threadIdx.x == few_threads - 1) write_drawn(scan, running + sum);
}

__global__ void __launch_bounds__(256) write_probabilities(const float* gain, const float* correctness, std::int64_t points,
                                                           const Equilibrium equilibrium, double* out) {
  const Rates rates = rates_of(equilibrium);
  const std::int64_t step = std::int64_t{256} * gridDim.x;
  for (std::int64_t i = std::int64_t{256} * blockIdx.x + threadIdx.x; i < points; i += step)
    out[i] = probability_of(point_of(gain[i], correctness[i]), rates);
}

std::int64_t stretch_of(std::int64_t points) {
  const std::int64_t steps = (points + Queue::step - 1) / Queue::step;
  return greater(std::int64_t{4}, (steps + most_stretches - 1) / most_stretches) * Queue::step;
}

std::int64_t stretches_of(std::int64_t points) {
  return points <= few_points ? 0 : (points + stretch_of(points) - 1) / stretch_of(points);
}

}  // namespace

std::size_t sample_workspace(std::int64_t points) {
  return static_cast<std::size_t>(stretches_of(points) + 1) * sizeof(uint128);
}

void sample(const Where& where, const float* gain, const float* correctness, std::int64_t points,
            const Equilibrium& equilibrium, const Solution* solution, std::uint64_t running, std::int64_t offset,
            std::int64_t* indices, std::int64_t capacity, void* workspace, Drawn* drawn) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  const std::int64_t stretches = stretches_of(points);
  Scan scan{gain,
            correctness,
            points,
            equilibrium,
            solution,
            stretches == 0 ? (points + few_threads * 4 - 1) / (few_threads * 4) * SmallQueue::step : stretch_of(points),
            running,
            offset,
            capacity,
            indices,
            stretches == 0 ? nullptr : static_cast<uint128*>(workspace),
            drawn};
  if (stretches == 0) {
    launch("sample_few", sample_few, {1, few_threads}, stream, scan);
    return;
  }
  const std::int64_t blocks = (stretches + sample_warps - 1) / sample_warps;
  launch("add_stretches", add_stretches, {blocks, sample_threads}, stream, scan, stretches);
  launch("scan_stretches", scan_stretches, {1, scan_threads}, stream, scan, stretches);
  if (indices != nullptr) launch("take_indices", take_indices, {blocks, sample_threads}, stream, scan, stretches);
}

void probabilities(const Where& where, const float* gain, const float* correctness, std::int64_t points,
                   const Equilibrium& equilibrium, double* out) {
  const DeviceGuard guard(where.device);
  if (points == 0) return;
  const std::int64_t blocks = lesser((points + 255) / 256, std::int64_t{multiprocessors(where.device)} * 8);
  launch("write_probabilities", write_probabilities, {blocks, 256}, static_cast<cudaStream_t>(where.stream), gain, correctness,
         points, equilibrium, out);
}

}  // namespace cuda
}  // namespace rad_fast
