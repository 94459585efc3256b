// The scoring stage's interface: plain data and a table of functions, one table per SIMD level.
#pragma once

#include <cstdint>

namespace rad_fast {

enum class DType : int { float64 = 0, float32 = 1, float16 = 2, bfloat16 = 3 };

struct Logits {
  const void* data;
  DType dtype;
  std::int64_t rows, classes;
  std::int64_t row_stride;  // in elements; any sign, 0 for one row seen many times
};

// Where the scores of rows first, first + 1, ... go: element 0 belongs to row `first` of the call.
struct Scores {
  float* margin;
  float* confidence;
  std::int32_t* label;
  float* given_probability;  // may be null
  std::int32_t* other;       // the likeliest class besides the label, of short rows; may be null
  bool as_gain = false;      // 1 - margin is what goes to `margin`
};

// Rows with NaN, +inf, or nothing finite.
struct Invalid {
  std::int64_t count;
  std::int64_t first;  // row number; -1: none
};

enum class CorrectnessModel : int { confidence = 0, constant = 1, given = 2, steps = 3, logistic = 4 };

struct Correctness {
  CorrectnessModel model;
  float constant;            // constant
  const float* given;        // given: (rows,)
  const float* thresholds;   // steps: ascending, `steps` of them
  const float* values;       // steps: steps + 1 of them; value[number of thresholds <= margin]
  std::int64_t steps;
  float weights[4];          // logistic: intercept, logit(teacher's margin), logit(student's probability of the
                             // teacher's label), student's margin
  float bounds[2];           // logistic: the least and the most it may say
};

struct Appraisal {
  Logits teacher;
  Logits student;  // data null: none, the gain is taken from the teacher
  Correctness correctness;
  float* gain;
  float* probability_correct;
  std::int32_t* label;
  bool gain_of_label;   // 1 - the student's probability of the label; else 1 - margin
  std::uint8_t* other;  // the likeliest other class; may be null, and is where there are more than 256 classes
  std::int64_t begin;   // the row that these outputs begin with
};

struct ScoreKernels {
  // Rows first .. first + count - 1; `given` and `out` start at row `first`. given may be null.
  void (*score)(const Logits& logits, std::int64_t first, std::int64_t count, const std::int32_t* given, const Scores& out,
                Invalid& invalid);
  void (*appraise)(const Appraisal& task, std::int64_t first, std::int64_t count, Invalid& teacher, Invalid& student);
  // The sum of `count` floats: a plain streaming read, the yardstick of the benchmarks.
  double (*stream_sum)(const float* values, std::int64_t count);
};

}  // namespace rad_fast
