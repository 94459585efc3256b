// The part of rad_fast._cpu that decides the points of a stream.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "appraise.hpp"
#include "arguments.hpp"
#include "cpu/arrival.hpp"
#include "cpu/evidence.hpp"
#include "cpu/ladder.hpp"

namespace rad_fast {

void bind_arrival(py::module_& module);

namespace {

// Without forcecast: nothing is copied.
using Column = py::array_t<double, py::array::c_style>;
using Whole = py::array_t<std::int64_t, py::array::c_style>;
using Ring = std::array<py::array, 3>;  // gain, correctness, label

void require_labels(const std::int32_t* label, std::int64_t count, std::int64_t classes) {
  for (std::int64_t i = 0; classes > 1 && i < count; ++i)
    if (label[i] < 0 || label[i] >= classes)
      refuse("label", "0 to " + std::to_string(classes - 1), std::to_string(label[i]));
}

Course course_of(const Column& price, const Column& threshold, const Column& share, const Column& due) {
  const Course course{price.data(), threshold.data(), share.data(), due.data(), price.size()};
  if (course.classes < 1 || threshold.size() != course.classes * arrival_levels || share.size() != threshold.size() ||
      due.size() != course.classes)
    refuse("price, threshold, share, due", "shapes (k,), (k, 33), (k, 33), (k,)", "others");
  return course;
}

// Three numbers of each point, one after the other.
struct Room {
  std::vector<float> gain, correctness;
  std::vector<std::int32_t> label;

  void at_least(std::int64_t count) {
    if (static_cast<std::int64_t>(gain.size()) >= count) return;
    gain.resize(static_cast<std::size_t>(count));
    correctness.resize(gain.size());
    label.resize(gain.size());
  }
};

struct Values {
  const float *gain, *correctness;
  const std::int32_t* label;
};

// Where the stream stands, as the arrays of Python that hold it.
class Held {
 public:
  Held(Whole& counts, Column& phase, Column& got, std::int64_t classes)
      : held_{counts, phase, got}, counts_(counts.mutable_data()),
        standing_{0, 0, 0, 0, phase.mutable_data(), got.mutable_data(), nullptr} {
    if (counts.size() != 4 || phase.size() != classes || got.size() != classes)
      refuse("counts, phase, got", "shapes (4,), (k,), (k,)", "others");
  }

  std::int64_t taken() const { return counts_[1]; }
  void chosen(Whole& chosen) { standing_.chosen = chosen.mutable_data(); }

  void decide(const Values& from, std::int64_t begin, std::int64_t count, const Course& course, const Pace& pace, bool* taken) {
    standing_.seen = counts_[0];
    standing_.taken = counts_[1];
    standing_.since = counts_[2];
    standing_.level = counts_[3];
    decide_all(from.gain + begin, from.correctness + begin, from.label + begin, count, course, pace, standing_, taken + begin);
    counts_[0] = standing_.seen;
    counts_[1] = standing_.taken;
    counts_[3] = standing_.level;
  }

 private:
  std::array<py::object, 3> held_;
  std::int64_t* counts_;
  Standing standing_;
};

// The last points of a stream, and when to look at them.
class RecentPoints {
 public:
  RecentPoints(Ring& ring, Whole& places, std::int64_t size, std::int64_t step)
      : held_{ring[0], ring[1], ring[2], places}, places_(places.mutable_data()), size_(size), step_(step), room_(ring[0].size()) {
    gain_ = changed<float>("ring", ring[0], room_);
    correctness_ = changed<float>("ring", ring[1], room_);
    label_ = changed<std::int32_t>("ring", ring[2], room_);
    if (places.size() != 2 || room_ > size || step < 1 || step > size || places_[0] < 0)
      refuse("ring, places, size, step", "at most `size` points, two places, and a step of up to `size`", "others");
  }

  std::int64_t kept() const { return places_[0]; }
  std::int64_t until_due() const { return places_[1] - places_[0]; }
  void look_later() { places_[1] += step_; }
  bool has_room_for(std::int64_t count) const { return std::min(size_, places_[0] + count) <= room_; }

  void keep(const Values& from, std::int64_t begin, std::int64_t count) {
    const std::int64_t at = places_[0] % size_, straight = std::min(count, size_ - at);
    put(from.gain + begin, straight, count, gain_, at);
    put(from.correctness + begin, straight, count, correctness_, at);
    put(from.label + begin, straight, count, label_, at);
    places_[0] += count;
  }

  // Adds what the last `step` points say.
  Reached reached(const Course& course, double* came) {
    const std::int64_t at = (places_[0] - step_) % size_, straight = std::min(step_, size_ - at);
    if (straight == step_) return reached_by(gain_ + at, correctness_ + at, label_ + at, step_, course, came);
    together_.at_least(step_);
    put_together(gain_, at, straight, together_.gain.data());
    put_together(correctness_, at, straight, together_.correctness.data());
    put_together(label_, at, straight, together_.label.data());
    return reached_by(together_.gain.data(), together_.correctness.data(), together_.label.data(), step_, course, came);
  }

 private:
  template <class T>
  static void put(const T* values, std::int64_t straight, std::int64_t count, T* ring, std::int64_t at) {
    std::copy(values, values + straight, ring + at);
    std::copy(values + straight, values + count, ring);
  }
  template <class T>
  void put_together(const T* ring, std::int64_t at, std::int64_t straight, T* out) const {
    std::copy(ring, ring + (step_ - straight), std::copy(ring + at, ring + at + straight, out));
  }

  std::array<py::object, 4> held_;
  std::int64_t* places_;
  std::int64_t size_, step_, room_;
  float *gain_, *correctness_;
  std::int32_t* label_;
  Room together_;
};

// Evidence as Python holds it; the arrays that are changed come last.
struct EvidenceHeld {
  std::array<py::object, 7> held;
  Evidence evidence;
  double share;

  EvidenceHeld(const Column& found_came, const Column& found_sums, const Column& spread, const Column& precision, Column& came,
               Column& sums, Column& weights, const std::array<double, 4>& numbers, std::int64_t classes)
      : held{found_came, found_sums, spread, precision, came, sums, weights},
        evidence{found_came.data(), found_sums.data(), spread.data(), precision.data(), came.mutable_data(),
                 sums.mutable_data(), weights.mutable_data(), numbers[0], numbers[1], numbers[2]},
        share(numbers[3]) {
    if (found_came.size() != classes || precision.size() != classes || came.size() != classes || found_sums.size() != 2 ||
        spread.size() != 2 || sums.size() != 2 || weights.size() != 2)
      refuse("evidence", "shapes (k,), (2,), (2,), (k,), (k,), (2,), (2,)", "others");
  }
};

// How rows become points; all of a stream's are alike.
struct Scoring {
  py::tuple parameters;
  Buffers buffers;
  Correctness correctness;
  bool by_label;
  std::int64_t classes, student_classes;  // 0: no student
  std::int64_t one_thread;                // for fewer numbers
  int threads;
};

// A stream's points are scored, decided and kept in one call, up to where the game may have to be solved again. What does
// not change meanwhile is looked at once.
class Arrivals {
 public:
  Arrivals(const std::array<Column, 4>& course, const std::array<double, 5>& pace, Whole& counts, Column& phase, Column& got,
           Ring ring, Whole& places, std::int64_t size, std::int64_t step, std::int64_t must)
      : course_arrays_(course), course_(course_of(course[0], course[1], course[2], course[3])),
        pace_{pace[0], pace[1], pace[2], pace[3], pace[4]}, held_(counts, phase, got, course_.classes),
        recent_(ring, places, size, step), must_(must) {}

  void count_chosen(Whole& chosen) {
    if (course_.classes > 1) refuse("chosen", "a single game", std::to_string(course_.classes));
    chosen_ = chosen;
    held_.chosen(chosen_);
  }

  void weigh(const Column& found_came, const Column& found_sums, const Column& spread, const Column& precision, Column& came,
             Column& sums, Column& weights, const std::array<double, 4>& numbers) {
    evidence_.emplace(found_came, found_sums, spread, precision, came, sums, weights, numbers, course_.classes);
  }

  void score(int model, const py::tuple& parameters, bool by_label, std::int64_t classes, std::int64_t student_classes,
             std::int64_t one_thread, int threads) {
    scoring_.emplace();
    scoring_->parameters = parameters;
    scoring_->correctness = correctness_of(model, parameters, student_classes == 0, scoring_->buffers);
    if (scoring_->correctness.model == CorrectnessModel::given) refuse("model", "one that needs nothing of each point", "2");
    if (course_.classes > 1 && classes != course_.classes) refuse("classes", std::to_string(course_.classes), std::to_string(classes));
    if (chosen_.size() && classes != chosen_.size()) refuse("classes", std::to_string(chosen_.size()), std::to_string(classes));
    scoring_->by_label = by_label;
    scoring_->classes = classes;
    scoring_->student_classes = student_classes;
    scoring_->one_thread = one_thread;
    scoring_->threads = threads;
  }

  // Before this, points that come after the budget is used are for others to look at.
  void say_nothing_more() { said_used_ = true; }

  // Rows of NumPy: whether they are taken; None where they are not as those before, and for others to look at; and where the
  // game may have to be solved before all are decided, (taken, gain, correctness, label, how many are decided, whether they
  // are of another kind).
  py::object offer(const py::object& logits, const py::object& student) {
    if (!scoring_) return py::none();
    Logits teacher{}, beside{};
    if (!read(logits, scoring_->classes, teacher)) return py::none();
    if (student.is_none() != (scoring_->student_classes == 0)) return py::none();
    if (scoring_->student_classes) {
      if (!read(student, scoring_->student_classes, beside) || beside.rows != teacher.rows) return py::none();
    }
    return decided(teacher, beside, static_cast<const py::array&>(logits).ndim() == 1);
  }

  // The same of rows at (address, dtype, classes, stride).
  py::object offer_at(const py::tuple& logits, const py::object& student, std::int64_t rows) {
    if (!scoring_ || student.is_none() != (scoring_->student_classes == 0)) return py::none();
    const Logits teacher = logits_from("logits", logits, rows);
    Logits beside{};
    if (!student.is_none()) beside = logits_from("student_logits", student.cast<py::tuple>(), rows);
    if (teacher.classes != scoring_->classes || beside.classes != scoring_->student_classes) return py::none();
    return decided(teacher, beside, false);
  }

  // Points from `begin` on: up to where they are decided, and whether they are of another kind.
  std::pair<std::int64_t, bool> decide(const py::array& gains, const py::array& correctnesses, const py::array& labels,
                                       py::array taken, std::int64_t begin) {
    const std::int64_t count = gains.size();
    const Values from{vector_of<float>("gain", gains, count), vector_of<float>("correctness", correctnesses, count),
                      vector_of<std::int32_t>("label", labels, count)};
    require_labels(from.label, count, chosen_.size() ? chosen_.size() : course_.classes);
    bool* const out = changed<bool>("taken", taken, count);
    if (begin < 0 || begin > count) refuse("begin", "0 to " + std::to_string(count), std::to_string(begin));
    if (!recent_.has_room_for(count - begin)) refuse("ring", "room for the points", "less");
    return advance(from, begin, count, out);
  }

 private:
  static constexpr std::int64_t kept_rows = 1 << 16;

  static bool read(const py::object& rows, std::int64_t classes, Logits& out) {
    if (Py_TYPE(rows.ptr()) != py::detail::npy_api::get().PyArray_Type_) return false;
    const auto& array = static_cast<const py::array&>(rows);
    const py::ssize_t dimensions = array.ndim();
    if (dimensions < 1 || dimensions > 2 || array.shape(dimensions - 1) != classes) return false;
    const py::dtype dtype = array.dtype();
    const py::ssize_t size = array.itemsize(), stride = dimensions == 2 ? array.strides(0) : size * classes;
    const auto address = reinterpret_cast<std::uintptr_t>(array.data());
    const int number = dtype.num();
    out.dtype = number == 12 ? DType::float64 : number == 11 ? DType::float32 : DType::float16;
    if ((number != 12 && number != 11 && number != 23) || dtype.byteorder() != '=') return false;
    if (array.strides(dimensions - 1) != size || stride % size || address % static_cast<std::uintptr_t>(size)) return false;
    out.data = array.data();
    out.rows = dimensions == 2 ? array.shape(0) : 1;
    out.classes = classes;
    out.row_stride = stride / size;
    return true;
  }

  py::object decided(const Logits& teacher, const Logits& student, bool one) {
    const std::int64_t rows = teacher.rows;
    if (rows < 1 || !recent_.has_room_for(rows) ||
        (!said_used_ && static_cast<double>(held_.taken()) >= pace_.most))
      return py::none();
    points_.at_least(rows);
    const Appraisal task{teacher, student, scoring_->correctness, points_.gain.data(), points_.correctness.data(),
                         points_.label.data(), scoring_->by_label, nullptr};
    if (!valid(task, rows)) return py::none();
    const Values from{points_.gain.data(), points_.correctness.data(), points_.label.data()};
    if (one && recent_.until_due() > 1) {
      bool taken = false;
      advance(from, 0, 1, &taken);
      return py::bool_(taken);
    }
    py::array_t<bool> taken(rows);
    const auto [end, others] = advance(from, 0, rows, taken.mutable_data());
    py::object found = std::move(taken);
    if (recent_.until_due() <= 0)
      found = py::make_tuple(found, array_of(points_.gain, rows), array_of(points_.correctness, rows),
                             array_of(points_.label, rows), end, others);
    else if (one) found = py::bool_(static_cast<py::array&>(found).cast<py::array_t<bool>>().at(0));
    if (rows > kept_rows) points_ = Room();
    return found;
  }

  bool valid(const Appraisal& task, std::int64_t rows) const {
    if (rows * (task.teacher.classes + task.student.classes) < scoring_->one_thread) {
      Invalid teacher{0, -1}, student{0, -1};
      level().score->appraise(task, 0, rows, teacher, student);
      return teacher.count == 0 && student.count == 0;
    }
    const auto [teacher, student] = appraise_all(task, rows, scoring_->threads);
    return total(teacher).first == 0 && total(student).first == 0;
  }

  std::pair<std::int64_t, bool> advance(const Values& from, std::int64_t begin, std::int64_t count, bool* taken) {
    while (begin < count) {
      const std::int64_t here = std::min(count - begin, recent_.until_due());
      if (here < 1) throw std::logic_error("arrivals: the game has to be solved first");
      held_.decide(from, begin, here, course_, pace_, taken);
      recent_.keep(from, begin, here);
      begin += here;
      if (recent_.until_due() > 0) continue;
      if (!evidence_) return {begin, false};
      const Reached now = recent_.reached(course_, evidence_->evidence.came);
      for (int k = 0; k < 2; ++k) evidence_->evidence.sums[k] += now.sums[k];
      if (others_came(evidence_->evidence, course_.classes, evidence_->share)) return {begin, true};
      if (recent_.kept() >= must_) return {begin, false};
      recent_.look_later();
    }
    return {begin, false};
  }

  template <class T>
  static py::array_t<T> array_of(const std::vector<T>& values, std::int64_t count) {
    return py::array_t<T>(count, values.data());
  }

  std::array<Column, 4> course_arrays_;
  Course course_;
  Pace pace_;
  Held held_;
  RecentPoints recent_;
  std::int64_t must_;
  bool said_used_ = false;
  Whole chosen_{0};
  std::optional<EvidenceHeld> evidence_;
  std::optional<Scoring> scoring_;
  Room points_;
};

py::array_t<bool> decide(const py::array& gain, const py::array& correctness, const py::array& label, const Column& price,
                         const Column& threshold, const Column& share, const Column& due, const std::array<double, 5>& pace,
                         Whole& counts, Column& phase, Column& got) {
  const std::int64_t count = gain.size();
  const Values from{vector_of<float>("gain", gain, count), vector_of<float>("correctness", correctness, count),
                    vector_of<std::int32_t>("label", label, count)};
  const Course course = course_of(price, threshold, share, due);
  require_labels(from.label, count, course.classes);
  py::array_t<bool> taken(count);
  Held(counts, phase, got, course.classes)
      .decide(from, 0, count, course, {pace[0], pace[1], pace[2], pace[3], pace[4]}, taken.mutable_data());
  return taken;
}

std::tuple<Column, Column, Column> reached(const py::array& gain, const py::array& correctness, const py::array& label,
                                           const Column& price, const Column& threshold) {
  const std::int64_t count = gain.size(), classes = price.size();
  if (classes < 1 || threshold.size() != classes * arrival_levels) refuse("price, threshold", "shapes (k,), (k, 33)", "others");
  const Values from{vector_of<float>("gain", gain, count), vector_of<float>("correctness", correctness, count),
                    vector_of<std::int32_t>("label", label, count)};
  require_labels(from.label, count, classes);
  Column came(classes);
  std::fill(came.mutable_data(), came.mutable_data() + classes, 0.0);
  const Reached found = reached_by(from.gain, from.correctness, from.label, count,
                                   {price.data(), threshold.data(), nullptr, nullptr, classes}, came.mutable_data());
  return {came, Column(2, found.sums), Column(2, found.squares)};
}

std::pair<Column, Column> ladders(const py::array& gain, const py::array& correctness, const py::array& label, const Column& price,
                                  const Whole& classes, const Column& wanted, double all) {
  const std::int64_t count = gain.size(), rows = classes.size(), columns = rows ? wanted.size() / rows : 0;
  const float *const gains = vector_of<float>("gain", gain, count),
              *const correctnesses = vector_of<float>("correctness", correctness, count);
  const std::int32_t* const labels = vector_of<std::int32_t>("label", label, count);
  if (price.size() < 1) refuse("price", "one number a class", "none");
  if (count > std::int64_t{1} << 32) refuse("gain", "at most 2^32 points", std::to_string(count));
  require_labels(labels, count, price.size());
  if (wanted.size() != rows * columns) refuse("wanted", "a row for each of classes", "others");
  for (std::int64_t row = 0; row < rows; ++row)
    if (classes.data()[row] < 0 || classes.data()[row] >= price.size())
      refuse("classes", "0 to " + std::to_string(price.size() - 1), std::to_string(classes.data()[row]));
  Column threshold({rows, columns}), share({rows, columns});
  double *const thresholds = threshold.mutable_data(), *const shares = share.mutable_data();
  const double* const numbers = wanted.data();
  const Ladders all_of(gains, correctnesses, labels, count, price.data(), price.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto k = static_cast<std::size_t>(classes.data()[row]);
    std::size_t near = all_of.begin(k);
    for (std::int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      if (i > row * columns && !(numbers[i] >= numbers[i - 1])) near = all_of.begin(k);
      const Rung rung = all_of.rung(k, numbers[i], all, near);
      thresholds[i] = rung.threshold;
      shares[i] = rung.share;
    }
  }
  return {threshold, share};
}

}  // namespace

void bind_arrival(py::module_& module) {
  using namespace py::literals;
  module.def("decide", &decide, "gain"_a, "correctness"_a, "label"_a, "price"_a, "threshold"_a, "share"_a, "due"_a, "pace"_a,
             py::arg("counts").noconvert(), py::arg("phase").noconvert(), py::arg("got").noconvert(),
             "Which of the points that arrive are taken, in their order. pace: (budget, of, slack, most, end). counts (int64: seen,\n"
             "taken, seen up to the solution, level), phase and got (float64, one a class) are changed.");
  module.def("reached", &reached, "gain"_a, "correctness"_a, "label"_a, "price"_a, "threshold"_a,
             "What points say of the thresholds: how many came of each class, sums and sums of squares.");
  py::class_<Arrivals>(module, "Arrivals", "Points to come: scored, decided and kept in one call. It keeps the arrays, and changes them.")
      .def(py::init<const std::array<Column, 4>&, const std::array<double, 5>&, Whole&, Column&, Column&, Ring, Whole&, std::int64_t,
                    std::int64_t, std::int64_t>(),
           "course"_a, "pace"_a, py::arg("counts").noconvert(), py::arg("phase").noconvert(), py::arg("got").noconvert(), "ring"_a,
           py::arg("places").noconvert(), "size"_a, "step"_a, "must"_a,
           "course: (price, threshold, share, due). ring: gain, correctness and label of the last points, up to `size`. places\n"
           "(int64): how many were kept, and at how many to look. must: at how many the game is solved whatever they are like.")
      .def("count_chosen", &Arrivals::count_chosen, py::arg("chosen").noconvert(), "Counts the labels of points taken, too.")
      .def("weigh", &Arrivals::weigh, "found_came"_a, "found_sums"_a, "spread"_a, "precision"_a, py::arg("came").noconvert(),
           py::arg("sums").noconvert(), py::arg("weights").noconvert(), "numbers"_a,
           "Looks at the evidence by itself. numbers: the limit of the classes' sum, errors, what is kept of the evidence, and the\n"
           "share of a window from one look to the next.")
      .def("score", &Arrivals::score, "model"_a, "parameters"_a, "by_label"_a, "classes"_a, "student_classes"_a, "one_thread"_a,
           "threads"_a, "How rows are scored, with models and parameters as for appraise(); fewer than one_thread numbers by one thread.")
      .def("say_nothing_more", &Arrivals::say_nothing_more, "offer() does not return None because the budget is used.")
      .def("offer", &Arrivals::offer, "logits"_a, "student"_a,
           "Whether each row of a NumPy array is taken, or its only one; None where the rows are not as expected; and where the game\n"
           "is to be solved again, (taken, gain, correctness, label, how many are decided, whether they are of another kind).")
      .def("offer_at", &Arrivals::offer_at, "logits"_a, "student"_a, "rows"_a, "The same, of rows at (address, dtype, classes, stride).")
      .def("decide", &Arrivals::decide, "gain"_a, "correctness"_a, "label"_a, "taken"_a, "begin"_a,
           "Decides points from `begin` on, and writes whether they are taken. Returns up to where, and whether they are of another\n"
           "kind.");
  module.def("ladders", &ladders, "gain"_a, "correctness"_a, "label"_a, "price"_a, "classes"_a, "wanted"_a, "all"_a,
             "For each number of points wanted, (k, levels), of each of k classes: the threshold at which so many are taken, `all`\n"
             "where there are fewer, and the share of the points on it.");
}

}  // namespace rad_fast
