// The scoring stage: margin, confidence, label of every row and, fused, gain and correctness. kernels/reference/score.py.
//
// Bytes per point: C elements read once; written, 12 (gain, correctness, label; or margin, confidence, label, and 4 more for
// a given label's probability). With student logits the two matrices are read in two launches, the first of which leaves
// margin, confidence and label in the outputs, for 12 bytes read and 12 written more. The floor is the logits' bytes over
// the memory's bandwidth. An element takes some 10 instructions: an H200 can issue 31 in the time of reading a float32, and 15
// in that of a 16-bit number (132 x 128 x 1.98 GHz against 4.35 TB/s).
//
// Four ways through a row, by its length in chunks of 16 bytes alone (row.hpp, width_of):
//   thread   up to 256 bytes: many rows are copied to shared memory at once, each thread has one (score_tile.cuh).
//   warp     up to 8 KiB: 4, 8, 16 or 32 lanes a row, all of it in their registers (score_warp.cuh).
//   block    a block a row, of few threads up to 32 KiB, in one pass with a running maximum (score_block.cuh).
//   cluster  the same with 8 blocks a row (compute capability 9.0), where there are too few rows to keep the memory busy.
// A row's result depends on nothing else: not on its neighbours, its place in memory, or how many rows there are.
//
// Instructions an element, and what they come to on a GPU: python -m benchmarks.gpu.counted, and benchmarks/FACTS.md.

#include "launch.cuh"
#include "score_block.cuh"
#include "score_look.cuh"
#include "score_tile.cuh"
#include "score_warp.cuh"

namespace rad_fast {
namespace cuda {
namespace {

// ------------------------------------------------------------------------------------------------------------ launches

constexpr int tile_bytes = 20 << 10;  // of rows that a block copies at once: 10 blocks, of 1,280 threads, have up to 200 KiB in flight

Tile tile_of(const Task& task, std::int64_t bytes) {
  const auto row_bytes = static_cast<int>(task.classes * bytes);
  const bool together = task.column_bytes == bytes && task.row_bytes == row_bytes;
  const bool aligned = together && row_bytes % 16 == 0 && reinterpret_cast<std::uintptr_t>(task.data) % 16 == 0;
  Tile tile{together ? Tiling::flat : Tiling::gathered, tile_threads, row_bytes};
  if (aligned && row_bytes % 32 == 0) tile = {Tiling::apart, tile_threads, row_bytes + 16};
  tile.rows *= static_cast<int>(greater(1, lesser(8, tile_bytes / (tile_threads * tile.pitch))));
  return tile;
}

template <class T, int group, int chunks>
void launch_warps(const Where& where, const Task& task) {
  constexpr std::int64_t block_rows = warp_threads / group;
  const Shape shape{(task.rows + block_rows - 1) / block_rows, warp_threads, 1, 0, task.early};
  launch("score_warp", task.aligned ? score_warp<T, group, chunks, true> : score_warp<T, group, chunks, false>, shape,
         static_cast<cudaStream_t>(where.stream), task);
}

template <class T>
void launch_rows(const Where& where, const Task& task, std::int64_t chunks) {
  const auto stream = static_cast<cudaStream_t>(where.stream);
  bool clusters = false;
  std::int64_t blocks = 0;  // that keep the memory busy
  if (chunks >= long_chunks) {
    clusters = attribute(cudaDevAttrComputeCapabilityMajor, where.device) >= 9;
    blocks = std::int64_t{multiprocessors(where.device)} * (512 / block_threads);
  }
  const auto held = [&](int lanes) { return (chunks + lanes - 1) / lanes; };  // by a lane
  switch (width_of(chunks, task.rows, blocks, clusters)) {
    case Width::thread: {
      const Tile tile = tile_of(task, sizeof(T));
      const std::size_t bytes = static_cast<std::size_t>(tile.rows) * static_cast<std::size_t>(tile.pitch) + 16;
      const Shape shape{(task.rows + tile.rows - 1) / tile.rows, tile_threads, 1, bytes, task.early};
      return launch("score_tile", score_tile<T>, shape, stream, task, tile);
    }
    case Width::lanes_4: return held(4) <= 6 ? launch_warps<T, 4, 6>(where, task) : launch_warps<T, 4, 8>(where, task);
    case Width::lanes_8: return held(8) <= 6 ? launch_warps<T, 8, 6>(where, task) : launch_warps<T, 8, 8>(where, task);
    case Width::lanes_16: return held(16) <= 6 ? launch_warps<T, 16, 6>(where, task) : launch_warps<T, 16, 8>(where, task);
    case Width::warp:
      if (held(32) <= 6) return launch_warps<T, 32, 6>(where, task);
      if (held(32) <= 8) return launch_warps<T, 32, 8>(where, task);
      if (held(32) <= 12) return launch_warps<T, 32, 12>(where, task);
      return launch_warps<T, 32, 16>(where, task);
    case Width::block: {
      const bool few = chunks <= short_chunks;
      const Shape shape{task.rows, few ? short_threads : block_threads, 1, 0, task.early};
      return launch("score_block", few ? score_block<T, short_threads> : score_block<T, block_threads>, shape, stream, task);
    }
    case Width::cluster: {
      const Shape shape{task.rows * long_parts, block_threads, long_parts, 0, task.early};
      return launch("score_cluster", score_cluster<T>, shape, stream, task);
    }
  }
}

Task task_of(const Logits& logits, std::int64_t rows) {
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
  task.chunks = static_cast<int>(chunks_of(logits.classes, bytes));
  task.rest = static_cast<int>(logits.classes % (16 / bytes));
  task.aligned = task.column_bytes == bytes && task.rest == 0 && task.row_bytes % 16 == 0 &&
                 reinterpret_cast<std::uintptr_t>(task.data) % 16 == 0;
  return task;
}

void launch_pass(const Where& where, const Logits& logits, std::int64_t rows, const std::int32_t* given, const Outputs& out,
                 bool early = false) {
  Task task = task_of(logits, rows);
  task.given = given;
  task.early = early;
  task.out = out;
  task.out.plain = is_plain(out);
  const std::int64_t chunks = task.chunks;
  switch (logits.dtype) {
    case DType::float64: return launch_rows<double>(where, task, chunks);
    case DType::float32: return launch_rows<float>(where, task, chunks);
    case DType::float16: return launch_rows<Float16>(where, task, chunks);
    case DType::bfloat16: return launch_rows<BFloat16>(where, task, chunks);
  }
}

template <class T>
void launch_look(const Where& where, const Matrix& z, const std::uint8_t* exclude, int look, double off, Looked* looked,
                 const Cleared& cleared) {
  const auto launched = [&](void (*kernel)(Matrix, const std::uint8_t*, double, Looked*, Cleared), int threads) {
    launch("look_at_rows", kernel, {lesser(std::int64_t{look}, z.rows), threads}, static_cast<cudaStream_t>(where.stream), z,
           exclude, off, looked, cleared);
  };
  if (z.chunks <= 4 * look_threads) return launched(look_at_rows<T, look_threads>, look_threads);
  launched(look_at_rows<T, long_look_threads>, long_look_threads);
}

void launch_look(const Where& where, const Logits& logits, std::int64_t rows, const std::uint8_t* exclude, int look, double off,
                 Looked* looked, const Cleared& cleared) {
  const Matrix z = task_of(logits, rows);
  switch (logits.dtype) {
    case DType::float64: return launch_look<double>(where, z, exclude, look, off, looked, cleared);
    case DType::float32: return launch_look<float>(where, z, exclude, look, off, looked, cleared);
    case DType::float16: return launch_look<Float16>(where, z, exclude, look, off, looked, cleared);
    case DType::bfloat16: return launch_look<BFloat16>(where, z, exclude, look, off, looked, cleared);
  }
}

void fill_with_zeros(const Where& where, Findings* findings, std::int64_t behind) {
  const std::size_t bytes = sizeof *findings + static_cast<std::size_t>(behind) * sizeof(Counter);
  RAD_FAST_CHECK(cudaMemsetAsync(findings, 0, bytes, static_cast<cudaStream_t>(where.stream)));
}

}  // namespace

void score(const Where& where, const Logits& logits, std::int64_t rows, std::int64_t first_row, const std::int32_t* given,
           float* margin, float* confidence, std::int32_t* label, float* probability, Findings* findings) {
  const DeviceGuard guard(where.device);
  fill_with_zeros(where, findings, 0);
  if (rows == 0) return;
  launch_pass(
      where, logits, rows, given,
      {Pass::scores, margin, confidence, label, probability, nullptr, false, nullptr, Rule{}, &findings->teacher, findings,
       first_row, false});
}

void appraise(const Where& where, const Logits& teacher, const Logits& student, std::int64_t rows, std::int64_t first_row,
              const Rule& rule, const std::uint8_t* exclude, float* gain, float* correctness, std::int32_t* label,
              std::uint8_t* other, Findings* findings, bool add, std::int64_t behind, int look,
              double off) {
  const DeviceGuard guard(where.device);
  const bool looks = look > 0 && rows > 0;  // the first look clears what the scores are counted in: a launch less
  if (!add && !looks) fill_with_zeros(where, findings, behind);
  if (rows == 0) return;
  const bool both = student.data != nullptr, early = looks && runs_early(where.device);
  Outputs out{both ? Pass::scores : Pass::points,
              gain,
              correctness,
              label,
              nullptr,
              both ? nullptr : other,
              false,
              exclude,
              rule,
              &findings->teacher,
              findings,
              first_row,
              false};
  if (looks) launch_look(where, teacher, rows, exclude, look, off, &findings->teacher_rows, {add ? nullptr : findings, behind});
  launch_pass(where, teacher, rows, nullptr, out, early);
  if (!both) return;
  if (looks) launch_look(where, student, rows, exclude, look, off, &findings->student_rows, {nullptr, 0});
  out.pass = Pass::student;
  out.wrong = &findings->student;
  out.other = other;
  out.alike = student.classes == teacher.classes;
  launch_pass(where, student, rows, label, out, early);
}

}  // namespace cuda
}  // namespace rad_fast
