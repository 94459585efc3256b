// Systematic sampling: exactly the indices of kernels/reference/sample.py, from sums in units of 2^-62.
//
// Bytes per point: 8 read for the sums of stretches of points, and 8 again in those stretches in which an index is taken:
// 8 to 16, and 8 written an index. The floor is 8 over the memory's bandwidth. Two launches; one for few points. A warp has a
// stretch, as long as makes all of them run at once, and waits for no warp of another block: a block's own sum is 16 bytes,
// and each block of the second launch adds up those of the blocks before it.
//
// The reference keeps its running sum modulo 2^64. Here it is kept whole, in 128 bits: bits 62 and up then count the indices
// taken, so that one scan says both whether a point is taken and where its index goes.

#include "cluster.cuh"
#include "collective.cuh"
#include "kernels.hpp"
#include "launch.cuh"
#include "points.cuh"

namespace rad_fast {
namespace cuda {
namespace {

constexpr int sample_threads = 256;
constexpr int sample_warps = sample_threads / warp_lanes;
constexpr int sample_resident = 4;  // blocks a multiprocessor
constexpr std::int64_t least_steps = 4;  // of a warp's stretch, where all together would not run at once anyway
constexpr std::int64_t few_points = 1 << 15;  // in one launch of one block, or of one cluster
constexpr int most_sampling = 4096;  // blocks: each reads what all before it have summed up
typedef WarpQueue<2> Queue;
typedef WarpQueue<1> SmallQueue;

template <int parts>
struct Few {
  static constexpr int threads = parts == 1 ? 512 : 256, warps = threads / warp_lanes, all_warps = parts * warps;
  uint128 sums[all_warps];
  SmallQueue queue[warps];
};
constexpr int most_parts = 8;

struct Scan {
  const float *gain, *correctness;
  std::int64_t points;
  Equilibrium equilibrium;
  const Solution* solution;  // where not null, what counts
  std::int64_t stretch;      // points of each
  std::uint64_t running;
  std::int64_t offset, capacity;
  std::int64_t* indices;
  uint128 *sums, *block_sums;  // of every stretch, of every block's stretches
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

__device__ __forceinline__ void write_drawn(const Scan& scan, uint128 end) {
  const std::uint64_t before = passed(scan.running);
  *scan.drawn = {static_cast<std::uint64_t>(end), static_cast<std::int64_t>(passed(end) - before)};
}

__global__ void __launch_bounds__(sample_threads, sample_resident) add_stretches(const Scan scan) {
  __shared__ Queue queue[sample_warps];
  __shared__ uint128 sums[sample_warps];
  const int warp = warp_of_block();
  const std::int64_t mine = std::int64_t{sample_warps} * blockIdx.x + warp;
  const std::int64_t begin = lesser(scan.points, scan.stretch * mine), end = lesser(scan.points, begin + scan.stretch);
  const uint128 sum = mass_of(scan, rates_of(scan), begin, end, queue[warp]);
  if (lane_of_warp() == 0) sums[warp] = scan.sums[mine] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  uint128 all = 0;
  for (int w = 0; w < sample_warps; ++w) all += sums[w];
  scan.block_sums[blockIdx.x] = all;
}

__global__ void __launch_bounds__(sample_threads, sample_resident) take_indices(const Scan scan) {
  __shared__ Queue queue[sample_warps];
  __shared__ uint128 scratch[sample_warps];
  const bool last = blockIdx.x == gridDim.x - 1;
  if (scan.indices == nullptr && !last) return;
  uint128 running = 0;
  for (int block = static_cast<int>(threadIdx.x); block < static_cast<int>(blockIdx.x); block += sample_threads)
    running += scan.block_sums[block];
  running = scan.running + block_sum<sample_threads>(running, scratch);
  if (last && threadIdx.x == 0) write_drawn(scan, running + scan.block_sums[blockIdx.x]);
  if (scan.indices == nullptr) return;
  const int warp = warp_of_block();
  const uint128* sums = scan.sums + std::int64_t{sample_warps} * blockIdx.x;
  for (int w = 0; w < warp; ++w) running += sums[w];
  if (passed(running) == passed(running + sums[warp])) return;
  const std::int64_t begin = lesser(scan.points, scan.stretch * (std::int64_t{sample_warps} * blockIdx.x + warp));
  take(scan, rates_of(scan), begin, lesser(scan.points, begin + scan.stretch), running, queue[warp]);
}

// All of it, for few points: each warp has a stretch, and adds up those before its own.
template <int parts>
__global__ void __launch_bounds__(Few<parts>::threads, 1) sample_few(const Scan scan) {
  if constexpr (parts > 1 && !RAD_FAST_CLUSTERS) return;
  constexpr int all_warps = Few<parts>::all_warps;
  RAD_FAST_DYNAMIC_SHARED(shared);
  auto& own = *reinterpret_cast<Few<parts>*>(shared);
  const int lane = lane_of_warp(), warp = static_cast<int>(blockIdx.x) * Few<parts>::warps + warp_of_block();
  const Rates rates = rates_of(scan);
  const std::int64_t begin = lesser(scan.points, scan.stretch * warp), end = lesser(scan.points, begin + scan.stretch);
  SmallQueue& queue = own.queue[warp_of_block()];
  const uint128 sum = mass_of(scan, rates, begin, end, queue);
  if constexpr (parts > 1) cluster_sync<parts>();  // every block has begun: what is not there cannot be written to
  if (lane < parts) at_part<parts>(own.sums, lane)[warp] = sum;
  cluster_sync<parts>();
  uint128 before = 0;
  for (int w = lane; w < warp; w += warp_lanes) before += own.sums[w];
  const uint128 running = scan.running + warp_sum(before);
  if (scan.indices != nullptr && begin < end) take(scan, rates, begin, end, running, queue);
  if (warp == all_warps - 1 && lane == 0) write_drawn(scan, running + sum);
}

__global__ void __launch_bounds__(256) write_probabilities(const float* gain, const float* correctness, std::int64_t points,
                                                           const Equilibrium equilibrium, double* out) {
  const Rates rates = rates_of(equilibrium);
  const std::int64_t step = std::int64_t{256} * gridDim.x;
  for (std::int64_t i = std::int64_t{256} * blockIdx.x + threadIdx.x; i < points; i += step)
    out[i] = probability_of(point_of(gain[i], correctness[i]), rates);
}

// Blocks whose warps have at least `least_steps` steps each.
std::int64_t most_blocks(std::int64_t points) {
  if (points <= few_points) return 0;
  constexpr std::int64_t step = sample_warps * least_steps * Queue::step;
  return lesser((points + step - 1) / step, std::int64_t{most_sampling});
}

template <int parts>
void launch_few(const Scan& scan, cudaStream_t stream) {
  launch("sample_few", sample_few<parts>, {parts, Few<parts>::threads, parts, sizeof(Few<parts>)}, stream, scan);
}

}  // namespace

std::size_t sample_workspace(std::int64_t points) {
  return static_cast<std::size_t>(most_blocks(points) * (sample_warps + 1) + 1) * sizeof(uint128);
}

void sample(const Where& where, const float* gain, const float* correctness, std::int64_t points,
            const Equilibrium& equilibrium, const Solution* solution, std::uint64_t running, std::int64_t offset,
            std::int64_t* indices, std::int64_t capacity, void* workspace, Drawn* drawn) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  Scan scan{gain, correctness, points, equilibrium, solution, 0, running, offset, capacity, indices, nullptr, nullptr, drawn};
  const auto shared_among = [&](std::int64_t warps, std::int64_t step) {
    scan.stretch = (points + warps * step - 1) / (warps * step) * step;
  };
  if (points <= few_points) {
    const bool clusters = attribute(cudaDevAttrComputeCapabilityMajor, where.device) >= 9;
    shared_among(clusters ? Few<most_parts>::all_warps : Few<1>::all_warps, SmallQueue::step);
    if (clusters)
      launch_few<most_parts>(scan, stream);
    else
      launch_few<1>(scan, stream);
    return;
  }
  const std::int64_t blocks = lesser(most_blocks(points), std::int64_t{multiprocessors(where.device)} * sample_resident);
  shared_among(blocks * sample_warps, Queue::step);
  scan.sums = static_cast<uint128*>(workspace);
  scan.block_sums = scan.sums + blocks * sample_warps;
  launch("add_stretches", add_stretches, {blocks, sample_threads}, stream, scan);
  launch("take_indices", take_indices, {blocks, sample_threads}, stream, scan);
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
