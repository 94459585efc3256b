// Logits and a model of correctness as the bindings are given them, and the pass over the logits.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/parallel.hpp"
#include "cpu/score.hpp"

namespace rad_fast {

using Count = std::pair<std::int64_t, std::int64_t>;  // how many rows are invalid, and the first (-1: none)

template <class T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

inline void require_positive(const char* argument, std::int64_t value) {
  if (value < 1) refuse(argument, "at least 1", std::to_string(value));
}

inline void require_address(const char* argument, std::uintptr_t address, std::int64_t rows) {
  if (rows > 0 && address == 0) refuse(argument, "an address", "0");
}

inline std::int64_t element_bytes(DType dtype) {
  switch (dtype) {
    case DType::float64: return 8;
    case DType::float32: return 4;
    case DType::float16:
    case DType::bfloat16: return 2;
  }
  return 0;
}

inline Logits make_logits(const char* argument, std::uintptr_t address, int dtype, std::int64_t rows, std::int64_t classes,
                          std::int64_t row_stride) {
  if (dtype < 0 || dtype > 3) {
    refuse(std::string(argument) + " dtype", "0 (float64), 1 (float32), 2 (float16) or 3 (bfloat16)", std::to_string(dtype));
  }
  if (rows < 0) refuse("rows", "0 or more", std::to_string(rows));
  // Labels are int32.
  if (classes < 2 || classes > INT32_MAX)
    refuse(std::string(argument) + " classes", "2 to 2147483647", std::to_string(classes));
  require_address(argument, address, rows);
  return Logits{pointer<const void>(address), static_cast<DType>(dtype), rows, classes, row_stride};
}

// Rows a thread takes at a time: enough bytes to make the hand-out cheap, few enough to spread over all threads.
inline std::int64_t block_of_rows(std::int64_t bytes_per_row, std::int64_t most) {
  constexpr std::int64_t bytes = 512 << 10;
  const std::int64_t rows = bytes / bytes_per_row;
  if (rows < 16) return std::max<std::int64_t>(1, rows);
  return std::min(most, rows / 16 * 16);  // whole tiles of the widest level
}

inline Count total(const std::vector<Invalid>& parts) {
  Count sum{0, -1};
  for (const Invalid& part : parts) {
    if (part.count == 0) continue;
    if (sum.first == 0 || part.first < sum.second) sum.second = part.first;
    sum.first += part.count;
  }
  return sum;
}

inline Logits logits_from(const char* argument, const py::tuple& description, std::int64_t rows) {
  if (description.size() != 4)
    refuse(argument, "(address, dtype, classes, row_stride)", std::to_string(description.size()) + " items");
  return make_logits(argument, description[0].cast<std::uintptr_t>(), description[1].cast<int>(), rows,
                     description[2].cast<std::int64_t>(), description[3].cast<std::int64_t>());
}

inline const float* floats(const char* argument, const py::buffer_info& info) {
  if (info.format != py::format_descriptor<float>::format() || info.ndim != 1 || (info.size > 1 && info.strides[0] != 4))
    refuse(argument, "a contiguous one-dimensional float32 buffer",
           "format '" + info.format + "', " + std::to_string(info.ndim) + " dimensions");
  return static_cast<const float*>(info.ptr);
}

struct Buffers {  // hold the caller's buffers
  py::buffer_info thresholds, values;
};

// All but what is given for each point.
inline Correctness correctness_of(int model, const py::tuple& parameters, bool alone, Buffers& tables) {
  Correctness c{};
  if (model < 0 || model > 4)
    refuse("model", "0 (confidence), 1 (constant), 2 (given), 3 (steps) or 4 (logistic)", std::to_string(model));
  c.model = static_cast<CorrectnessModel>(model);
  const std::size_t wanted[] = {0, 1, 0, 2, 6};
  if (parameters.size() != wanted[model])
    refuse("parameters", std::to_string(wanted[model]) + " items for this model", std::to_string(parameters.size()));
  switch (c.model) {
    case CorrectnessModel::confidence:
    case CorrectnessModel::given: break;
    case CorrectnessModel::constant: c.constant = parameters[0].cast<float>(); break;
    case CorrectnessModel::steps:
      tables.thresholds = parameters[0].cast<py::buffer>().request();
      tables.values = parameters[1].cast<py::buffer>().request();
      c.thresholds = floats("thresholds", tables.thresholds);
      c.values = floats("values", tables.values);
      c.steps = tables.thresholds.size;
      if (tables.values.size != c.steps + 1)
        refuse("values", std::to_string(c.steps + 1) + " items, one more than thresholds", std::to_string(tables.values.size));
      break;
    case CorrectnessModel::logistic:
      if (alone) refuse("student", "logits, which the logistic model reads", "None");
      for (std::size_t k = 0; k < 4; ++k) c.weights[k] = parameters[k].cast<float>();
      for (std::size_t k = 0; k < 2; ++k) c.bounds[k] = parameters[4 + k].cast<float>();
      break;
  }
  return c;
}

// A pass as the bindings are asked for it; where its outputs go is theirs to check.
inline Appraisal appraisal_of(const py::tuple& teacher, const py::object& student, std::int64_t rows, int model,
                              const py::tuple& parameters, std::uintptr_t given_correctness, std::uintptr_t gain,
                              std::uintptr_t correctness, std::uintptr_t label, bool gain_of_label, std::uintptr_t other,
                              Buffers& tables) {
  Appraisal task{};
  task.teacher = logits_from("teacher", teacher, rows);
  if (!student.is_none()) task.student = logits_from("student", student.cast<py::tuple>(), rows);
  task.gain = pointer<float>(gain);
  task.probability_correct = pointer<float>(correctness);
  task.label = pointer<std::int32_t>(label);
  task.gain_of_label = gain_of_label;
  task.other = pointer<std::uint8_t>(other);
  task.correctness = correctness_of(model, parameters, student.is_none(), tables);
  if (task.correctness.model == CorrectnessModel::given) {
    require_address("given_correctness", given_correctness, rows);
    task.correctness.given = pointer<const float>(given_correctness);
  }
  return task;
}

// A student that there is none of has no classes.
inline std::int64_t bytes_of_row(const Appraisal& task) {
  return task.teacher.classes * element_bytes(task.teacher.dtype) + task.student.classes * element_bytes(task.student.dtype);
}

// Which rows are invalid, of the teacher and of the student, by thread. The GIL is released meanwhile.
inline std::pair<std::vector<Invalid>, std::vector<Invalid>> appraise_all(const Appraisal& task, std::int64_t rows, int threads) {
  const ScoreKernels& kernels = *level().score;
  const std::int64_t row_bytes = bytes_of_row(task);
  // A thread that starts a block starts its streams anew, and what was prefetched past the last block's end was for another
  // thread: with blocks of 512 rows two threads take 1.3 times as long at C = 10. With 32768 they gain 5 to 8% at C = 2 and
  // nothing at C = 10.
  const std::int64_t block = block_of_rows(row_bytes, 16384);
  const std::int64_t blocks = (rows + block - 1) / block;
  threads = useful_threads(threads, blocks, rows * row_bytes);
  std::vector<Invalid> teacher_invalid(static_cast<std::size_t>(threads), Invalid{0, -1});
  std::vector<Invalid> student_invalid = teacher_invalid;
  {
    py::gil_scoped_release release;
    for_each_block(threads, blocks, [&](int thread, std::int64_t index) {
      const std::int64_t first = index * block;
      kernels.appraise(task, first, std::min(block, rows - first), teacher_invalid[static_cast<std::size_t>(thread)],
                       student_invalid[static_cast<std::size_t>(thread)]);
    });
  }
  return {teacher_invalid, student_invalid};
}

}  // namespace rad_fast
