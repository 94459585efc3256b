// The scoring stage: margin, confidence, label of every row and, fused, gain and correctness. kernels/reference/score.py.
//
// Bytes per point: C elements read once; written, 12 (gain, correctness, label; or margin, confidence, label, and 4 more for
// a given label's probability). With student logits the two matrices are read in two launches, the first of which leaves
// margin, confidence and label in the outputs, for 12 bytes read and 12 written more. The floor is the logits' bytes over
// the memory's bandwidth. An element takes some 20 operations, 14 of them the exponential: under the 31 float32 operations
// that an H200 can do in the time of reading a float32 (132 x 128 x 1.98 GHz against 4.3 TB/s), over the 16 for a 16-bit one.
//
// Four ways through a row, by its length in chunks of 16 bytes alone (row.hpp, width_of):
//   lanes    1 to 16 lanes a row, 4 chunks each in registers: one read, then maxima, then exponentials.
//   warp     a warp a row, 4 or 8 chunks a lane in registers.
//   block    a block a row, in one pass with a running maximum: a thread's sum is rescaled when its maximum rises.
//   cluster  the same with 8 blocks a row (compute capability 9.0), where there are fewer rows than the device has room for.
// A row's result depends on nothing else: not on its neighbours, its place in memory, or how many rows there are.

#include "chunk.cuh"
#include "collective.cuh"
#include "kernels.hpp"
#include "launch.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#include <cooperative_groups.h>
#endif

namespace rad_fast {
namespace cuda {
namespace {

// ------------------------------------------------------------------------------------------------------ what is written

enum class Pass : int { scores, points, student };

struct Outputs {
  Pass pass;
  float *margin, *confidence;  // `points` and `student`: gain and correctness
  std::int32_t* label;
  float* probability;           // of `given`; may be null
  const std::uint8_t* exclude;  // may be null
  Rule rule;
  Wrong *wrong, *wrong_given;
  std::int64_t first_row;  // the number that these count row 0 by
};

__device__ __forceinline__ void note(Wrong* wrong, std::int64_t row) {
  atomicAdd(&wrong->count, Counter{1});
  atomicMax(&wrong->first, ~static_cast<Counter>(row));
}

__device__ __forceinline__ void write(const Outputs& out, std::int64_t row, const Row& found) {
  const RowScores scores = finished(found);
  const bool excluded = out.exclude != nullptr && out.exclude[row] != 0;
  if (scores.label < 0 && !excluded) note(out.wrong, out.first_row + row);
  if (out.pass == Pass::scores) {
    out.margin[row] = scores.margin;
    out.confidence[row] = scores.confidence;
    out.label[row] = scores.label;
    if (out.probability != nullptr) out.probability[row] = scores.given_probability;
    return;
  }
  const bool student = out.pass == Pass::student;
  const float margin = student ? out.margin[row] : scores.margin;
  const float confidence = student ? out.confidence[row] : scores.confidence;
  const std::int32_t label = student ? out.label[row] : scores.label;
  float c = correctness_of(out.rule, row, margin, confidence, scores.margin, scores.given_probability);
  float gain = gain_of(scores.margin);
  const float nan = bits_as<float>(std::uint32_t{0x7fffffffu});
  if (scores.label < 0 || label < 0) {
    gain = c = nan;
    out.label[row] = -1;
  } else {
    out.label[row] = label;
    if (out.rule.kind == Kind::given && !(c >= 0.0f && c <= 1.0f)) {
      gain = nan;  // the game's integers rest on numbers in [0, 1]
      if (!excluded) note(out.wrong_given, out.first_row + row);
    }
  }
  out.margin[row] = excluded ? nan : gain;
  out.confidence[row] = c;
}

// ------------------------------------------------------------------------------------------------------- what is read

struct Task : Matrix {
  const std::int32_t* given;  // may be null
  Outputs out;
};

template <class T>
__device__ __forceinline__ float given_difference(const Task& task, std::int64_t row, typename Compared<T>::type top) {
  if (task.given == nullptr) return -infinity();
  const std::int64_t label = task.given[row];
  if (label < 0 || label >= task.classes) return -infinity();
  const char* at = task.data + row * task.row_bytes + label * task.column_bytes;
  return static_cast<float>(widened(*reinterpret_cast<const T*>(at)) - top);
}

// exp(x - top) of a chunk's elements, summed as a tree.
template <class T>
__device__ __forceinline__ float chunk_sum(const Chunk<T>& chunk, typename Compared<T>::type top) {
  constexpr int elements = Chunk<T>::elements;
  float e[elements];
#pragma unroll
  for (int i = 0; i < elements; ++i) e[i] = exp_difference(chunk[i], top);
#pragma unroll
  for (int half = elements / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) e[i] += e[i + half];
  }
  return e[0];
}

template <class V>
__device__ __forceinline__ TopTwo<V> group_top(TopTwo<V> top, int group) {
#pragma unroll
  for (int mask = group / 2; mask > 0; mask /= 2)
    top = merged(top, TopTwo<V>{from_xor(top.first, mask, group), from_xor(top.second, mask, group)});
  return top;
}

template <class T>
__device__ __forceinline__ T group_sum(T value, int group) {
#pragma unroll
  for (int mask = group / 2; mask > 0; mask /= 2) value += from_xor(value, mask, group);
  return value;
}

__device__ __forceinline__ std::int32_t group_least(std::int32_t value, int group) {
#pragma unroll
  for (int mask = group / 2; mask > 0; mask /= 2) value = lesser(value, from_xor(value, mask, group));
  return value;
}

// ------------------------------------------------------------------------------------------- rows held in registers

// Blocks to have room for at once: 64 registers a thread (128 with 8 chunks), and 64 KiB of loads in flight either way.
template <class T, int group, int chunks>
__global__ void __launch_bounds__(block_threads, 16 / chunks) score_short(const __grid_constant__ Task task) {
  typedef typename Compared<T>::type V;
  constexpr int elements = Chunk<T>::elements;
  constexpr int block_rows = block_threads / group;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const std::int64_t step = std::int64_t{block_rows} * gridDim.x;
  // All lanes stay in the loop for the shuffles; those past the last row read the last row and write nothing.
  for (std::int64_t first = std::int64_t{block_rows} * blockIdx.x; first < task.rows; first += step) {
    const std::int64_t mine = first + static_cast<int>(threadIdx.x) / group;
    const std::int64_t row = lesser(mine, task.rows - 1);
    const char* at = task.data + row * task.row_bytes;
    Chunk<T> chunk[chunks];
#pragma unroll
    for (int k = 0; k < chunks; ++k) chunk[k] = chunk_of<T>(task, at, lane + k * group);

    TopTwo<V> own = no_top<V>();
#pragma unroll
    for (int k = 0; k < chunks; ++k)
#pragma unroll
      for (int i = 0; i < elements; ++i) include(own, chunk[k][i]);
    const TopTwo<V> top = group_top(own, group);

    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < chunks; ++k) sum += chunk_sum(chunk[k], top.first);
    sum = group_sum(sum, group);

    std::int32_t label = no_label;
    if (own.first == top.first) {
#pragma unroll
      for (int k = chunks - 1; k >= 0; --k)
#pragma unroll
        for (int i = elements - 1; i >= 0; --i)
          if (chunk[k][i] == top.first) label = (lane + k * group) * elements + i;
    }
    label = group_least(label, group);
    if (lane == 0 && mine < task.rows) {
      const Row found{sum, static_cast<float>(top.second - top.first), given_difference<T>(task, row, top.first), label};
      write(task.out, row, found);
    }
  }
}

// ------------------------------------------------------------------------------------------------- rows read in a stream

// What has been seen of a row. Sums are relative to `reference`: the maximum, but finite while only -inf has been seen.
template <class V>
struct Seen {
  TopTwo<V> top;
  V reference;
  float sum;
  std::int32_t label;
};

template <class V>
__device__ __forceinline__ V lowest();
template <>
__device__ __forceinline__ float lowest<float>() {
  return bits_as<float>(std::uint32_t{0xff7fffffu});
}
template <>
__device__ __forceinline__ double lowest<double>() {
  return bits_as<double>(std::uint64_t{0xffefffffffffffffu});
}

template <class V>
__device__ __forceinline__ Seen<V> nothing_seen() {
  return {no_top<V>(), lowest<V>(), 0.0f, no_label};
}

// Takes in some chunks of one thread; `position` is that of the first one's first element, the others follow `apart`
// elements after one another.
template <class T, int chunks>
__device__ __forceinline__ void absorb(Seen<typename Compared<T>::type>& seen, const Chunk<T>* chunk, std::int64_t position,
                                       int apart) {
  typedef typename Compared<T>::type V;
  constexpr int elements = Chunk<T>::elements;
  TopTwo<V> top = no_top<V>();
#pragma unroll
  for (int k = 0; k < chunks; ++k)
#pragma unroll
    for (int i = 0; i < elements; ++i) include(top, chunk[k][i]);
  if (top.first > seen.top.first) {
    const V reference = maximum(top.first, lowest<V>());
    seen.sum *= exp_difference(seen.reference, reference);
    seen.reference = reference;
#pragma unroll
    for (int k = chunks - 1; k >= 0; --k)
#pragma unroll
      for (int i = elements - 1; i >= 0; --i)
        if (chunk[k][i] == top.first) seen.label = static_cast<std::int32_t>(position + k * apart + i);
  }
  seen.top = merged(seen.top, top);
#pragma unroll
  for (int k = 0; k < chunks; ++k) seen.sum += chunk_sum(chunk[k], seen.reference);
}

// What a part of a row comes to; `other` has been read after `seen`.
template <class V>
__device__ __forceinline__ void join(Seen<V>& seen, const Seen<V>& other) {
  const V reference = maximum(seen.reference, other.reference);
  seen.sum = seen.sum * exp_difference(seen.reference, reference) + other.sum * exp_difference(other.reference, reference);
  if (other.top.first > seen.top.first) seen.label = other.label;
  seen.top = merged(seen.top, other.top);
  seen.reference = reference;
}

template <class V>
struct BlockScratch {
  TopTwo<V> top[block_threads / warp_lanes];
  float sum[block_threads / warp_lanes];
  std::int32_t label[block_threads / warp_lanes];
};

// The block reads chunks first .. end - 1 of a row; what they come to is in thread 0.
template <class T>
__device__ __forceinline__ Seen<typename Compared<T>::type> read_part(const Task& task, const char* row, std::int64_t first,
                                                                      std::int64_t end,
                                                                      BlockScratch<typename Compared<T>::type>& scratch) {
  typedef typename Compared<T>::type V;
  constexpr int chunks = lane_chunks, warps = block_threads / warp_lanes;
  Seen<V> seen = nothing_seen<V>();
  for (std::int64_t j = first + threadIdx.x; j < end; j += chunks * block_threads) {
    Chunk<T> chunk[chunks];
#pragma unroll
    for (int k = 0; k < chunks; ++k) {
      // Past the part's end: a chunk past the row's, which is all -inf.
      const std::int64_t at = j + k * block_threads;
      chunk[k] = chunk_of<T>(task, row, at < end ? at : chunks_of(task.classes, sizeof(T)));
    }
    absorb<T, chunks>(seen, chunk, j * Chunk<T>::elements, block_threads * Chunk<T>::elements);
  }
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
  TopTwo<V> top = group_top(seen.top, warp_lanes);
  __syncthreads();  // scratch may still be read from the part before
  if (lane == 0) scratch.top[warp] = top;
  __syncthreads();
  top = scratch.top[0];
#pragma unroll
  for (int w = 1; w < warps; ++w) top = merged(top, scratch.top[w]);
  const V reference = maximum(top.first, lowest<V>());
  const float sum = group_sum(seen.sum * exp_difference(seen.reference, reference), warp_lanes);
  const std::int32_t label = group_least(seen.top.first == top.first ? seen.label : no_label, warp_lanes);
  if (lane == 0) {
    scratch.sum[warp] = sum;
    scratch.label[warp] = label;
  }
  __syncthreads();
  Seen<V> all{top, reference, 0.0f, no_label};
#pragma unroll
  for (int w = 0; w < warps; ++w) {
    all.sum += scratch.sum[w];
    all.label = lesser(all.label, scratch.label[w]);
  }
  return all;
}

template <class T>
__device__ __forceinline__ void write_seen(const Task& task, std::int64_t row, const Seen<typename Compared<T>::type>& seen) {
  typedef typename Compared<T>::type V;
  const V top = seen.top.first;
  const float sum = top == minus_infinity<V>() ? bits_as<float>(std::uint32_t{0x7fffffffu}) : seen.sum;
  write(task.out, row, Row{sum, static_cast<float>(seen.top.second - top), given_difference<T>(task, row, top), seen.label});
}

struct Parts {
  std::int64_t count, chunks;  // of each, but the last

  __device__ __forceinline__ Parts(std::int64_t all) {
    count = all >= long_chunks ? long_parts : 1;
    chunks = (all + count - 1) / count;
  }
};

template <class T>
__global__ void __launch_bounds__(block_threads) score_block(const __grid_constant__ Task task) {
  typedef typename Compared<T>::type V;
  __shared__ BlockScratch<V> scratch;
  const std::int64_t all = chunks_of(task.classes, sizeof(T));
  const Parts parts(all);
  for (std::int64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    const char* at = task.data + row * task.row_bytes;
    Seen<V> seen = read_part<T>(task, at, 0, lesser(all, parts.chunks), scratch);
    for (std::int64_t part = 1; part < parts.count; ++part)
      join(seen, read_part<T>(task, at, part * parts.chunks, lesser(all, (part + 1) * parts.chunks), scratch));
    if (threadIdx.x == 0) write_seen<T>(task, row, seen);
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads) score_cluster([[maybe_unused]] const __grid_constant__ Task task) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  typedef typename Compared<T>::type V;
  __shared__ BlockScratch<V> scratch;
  __shared__ Seen<V> mine;
  const auto cluster = cooperative_groups::this_cluster();
  const std::int64_t all = chunks_of(task.classes, sizeof(T));
  const Parts parts(all);
  const int part = static_cast<int>(cluster.block_rank());
  for (std::int64_t row = blockIdx.x / long_parts; row < task.rows; row += gridDim.x / long_parts) {
    const char* at = task.data + row * task.row_bytes;
    const Seen<V> seen =
        read_part<T>(task, at, lesser(all, part * parts.chunks), lesser(all, (part + 1) * parts.chunks), scratch);
    if (threadIdx.x == 0) mine = seen;
    cluster.sync();
    if (part == 0 && threadIdx.x == 0) {
      Seen<V> joined = mine;
      for (int other = 1; other < long_parts; ++other) join(joined, *cluster.map_shared_rank(&mine, other));
      write_seen<T>(task, row, joined);
    }
    cluster.sync();  // `mine` is written again, or its block ends, after it has been read
  }
#endif
}

// ------------------------------------------------------------------------------------------------------------ launches

template <class T>
void launch_rows(const Where& where, const Task& task, std::int64_t chunks) {
  const auto stream = static_cast<cudaStream_t>(where.stream);
  constexpr std::int64_t most_blocks = 0x7fffffff;
  bool clusters = false;
  std::int64_t slots = 0;
  if (chunks >= long_chunks) {
    clusters = attribute(cudaDevAttrComputeCapabilityMajor, where.device) >= 9;
    slots = std::int64_t{multiprocessors(where.device)} * (2048 / block_threads);
  }
  const auto in_registers = [&](void (*kernel)(Task), int group) {
    const std::int64_t block_rows = block_threads / group;
    launch("score_short", kernel, {lesser(most_blocks, (task.rows + block_rows - 1) / block_rows), block_threads}, stream,
           task);
  };
  switch (width_of(chunks, task.rows, slots, clusters)) {
    case Width::lanes_1: return in_registers(score_short<T, 1, lane_chunks>, 1);
    case Width::lanes_2: return in_registers(score_short<T, 2, lane_chunks>, 2);
    case Width::lanes_4: return in_registers(score_short<T, 4, lane_chunks>, 4);
    case Width::lanes_8: return in_registers(score_short<T, 8, lane_chunks>, 8);
    case Width::lanes_16: return in_registers(score_short<T, 16, lane_chunks>, 16);
    case Width::warp: return in_registers(score_short<T, 32, lane_chunks>, 32);
    case Width::long_warp: return in_registers(score_short<T, 32, warp_chunks>, 32);
    case Width::block:
      return launch("score_block", score_block<T>, {lesser(most_blocks, task.rows), block_threads}, stream, task);
    case Width::cluster:
      return launch("score_cluster", score_cluster<T>, {task.rows * long_parts, block_threads, long_parts}, stream, task);
  }
}

void launch_pass(const Where& where, const Logits& logits, std::int64_t rows, const std::int32_t* given, const Outputs& out) {
  constexpr std::int64_t bytes_of[] = {8, 4, 2, 2};
  const std::int64_t bytes = bytes_of[static_cast<int>(logits.dtype)];
  Task task{};
  task.data = static_cast<const char*>(logits.data);
  task.rows = rows;
  task.classes = logits.classes;
  task.row_bytes = logits.row_stride * bytes;
  task.column_bytes = logits.column_stride * bytes;
  const std::int64_t last = (rows - 1) * task.row_bytes, end = (logits.classes - 1) * task.column_bytes;
  task.low = task.data + lesser(std::int64_t{0}, last) + lesser(std::int64_t{0}, end);
  task.high = task.data + greater(std::int64_t{0}, last) + greater(std::int64_t{0}, end) + bytes;
  task.given = given;
  task.out = out;
  const std::int64_t chunks = chunks_of(logits.classes, bytes);
  switch (logits.dtype) {
    case DType::float64: return launch_rows<double>(where, task, chunks);
    case DType::float32: return launch_rows<float>(where, task, chunks);
    case DType::float16: return launch_rows<Float16>(where, task, chunks);
    case DType::bfloat16: return launch_rows<BFloat16>(where, task, chunks);
  }
}

void clear(const Where& where, Findings* findings) {
  RAD_FAST_CHECK(cudaMemsetAsync(findings, 0, sizeof *findings, static_cast<cudaStream_t>(where.stream)));
}

}  // namespace

void score(const Where& where, const Logits& logits, std::int64_t rows, std::int64_t first_row, const std::int32_t* given,
           float* margin, float* confidence, std::int32_t* label, float* probability, Findings* findings) {
  const DeviceGuard guard(where.device);
  clear(where, findings);
  if (rows == 0) return;
  launch_pass(
      where, logits, rows, given,
      {Pass::scores, margin, confidence, label, probability, nullptr, Rule{}, &findings->teacher, &findings->given, first_row});
}

void appraise(const Where& where, const Logits& teacher, const Logits& student, std::int64_t rows, std::int64_t first_row,
              const Rule& rule, const std::uint8_t* exclude, float* gain, float* correctness, std::int32_t* label,
              Findings* findings, bool add) {
  const DeviceGuard guard(where.device);
  if (!add) clear(where, findings);
  if (rows == 0) return;
  const bool both = student.data != nullptr;
  Outputs out{both ? Pass::scores : Pass::points,
              gain,
              correctness,
              label,
              nullptr,
              exclude,
              rule,
              &findings->teacher,
              &findings->given,
              first_row};
  launch_pass(where, teacher, rows, nullptr, out);
  if (!both) return;
  out.pass = Pass::student;
  out.wrong = &findings->student;
  launch_pass(where, student, rows, label, out);
}

}  // namespace cuda
}  // namespace rad_fast
