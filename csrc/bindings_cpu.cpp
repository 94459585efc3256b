// rad_fast._cpu: the CPU kernels as functions on addresses.
//
// The Python layer (rad_fast/device/backends.py, inputs.py) checks arrays, keeps them alive and allocates outputs; what is refused
// here is what would otherwise read or write where nothing is. Work is cut into blocks of rows that threads take in turn; a
// row's result does not depend on the cut. The GIL is released while kernels run.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "appraise.hpp"
#include "arguments.hpp"
#include "constants.hpp"
#include "cpu/arrival.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/game.hpp"
#include "cpu/parallel.hpp"
#include "cpu/quotas.hpp"
#include "cpu/sample.hpp"
#include "cpu/score.hpp"
#include "cpu/solve.hpp"
#include "steps.hpp"

namespace py = pybind11;

namespace rad_fast {

void bind_arrival(py::module_& module);  // bindings_arrival.cpp
void bind_classes(py::module_& module);  // bindings_classes.cpp
void bind_one_pass(py::module_& module);  // bindings_one_pass.cpp

namespace {

// Blocks reach a thread in rising order, so the first invalid row a thread meets is its lowest.
Count score(std::uintptr_t logits_address, int dtype, std::int64_t rows, std::int64_t classes, std::int64_t row_stride,
            std::uintptr_t given, std::uintptr_t margin, std::uintptr_t confidence, std::uintptr_t label,
            std::uintptr_t given_probability, int threads) {
  const Logits logits = make_logits("logits", logits_address, dtype, rows, classes, row_stride);
  require_positive("threads", threads);
  require_address("margin", margin, rows);
  require_address("confidence", confidence, rows);
  require_address("label", label, rows);
  if ((given == 0) != (given_probability == 0)) {
    refuse("given and given_probability", "both or neither", "one of them");
  }
  const ScoreKernels& kernels = *level().score;
  const std::int64_t row_bytes = classes * element_bytes(logits.dtype);
  const std::int64_t block = block_of_rows(row_bytes, 4096);
  const std::int64_t blocks = (rows + block - 1) / block;
  threads = useful_threads(threads, blocks, rows * row_bytes);
  std::vector<Invalid> invalid(static_cast<std::size_t>(threads), Invalid{0, -1});
  {
    py::gil_scoped_release release;
    for_each_block(threads, blocks, [&](int thread, std::int64_t index) {
      const std::int64_t first = index * block;
      const Scores out{pointer<float>(margin) + first, pointer<float>(confidence) + first,
                       pointer<std::int32_t>(label) + first,
                       given_probability ? pointer<float>(given_probability) + first : nullptr, nullptr};
      kernels.score(logits, first, std::min(block, rows - first), given ? pointer<const std::int32_t>(given) + first : nullptr,
                    out, invalid[static_cast<std::size_t>(thread)]);
    });
  }
  return total(invalid);
}

std::pair<Count, Count> appraise(const py::tuple& teacher, const py::object& student, std::int64_t rows, int model,
                                 const py::tuple& parameters, std::uintptr_t given_correctness, std::uintptr_t gain,
                                 std::uintptr_t correctness, std::uintptr_t label, bool gain_of_label, std::uintptr_t other,
                                 int threads) {
  Buffers tables;
  const Appraisal task = appraisal_of(teacher, student, rows, model, parameters, given_correctness, gain, correctness, label,
                                      gain_of_label, other, tables);
  require_positive("threads", threads);
  require_address("gain", gain, rows);
  require_address("correctness", correctness, rows);
  require_address("label", label, rows);
  if (task.other && std::max(task.teacher.classes, task.student.classes) > 256)
    refuse("other", "0 with more than 256 classes", "an address");
  const auto [of_teacher, of_student] = appraise_all(task, rows, threads);
  return {total(of_teacher), total(of_student)};
}

double stream_sum(std::uintptr_t address, std::int64_t bytes, int threads) {
  require_positive("threads", threads);
  require_address("ptr", address, bytes);
  if (bytes < 0 || bytes % 4 != 0) refuse("bytes", "a multiple of 4, as of float32", std::to_string(bytes));
  const ScoreKernels& kernels = *level().score;
  constexpr std::int64_t block = 128 << 10;  // floats: 512 KiB, as in score
  const std::int64_t count = bytes / 4;
  const std::int64_t blocks = (count + block - 1) / block;
  threads = useful_threads(threads, blocks, bytes);
  std::vector<double> sums(static_cast<std::size_t>(threads), 0.0);
  {
    py::gil_scoped_release release;
    for_each_block(threads, blocks, [&](int thread, std::int64_t index) {
      const std::int64_t first = index * block;
      sums[static_cast<std::size_t>(thread)] +=
          kernels.stream_sum(pointer<const float>(address) + first, std::min(block, count - first));
    });
  }
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

// ------------------------------------------------------------------------------------------------- game and sample

using Floats = py::array_t<float>;

struct PointArrays {
  const float *gain, *correctness;
  std::int64_t count;
};

const float* points_of(const char* argument, const py::array& array) {
  if (!py::isinstance<Floats>(array) || array.ndim() != 1 || (array.size() > 1 && array.strides(0) != 4))
    refuse(argument, "a contiguous one-dimensional float32 array",
           py::str(array.dtype()).cast<std::string>() + " of " + std::to_string(array.ndim()) + " dimensions");
  return static_cast<const float*>(array.data());
}

PointArrays points_of(const py::array& gain, const py::array& correctness) {
  const PointArrays points{points_of("gain", gain), points_of("correctness", correctness), gain.size()};
  if (correctness.size() != points.count)
    refuse("correctness", std::to_string(points.count) + " numbers, as in gain", std::to_string(correctness.size()));
  if (points.count > std::int64_t{1} << 32) refuse("gain", "at most 2^32 points a call", std::to_string(points.count));
  return points;
}

py::int_ joined(std::int64_t high, std::int64_t low, int bits) {  // high 2^bits + low, which need not fit 64 bits
  return py::int_((py::int_(high) << py::int_(bits)) + py::int_(low));
}

py::tuple reduce(const py::array& gain, const py::array& correctness, const std::array<double, 4>& edges, int threads) {
  require_positive("threads", threads);
  const PointArrays points = points_of(gain, correctness);
  const Box box{edges[0], edges[1], edges[2], edges[3]};
  // Room for all, shrunk at the end: memory that is never written is never backed by the system.
  Floats undecided_gain(points.count), undecided_correctness(points.count);
  float *const out_gain = undecided_gain.mutable_data(), *const out_correctness = undecided_correctness.mutable_data();
  Sums sums{};
  std::int64_t count;
  {
    py::gil_scoped_release release;
    count = reduce_all(threads, points.gain, points.correctness, points.count, box, sums, out_gain, out_correctness);
  }
  undecided_gain.resize({count}, false);
  undecided_correctness.resize({count}, false);
  return py::make_tuple(
      py::make_tuple(sums.saturated, joined(sums.value_high, sums.value_low, 24), sums.full, sums.full_advantage,
                     sums.full_gain, sums.advantage, joined(sums.width_high, sums.width_low, 31)),
      undecided_gain, undecided_correctness);
}

using Solved = std::optional<std::tuple<double, double, double, double>>;

Solved solve(const std::vector<std::pair<py::array, py::array>>& pieces, double budget, double mistakes,
             const py::tuple& numbers, const py::array& random, int threads) {
  require_positive("threads", threads);
  const Steps steps = steps_of(numbers, random);
  std::vector<Chunk> chunks;
  std::int64_t points = 0;
  for (const auto& [gain, correctness] : pieces) {
    const PointArrays piece = points_of(gain, correctness);
    chunks.push_back({piece.gain, piece.correctness, piece.count});
    points += piece.count;
  }
  if (points > std::int64_t{1} << 32) refuse("points", "at most 2^32", std::to_string(points));
  if (!(budget > 0) || budget > static_cast<double>(points)) refuse("budget", "above 0, up to the points", std::to_string(budget));
  if (!(mistakes >= 0)) refuse("mistakes", "at least 0", std::to_string(mistakes));
  std::optional<Answer> answer;
  try {
    py::gil_scoped_release release;
    answer = Solver(steps, static_cast<const double*>(random.data()), Stakes(budget, mistakes, points), threads).solve(chunks);
  } catch (const std::domain_error&) {
    refuse("gain", "multiples of 2**-24 from 0 to 1", "others");
  }
  if (!answer) return {};
  return std::make_tuple(answer->price, answer->threshold, answer->share, answer->value);
}

Equilibrium equilibrium_of(const std::array<double, 3>& numbers) { return {numbers[0], numbers[1], numbers[2]}; }

py::array_t<double> probabilities(const py::array& gain, const py::array& correctness,
                                  const std::array<double, 3>& equilibrium, int threads) {
  require_positive("threads", threads);
  const PointArrays points = points_of(gain, correctness);
  py::array_t<double> q(points.count);
  double* const out = q.mutable_data();
  {
    py::gil_scoped_release release;
    probabilities_all(threads, points.gain, points.correctness, points.count, equilibrium_of(equilibrium), out);
  }
  return q;
}

std::uint64_t mass(const py::array& gain, const py::array& correctness, const std::array<double, 3>& equilibrium, int threads) {
  require_positive("threads", threads);
  const PointArrays points = points_of(gain, correctness);
  py::gil_scoped_release release;
  return mass_all(threads, points.gain, points.correctness, points.count, equilibrium_of(equilibrium));
}

py::tuple sample(const py::array& gain, const py::array& correctness, const std::array<double, 3>& numbers,
                 std::uint64_t running, int threads) {
  require_positive("threads", threads);
  const PointArrays points = points_of(gain, correctness);
  const Equilibrium equilibrium = equilibrium_of(numbers);
  py::array_t<std::int64_t> indices(points.count);  // shrunk at the end, as in reduce
  std::int64_t* const out = indices.mutable_data();
  Position end;
  {
    py::gil_scoped_release release;
    end = sample_all(threads, points.gain, points.correctness, points.count, equilibrium, running, out);
  }
  indices.resize({end.taken}, false);
  return py::make_tuple(indices, end.running);
}

py::dict constants_dict() {
  using namespace constants;
  py::dict all;
#define RAD_FAST_CONSTANT(name) all[#name] = name;
  RAD_FAST_CONSTANT(log2_e_double)
  RAD_FAST_CONSTANT(log2_e)
  RAD_FAST_CONSTANT(log2_e_low)
  RAD_FAST_CONSTANT(ln_2)
  RAD_FAST_CONSTANT(ln_2_high)
  RAD_FAST_CONSTANT(ln_2_low)
  RAD_FAST_CONSTANT(exp2_1)
  RAD_FAST_CONSTANT(exp2_2)
  RAD_FAST_CONSTANT(exp2_3)
  RAD_FAST_CONSTANT(exp2_4)
  RAD_FAST_CONSTANT(exp2_5)
  RAD_FAST_CONSTANT(exp2_6)
  RAD_FAST_CONSTANT(exp2_underflow)
  RAD_FAST_CONSTANT(log_3)
  RAD_FAST_CONSTANT(log_5)
  RAD_FAST_CONSTANT(log_7)
  RAD_FAST_CONSTANT(log_9)
  RAD_FAST_CONSTANT(sqrt_half)
  RAD_FAST_CONSTANT(logit_clip)
  RAD_FAST_CONSTANT(arrival_pull);
  RAD_FAST_CONSTANT(arrival_most_pull);
  RAD_FAST_CONSTANT(arrival_slack_alike);
#undef RAD_FAST_CONSTANT
  all["arrival_levels"] = arrival_levels;
  all["arrival_most_alike"] = arrival_most_alike;
  all["quota_bits"] = quota_bits;
  all["quota_part_bits"] = part_bits;
  all["quota_surely"] = surely;
  return all;
}

// ------------------------------------------------------------------------------------------------- registration, by stage

void bind_score(py::module_& module) {
  using namespace py::literals;
  module.def("score", &score, "logits_ptr"_a, "dtype"_a, "rows"_a, "classes"_a, "row_stride"_a, "given_ptr"_a, "margin_ptr"_a,
             "confidence_ptr"_a, "label_ptr"_a, "given_probability_ptr"_a, "threads"_a,
             "Margin, confidence, label (and the given label's probability) of every row.\n\n"
             "dtype: 0 float64, 1 float32, 2 float16, 3 bfloat16. row_stride: in elements. given_ptr (int32) and\n"
             "given_probability_ptr (float32) are both addresses or both 0. Invalid rows (NaN, +inf, nothing finite) get\n"
             "NaN and label -1. Returns (number of invalid rows, the first or -1).");
  module.def("appraise", &appraise, "teacher"_a, "student"_a, "rows"_a, "model"_a, "parameters"_a, "given_correctness_ptr"_a,
             "gain_ptr"_a, "correctness_ptr"_a, "label_ptr"_a, "gain_of_label"_a, "other_ptr"_a, "threads"_a,
             "Gain, correctness and the teacher's label of every point, in one pass.\n\n"
             "teacher, student: (address, dtype, classes, row_stride); student may be None. model and its parameters:\n"
             "0 confidence (), 1 constant (value,), 2 given () with given_correctness_ptr, 3 steps (thresholds, values):\n"
             "float32 buffers of K ascending and K + 1, 4 logistic (intercept, teacher, agreement, student, least, most).\n"
             "gain_of_label: 1 - the student's probability of the label in place of 1 - margin. other_ptr (uint8): where the\n"
             "likeliest other classes go, or 0.\n"
             "Points invalid in either get NaN and label -1. Returns one (count, first) for the teacher, one for the student.");
  module.def("stream_sum", &stream_sum, "ptr"_a, "bytes"_a, "threads"_a,
             "The sum of float32 values: a plain streaming read, the yardstick of the benchmarks.");
}

void bind_game(py::module_& module) {
  using namespace py::literals;
  module.def("reduce", &reduce, "gain"_a, "correctness"_a, "box"_a, "threads"_a,
             "Exact sums over the points that the box decides (7 integers, in the order of Sums), and the gain and correctness\n"
             "of the others, in their order. box: (price_low, price_high, threshold_low, threshold_high).");
  module.def("solve", &solve, "pieces"_a, "budget"_a, "mistakes"_a, "steps"_a, "random"_a, "threads"_a,
             "The equilibrium (price, threshold, share, value) of the game on points in one or more pairs of arrays; None where\n"
             "points are so alike that they had better be counted. steps: the solver's numbers, random: what spreads its samples.");
}

void bind_sample(py::module_& module) {
  using namespace py::literals;
  module.def("probabilities", &probabilities, "gain"_a, "correctness"_a, "equilibrium"_a, "threads"_a,
             "Inclusion probabilities, float64. equilibrium: (price, threshold, share), here and below.");
  module.def("mass", &mass, "gain"_a, "correctness"_a, "equilibrium"_a, "threads"_a,
             "The sum of the inclusion probabilities, in units of 2^-62, modulo 2^64.");
  module.def("sample", &sample, "gain"_a, "correctness"_a, "equilibrium"_a, "running"_a, "threads"_a,
             "Indices (int64, ascending) where the running sum, started at `running`, passes a whole number; and the running\n"
             "sum after the last point. Both in units of 2^-62 modulo 2^64.");
}

}  // namespace
}  // namespace rad_fast

PYBIND11_MODULE(_cpu, module) {
  using namespace rad_fast;
  module.doc() = "The CPU kernels of rad_fast, on raw addresses; use the package's functions instead.";
  module.def("level", [] { return level().name; }, "The SIMD level in use.");
  module.def("set_level", &set_level, "Use this SIMD level from now on (for tests).", py::arg("name"));
  module.def("levels", [] {
    py::list names;
    for (const Level& candidate : levels())
      if (candidate.supported) names.append(candidate.name);
    return names;
  }, "The SIMD levels that this processor supports, best first.");
  module.def("constants", &constants_dict, "The numbers that Python has, too.");
  bind_score(module);
  bind_game(module);
  bind_sample(module);
  bind_classes(module);
  bind_one_pass(module);
  bind_arrival(module);
}
