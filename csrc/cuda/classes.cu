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

#include "class_pass.cuh"
#include "class_search.cuh"
#include "launch.cuh"
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

// --------------------------------------------------------------------------------------------------------------- launches

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
  s.stride = greater(std::int64_t{8}, few ? least / few_sample : 4 * least / wanted_sample);
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
    launch("estimate_classes", few ? estimate_few<false> : estimate_classes,
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
    const std::size_t room = sizeof(FewScratch) + shared * few_pass_warps + 1024;  // as a block takes it
    const auto beside = static_cast<int>(lesser(std::size_t{few_pass_resident}, processor_shared / room));
    launch("reduce_few", reduce_few, {passes(few_pass_warps, beside), few_pass_threads, 1, shared * few_pass_warps}, stream, s);
  } else if (large_count > 0) {
    launch("reduce_classes", reduce_classes, {passes(pass_warps, pass_resident), pass_threads}, stream, s);
  } else if (points.points > direct_points && played.games <= grouped_locally) {
    const std::int64_t blocks = resident((points.points + 4 * group_threads - 1) / (4 * group_threads), where.device, 2);
    launch("group_locally", group_locally, {blocks, group_threads, 1, bytes(played.games, sizeof(unsigned))}, stream, s);
  } else {
    launch("group_classes", group_classes, {passes(pass_warps, pass_resident), pass_threads}, stream, s);
  }
  if (large_count > 0) {
    launch("estimate_few", estimate_few<true>, {large_count * corners, few_threads}, stream, s);
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
    launch("finish_classes", finish_classes<256, false>, {played.games, 256}, stream, s);
}

}  // namespace cuda
}  // namespace rad_fast
