// The scoring stage: margin, confidence, label and a given label's probability of every row, in one read of the logits.
//
// Bytes per point: C elements read; written, 12 (margin, confidence, label) and 4 more for a given label's probability. The
// fused route (appraise) writes 12 (gain, correctness, label) and keeps all else in buffers on the stack. The floor it is
// held against is a streaming sum of the same array (stream_sum below): with C = 100 in float32 the reads are 97% of the
// traffic; with C = 2 more is written than read. Arithmetic with AVX2 is 11 vector operations for the exponentials of a vector
// and their sum (exponential.hpp) and, in long rows, little more than one for maximum, second largest and label. rows.hpp has the
// ways through a row.

#include "score.hpp"

#include "correctness.hpp"
#include "dispatch.hpp"
#include "exponential.hpp"
#include "other.hpp"
#include "rows.hpp"
#include "short_rows.hpp"
#include "simd.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {
namespace {

constexpr int64_t appraise_rows = 512;  // at a time: what lies between the steps stays on the stack, 7 numbers a row

void score(const Logits& z, int64_t first, int64_t count, const int32_t* given, const Scores& out, Invalid& invalid) {
  switch (z.dtype) {
    case DType::float64: return score_float64(z, first, count, given, out, invalid);
    case DType::float32: return score_float32(z, first, count, given, out, invalid);
    case DType::float16: return score_float16(z, first, count, given, out, invalid);
    case DType::bfloat16: return score_bfloat16(z, first, count, given, out, invalid);
  }
}

// -------------------------------------------------------------------------------------------------- correctness, fused

// Where there is no student and the teacher's confidence counts, what is scored is nearly what is asked for.
void appraise_alone(const Appraisal& task, int64_t first, int64_t count, Invalid& invalid) {
  alignas(64) int32_t others[appraise_rows + lanes];
  const int64_t to = first - task.begin;
  int32_t* const label = task.label + to;
  int32_t* const other = task.other && task.teacher.classes <= lane_classes ? others : nullptr;
  score(task.teacher, first, count, nullptr, Scores{task.gain + to, task.probability_correct + to, label, nullptr, other, true}, invalid);
  if (!task.other) return;
  if (!other) likeliest_others(task.teacher, first, count, label, task.other + to);
  int64_t i = 0;
  for (; other && i + lanes <= count; i += lanes)
    store(task.other + to + i, bytes_of(load<Int>(other + i) & ~(load<Int>(label + i) >> 31)));
  for (; i < count; ++i)
    task.other[to + i] = static_cast<std::uint8_t>((other ? other[i] : task.other[to + i]) & ~(label[i] >> 31));
}

void appraise_some(const Appraisal& task, int64_t first, int64_t count, Invalid& teacher_invalid, Invalid& student_invalid) {
  const bool with_student = task.student.data != nullptr;
  if (!with_student && task.correctness.model == CorrectnessModel::confidence) return appraise_alone(task, first, count, teacher_invalid);
  // Whole vectors are read below: the buffers are set beyond `count`. Setting all of them would take a tenth of the time at
  // C = 10.
  alignas(64) float margin[appraise_rows + lanes], confidence[appraise_rows + lanes];
  alignas(64) float student_margin[appraise_rows + lanes], student_confidence[appraise_rows + lanes];
  alignas(64) float student_given[appraise_rows + lanes];
  alignas(64) int32_t label[appraise_rows + lanes], student_label[appraise_rows + lanes];
  alignas(64) int32_t others[appraise_rows + lanes];
  float* const numbers[] = {margin, confidence, student_margin, student_confidence, student_given};
  for (float* buffer : numbers) store(buffer + count, Float{});
  store(label + count, Int{});
  store(student_label + count, Int{});
  const bool alike = !with_student || task.student.classes == task.teacher.classes;
  const int64_t learner_classes = with_student ? task.student.classes : task.teacher.classes;
  int32_t* const other = task.other && learner_classes <= lane_classes ? others : nullptr;
  score(task.teacher, first, count, nullptr, Scores{margin, confidence, label, nullptr, with_student ? nullptr : other}, teacher_invalid);
  if (with_student)
    score(task.student, first, count, label, Scores{student_margin, student_confidence, student_label, student_given, other},
          student_invalid);

  const Correctness& model = task.correctness;
  const float* learned = with_student ? student_margin : margin;  // what the gain is short of 1
  if (task.gain_of_label && with_student) learned = student_given;
  const int32_t* learner_label = with_student ? student_label : label;
  alignas(64) float stepped[lanes] = {};
  const int64_t to = first - task.begin;
  for (int64_t i = 0; i < count; i += lanes) {
    const int some = static_cast<int>(count - i < lanes ? count - i : lanes);
    const Float m = load<Float>(margin + i);
    Float c{};
    switch (model.model) {
      case CorrectnessModel::confidence: c = load<Float>(confidence + i); break;
      case CorrectnessModel::constant: c = broadcast(model.constant); break;
      case CorrectnessModel::given:
        __builtin_memcpy(stepped, model.given + first + i, static_cast<unsigned long>(some) * sizeof(float));
        c = load<Float>(stepped);
        break;
      case CorrectnessModel::steps:
        for (int r = 0; r < some; ++r) stepped[r] = look_up(model, margin[i + r]);
        c = load<Float>(stepped);
        break;
      case CorrectnessModel::logistic: {
        Float u = multiply_add(broadcast(model.weights[1]), logit(m), broadcast(model.weights[0]));
        u = multiply_add(broadcast(model.weights[2]), logit(load<Float>(student_given + i)), u);
        u = multiply_add(broadcast(model.weights[3]), load<Float>(student_margin + i), u);
        c = minimum(maximum(sigmoid(u), broadcast(model.bounds[0])), broadcast(model.bounds[1]));
        break;
      }
    }
    const Int wrong = (load<Int>(label + i) | load<Int>(learner_label + i)) < 0;  // -1 in either
    const Float nan = broadcast(__builtin_nanf(""));
    store_some(task.gain + to + i, wrong ? nan : 1.0f - minimum(broadcast(1.0f), load<Float>(learned + i)), some);
    store_some(task.probability_correct + to + i, wrong ? nan : c, some);
    store_some(reinterpret_cast<float*>(task.label + to + i), (Float)(load<Int>(label + i) | wrong), some);
    if (other) {  // where the student's label is not the teacher's, it is the likeliest other class
      const Int learned_label = load<Int>(learner_label + i);
      const Int likeliest = alike ? (load<Int>(label + i) == learned_label ? load<Int>(other + i) : learned_label) : learned_label;
      const Bytes bytes = bytes_of(likeliest & ~wrong);
      __builtin_memcpy(task.other + to + i, &bytes, static_cast<unsigned long>(some));
    }
  }
  if (!task.other || other) return;
  likeliest_others(with_student ? task.student : task.teacher, first, count, alike ? label : nullptr, task.other + to);
  for (int64_t i = 0; i < count; ++i)
    if (task.label[to + i] < 0) task.other[to + i] = 0;
}

void appraise(const Appraisal& task, int64_t first, int64_t count, Invalid& teacher_invalid, Invalid& student_invalid) {
  for (int64_t at = 0; at < count; at += appraise_rows)
    appraise_some(task, first + at, count - at < appraise_rows ? count - at : appraise_rows, teacher_invalid, student_invalid);
}

// ----------------------------------------------------------------------------------------------------- the yardstick

double stream_sum(const float* values, int64_t count) {
  Float sum[8] = {};
  int64_t i = 0;
  for (; i + 8 * lanes <= count; i += 8 * lanes)
    for (int k = 0; k < 8; ++k) sum[k] += load<Float>(values + i + k * lanes);
  double total = 0;
  for (; i < count; ++i) total += static_cast<double>(values[i]);
  for (int k = 0; k < 8; ++k)
    for (int l = 0; l < lanes; ++l) total += static_cast<double>(sum[k][l]);
  return total;
}

}  // namespace

const ScoreKernels score_kernels = {score, appraise, stream_sum};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
