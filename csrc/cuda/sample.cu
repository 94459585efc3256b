// Systematic sampling: exactly the indices of kernels/reference/sample.py, from sums in units of 2^-62.
//
// Bytes per point: 8 read for the sums of stretches of points, and 8 again in those stretches in which an index is taken:
// 8 to 16, and 8 written an index. The floor is 8 over the memory's bandwidth. Three launches; one for few points.
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

constexpr int sample_threads = 512;
constexpr int sample_warps = sample_threads / warp_lanes;
constexpr int thread_points = 8;
constexpr std::int64_t tile_points = sample_threads * thread_points;
constexpr std::int64_t most_stretches = 1 << 15;         // their sums are scanned by one block
constexpr std::int64_t direct_points = 4 * tile_points;  // by one block, in one launch

struct Scan {
  const float *gain, *correctness;
  std::int64_t points;
  Equilibrium equilibrium;
  const Solution* solution;  // where not null, what counts
  std::int64_t stretch;      // points of each
  std::uint64_t running;
  std::int64_t offset, capacity;
  std::int64_t* indices;
  uint128* starts;  // of every stretch, and the end of the last; null: there is one stretch
  Drawn* drawn;
};

__device__ __forceinline__ Rates rates_of(const Scan& scan) {
  if (scan.solution == nullptr) return rates_of(scan.equilibrium);
  return rates_of(scan.solution->equilibrium);
}

// The units of a thread's points from `first` on, in index order.
__device__ __forceinline__ void load_units(const Scan& scan, const Rates& rates, std::int64_t first, std::int64_t end,
                                           bool aligned, std::uint64_t* units) {
  float g[thread_points], c[thread_points];
#pragma unroll
  for (int q = 0; q < thread_points; q += 4) {
    load_quad(scan.gain, first + q, end, aligned, left_out(), g + q);
    load_quad(scan.correctness, first + q, end, aligned, 0.0f, c + q);
  }
#pragma unroll
  for (int i = 0; i < thread_points; ++i) units[i] = units_of(point_of(g[i], c[i]), rates);
}

__global__ void __launch_bounds__(sample_threads) add_stretches(const Scan scan) {
  __shared__ uint128 scratch[sample_warps];
  const Rates rates = rates_of(scan);
  const bool aligned = is_aligned(scan.gain) && is_aligned(scan.correctness);
  const std::int64_t begin = scan.stretch * blockIdx.x, end = lesser(scan.points, begin + scan.stretch);
  uint128 sum = 0;
  for (std::int64_t tile = begin; tile < end; tile += tile_points) {
    std::uint64_t units[thread_points];
    load_units(scan, rates, tile + static_cast<int>(threadIdx.x) * thread_points, end, aligned, units);
#pragma unroll
    for (int i = 0; i < thread_points; ++i) sum += units[i];
  }
  sum = block_sum<sample_threads>(sum, scratch);
  if (threadIdx.x == 0) scan.starts[blockIdx.x] = sum;
}

__device__ __forceinline__ void write_drawn(const Scan& scan, uint128 end) {
  const std::uint64_t before = passed(scan.running);
  *scan.drawn = {static_cast<std::uint64_t>(end), static_cast<std::int64_t>(passed(end) - before)};
}

// Sums of stretches become the running sums before them.
__global__ void __launch_bounds__(sample_threads) scan_stretches(const Scan scan, std::int64_t stretches) {
  __shared__ uint128 scratch[2][sample_warps];
  uint128 running = scan.running;
  int turn = 0;
  for (std::int64_t first = 0; first < stretches; first += sample_threads, turn ^= 1) {
    const std::int64_t i = first + threadIdx.x;
    const uint128 own = i < stretches ? scan.starts[i] : 0;
    uint128 total;
    const uint128 before = running + block_scan<sample_threads>(own, scratch[turn], total);
    if (i < stretches) scan.starts[i] = before;
    running += total;
  }
  if (threadIdx.x != 0) return;
  scan.starts[stretches] = running;
  write_drawn(scan, running);
}

__global__ void __launch_bounds__(sample_threads) take_indices(const Scan scan) {
  __shared__ uint128 scratch[2][sample_warps];
  uint128 running = scan.starts == nullptr ? scan.running : scan.starts[blockIdx.x];
  if (scan.starts != nullptr && passed(running) == passed(scan.starts[blockIdx.x + 1])) return;
  const std::uint64_t first_passed = passed(scan.running);
  const Rates rates = rates_of(scan);
  const bool aligned = is_aligned(scan.gain) && is_aligned(scan.correctness);
  const std::int64_t begin = scan.stretch * blockIdx.x, end = lesser(scan.points, begin + scan.stretch);
  int turn = 0;
  for (std::int64_t tile = begin; tile < end; tile += tile_points, turn ^= 1) {
    const std::int64_t first = tile + static_cast<int>(threadIdx.x) * thread_points;
    std::uint64_t units[thread_points];
    load_units(scan, rates, first, end, aligned, units);
    uint128 own = 0;
#pragma unroll
    for (int i = 0; i < thread_points; ++i) own += units[i];
    uint128 total;
    uint128 at = running + block_scan<sample_threads>(own, scratch[turn], total);
    running += total;
    if (scan.indices == nullptr) continue;
#pragma unroll
    for (int i = 0; i < thread_points; ++i) {
      const std::uint64_t before = passed(at);
      at += units[i];
      if (passed(at) == before) continue;
      const auto to = static_cast<std::int64_t>(before - first_passed);
      if (to < scan.capacity) scan.indices[to] = scan.offset + first + i;
    }
  }
  if (scan.starts == nullptr && threadIdx.x == 0) write_drawn(scan, running);
}

__global__ void __launch_bounds__(256) write_probabilities(const float* gain, const float* correctness, std::int64_t points,
                                                           const Equilibrium equilibrium, double* out) {
  const Rates rates = rates_of(equilibrium);
  const std::int64_t step = std::int64_t{256} * gridDim.x;
  for (std::int64_t i = std::int64_t{256} * blockIdx.x + threadIdx.x; i < points; i += step)
    out[i] = probability_of(point_of(gain[i], correctness[i]), rates);
}

std::int64_t stretch_of(std::int64_t points) {
  const std::int64_t tiles = (points + tile_points - 1) / tile_points;
  return (tiles + most_stretches - 1) / most_stretches * tile_points;
}

std::int64_t stretches_of(std::int64_t points) {
  return points <= direct_points ? 0 : (points + stretch_of(points) - 1) / stretch_of(points);
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
            stretches == 0 ? direct_points : stretch_of(points),
            running,
            offset,
            capacity,
            indices,
            stretches == 0 ? nullptr : static_cast<uint128*>(workspace),
            drawn};
  if (stretches == 0) {
    launch("take_indices", take_indices, {1, sample_threads}, stream, scan);
    return;
  }
  launch("add_stretches", add_stretches, {stretches, sample_threads}, stream, scan);
  launch("scan_stretches", scan_stretches, {1, sample_threads}, stream, scan, stretches);
  if (indices != nullptr) launch("take_indices", take_indices, {stretches, sample_threads}, stream, scan);
}

void probabilities(const Where& where, const float* gain, const float* correctness, std::int64_t points,
                   const Equilibrium& equilibrium, double* out) {
  const DeviceGuard guard(where.device);
  if (points == 0) return;
  const std::int64_t blocks = lesser((points + 255) / 256, std::int64_t{multiprocessors(where.device)} * 8);
  launch("write_probabilities", write_probabilities, {blocks, 256}, static_cast<cudaStream_t>(where.stream), gain, correctness,
         points, equilibrium, out);
}

// ---------------------------------------------------------------------------------------------------------- device, memory

int device_count() {
  int count = 0;
  RAD_FAST_CHECK(cudaGetDeviceCount(&count));
  return count;
}

DeviceInfo device_info(int device) {
  cudaDeviceProp properties{};
  RAD_FAST_CHECK(cudaGetDeviceProperties(&properties, device));
  DeviceInfo info{};
  static_assert(sizeof info.name == sizeof properties.name, "as the runtime's");
  std::memcpy(info.name, properties.name, sizeof info.name);
  info.major = properties.major;
  info.minor = properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.memory = properties.totalGlobalMem;
  return info;
}

int device_of(const void* memory) {
  cudaPointerAttributes attributes{};
  RAD_FAST_CHECK(cudaPointerGetAttributes(&attributes, memory));
  return attributes.device;
}

void follow(const Where& where, void* before) {
  const DeviceGuard guard(where.device);
  cudaEvent_t event{};
  RAD_FAST_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  const cudaError_t recorded = cudaEventRecord(event, static_cast<cudaStream_t>(before));
  const cudaError_t waited = cudaStreamWaitEvent(static_cast<cudaStream_t>(where.stream), event, 0);
  (void)cudaEventDestroy(event);  // released once the streams are past it
  check(recorded, "cudaEventRecord");
  check(waited, "cudaStreamWaitEvent");
}

void* allocate(const Where& where, std::size_t bytes) {
  const DeviceGuard guard(where.device);
  void* memory = nullptr;
  RAD_FAST_CHECK(cudaMallocAsync(&memory, bytes, static_cast<cudaStream_t>(where.stream)));
  return memory;
}

void release(const Where& where, void* memory) {
  const DeviceGuard guard(where.device);
  RAD_FAST_CHECK(cudaFreeAsync(memory, static_cast<cudaStream_t>(where.stream)));
}

// From pageable memory the runtime copies to its own before it returns: the caller may drop `from` at once.
void copy_in(const Where& where, void* to, const void* from, std::size_t bytes) {
  const DeviceGuard guard(where.device);
  RAD_FAST_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(where.stream)));
}

void copy_out(const Where& where, void* to, const void* from, std::size_t bytes) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  RAD_FAST_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream));
  RAD_FAST_CHECK(cudaStreamSynchronize(stream));
}

}  // namespace cuda
}  // namespace rad_fast
