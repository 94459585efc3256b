// The part of rad_fast._cpu that scores rows and plays on them, in one pass, the games by class, or one game.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "appraise.hpp"
#include "arguments.hpp"
#include "classes_arguments.hpp"
#include "cpu/one_game.hpp"
#include "cpu/one_pass.hpp"
#include "steps.hpp"

namespace py = pybind11;

namespace rad_fast {

void bind_one_pass(py::module_& module);

namespace {

// How far one pass has come: it is useful or not, then scored, then concluded.
class Course {
 public:
  bool useful() const { return useful_; }

 protected:
  template <class Work>
  void expect(std::int64_t size, int threads, const Work& useful) {
    require_positive("threads", threads);
    if (size < 1 || size > std::int64_t{1} << 32) refuse("size", "1 to 2^32", std::to_string(size));
    try {
      py::gil_scoped_release release;
      useful_ = useful();
    } catch (const std::domain_error&) {
      refuse("gain", "multiples of 2**-24 from 0 to 1", "others");
    }
  }
  void before_scoring(std::uintptr_t gain, std::uintptr_t correctness, std::uintptr_t label) const {
    if (!useful_ || scored_) refuse("appraise", "one call of a pass that is useful", "another");
    if ((gain == 0) != (correctness == 0) || (gain == 0) != (label == 0)) refuse("gain, correctness and label", "all or none", "some");
  }
  // run(rows of the teacher that are invalid, rows of the student)
  template <class Run>
  std::pair<Count, Count> score(const Run& run) {
    scored_ = true;
    std::vector<Invalid> of_teacher, of_student;
    {
      py::gil_scoped_release release;
      run(of_teacher, of_student);
    }
    return {total(of_teacher), total(of_student)};
  }
  void before_conclusion() {
    if (!scored_ || concluded_) refuse("conclude", "one call after appraise", "another");
    concluded_ = true;
  }

 private:
  bool useful_ = false, scored_ = false, concluded_ = false;
};

// An OnePass, and what it refers to.
class Ahead : public Course {
 public:
  Ahead(const py::tuple& sample, std::int64_t size, const py::array& counts, const py::array& budgets, const py::array& mistakes,
        std::int64_t others, const py::tuple& numbers, const py::array& random, int threads)
      : counts_(counts),
        budgets_(budgets),
        mistakes_(mistakes),
        random_(random),
        steps_(steps_of(numbers, random)),
        others_(others),
        size_(size),
        pass_(size, stakes_of(counts, budgets, mistakes, others), steps_, static_cast<const double*>(random_.data()), threads) {
    if (others < 1 || others > 256) refuse("others", "1 to 256", std::to_string(others));
    if (sample.size() != 3) refuse("sample", "(gain, correctness, label)", std::to_string(sample.size()) + " items");
    const LabelledPoints points = labelled_points(sample[0].cast<py::array>(), sample[1].cast<py::array>(), sample[2].cast<py::array>());
    expect(size, threads, [&] { return pass_.expect(points); });
  }

  std::pair<Count, Count> appraise(const py::tuple& teacher, const py::object& student, int model, const py::tuple& parameters,
                                   std::uintptr_t given_correctness, std::uintptr_t gain, std::uintptr_t correctness,
                                   std::uintptr_t label, bool gain_of_label, std::uintptr_t other, std::uintptr_t left_out) {
    before_scoring(gain, correctness, label);
    if ((others_ > 1) != (other != 0) && gain != 0) refuse("other", "an address where there are others", std::to_string(other));
    Buffers tables;
    const Appraisal task = appraisal_of(teacher, student, size_, model, parameters, given_correctness, gain, correctness, label,
                                        gain_of_label, other, tables);
    if (task.teacher.classes != counts_.size()) refuse("classes", std::to_string(counts_.size()), std::to_string(task.teacher.classes));
    if (others_ > 1 && std::max(task.teacher.classes, task.student.classes) > 256)
      refuse("others", "1 with more than 256 classes", std::to_string(others_));
    return score([&](std::vector<Invalid>& of_teacher, std::vector<Invalid>& of_student) {
      pass_.run(task, pointer<const bool>(left_out), others_ > 1, bytes_of_row(task), of_teacher, of_student);
    });
  }

  py::array_t<std::int64_t> counts() const {
    py::array_t<std::int64_t> both({std::int64_t{2}, static_cast<std::int64_t>(counts_.size())});
    std::copy(pass_.positive.begin(), pass_.positive.end(), std::copy(pass_.counts.begin(), pass_.counts.end(), both.mutable_data()));
    return both;
  }

  Played conclude(const py::array& budgets, const py::array& mistakes, std::uint64_t running) {
    before_conclusion();
    const py::array counts = py::array_t<std::int64_t>(static_cast<py::ssize_t>(pass_.counts.size()), pass_.counts.data());
    const ClassStakes stakes = stakes_of(counts, budgets, mistakes, others_);
    std::vector<Sampled> taken;
    bool solved = false;
    {
      py::gil_scoped_release release;
      solved = pass_.conclude(stakes);
      if (solved) taken = pass_.sample(running);
    }
    if (!solved) return std::nullopt;
    return played(pass_.answers(), taken);
  }

 private:
  py::array counts_, budgets_, mistakes_, random_;
  Steps steps_;
  std::int64_t others_, size_;
  OnePass pass_;
};

Stakes alone(double budget, double mistakes, std::int64_t size) {
  if (!(budget > 0) || budget > static_cast<double>(size)) refuse("budget", "above 0, up to the points", std::to_string(budget));
  if (!(mistakes >= 0)) refuse("mistakes", "at least 0", std::to_string(mistakes));
  return Stakes(budget, mistakes, size);
}

// A OneGame, and what it refers to.
class AheadAlone : public Course {
 public:
  AheadAlone(const py::tuple& sample, std::int64_t size, double budget, double mistakes, double room, const py::tuple& numbers,
             const py::array& random, int threads)
      : random_(random),
        steps_(steps_of(numbers, random)),
        size_(size),
        game_(size, alone(budget, mistakes, size), steps_, static_cast<const double*>(random_.data()), threads) {
    if (sample.size() != 2) refuse("sample", "(gain, correctness)", std::to_string(sample.size()) + " items");
    const py::array gain = sample[0].cast<py::array>(), correctness = sample[1].cast<py::array>();
    const Chunk points{vector_of<float>("gain", gain, gain.size()), vector_of<float>("correctness", correctness, gain.size()), gain.size()};
    expect(size, threads, [&] { return game_.expect(points, room); });
  }

  std::pair<Count, Count> appraise(const py::tuple& teacher, const py::object& student, int model, const py::tuple& parameters,
                                   std::uintptr_t given_correctness, std::uintptr_t gain, std::uintptr_t correctness,
                                   std::uintptr_t label, bool gain_of_label, std::uintptr_t other, std::uintptr_t left_out) {
    before_scoring(gain, correctness, label);
    if (other != 0) refuse("other", "0", std::to_string(other));
    Buffers tables;
    const Appraisal task = appraisal_of(teacher, student, size_, model, parameters, given_correctness, gain, correctness, label,
                                        gain_of_label, 0, tables);
    return score([&](std::vector<Invalid>& of_teacher, std::vector<Invalid>& of_student) {
      game_.run(task, pointer<const bool>(left_out), bytes_of_row(task), of_teacher, of_student);
    });
  }

  std::optional<std::tuple<double, double, double, double, py::array_t<std::int64_t>>> conclude(double budget, double mistakes,
                                                                                                std::uint64_t running) {
    before_conclusion();
    const Stakes stakes = alone(budget, mistakes, size_);
    std::optional<Answer> answer;
    std::vector<Sampled> taken;
    {
      py::gil_scoped_release release;
      answer = game_.conclude(stakes);
      if (answer) taken = game_.sample(*answer, running);
    }
    if (!answer) return std::nullopt;
    return std::make_tuple(answer->price, answer->threshold, answer->share, answer->value, indices_of(taken));
  }

 private:
  py::array random_;
  Steps steps_;
  std::int64_t size_;
  OneGame game_;
};

}  // namespace

void bind_one_pass(py::module_& module) {
  using namespace py::literals;
  py::class_<Ahead>(module, "OnePass", py::module_local(),
                    "Games by class on rows that are scored in the same pass.\n\n"
                    "sample: (gain, correctness, label) of some of the `size` points, spread over all. counts (int64), budgets and\n"
                    "mistakes (float64): what to expect of each class. steps and random: as in solve.")
      .def(py::init<const py::tuple&, std::int64_t, const py::array&, const py::array&, const py::array&, std::int64_t, const py::tuple&,
                    const py::array&, int>(),
           "sample"_a, "size"_a, "counts"_a, "budgets"_a, "mistakes"_a, "others"_a, "steps"_a, "random"_a, "threads"_a)
      .def("useful", &Ahead::useful, "Whether most points can be decided while they are scored; else nothing more can be asked.")
      .def("appraise", &Ahead::appraise, "teacher"_a, "student"_a, "model"_a, "parameters"_a, "given_correctness_ptr"_a, "gain_ptr"_a,
           "correctness_ptr"_a, "label_ptr"_a, "gain_of_label"_a, "other_ptr"_a,
           "left_out_ptr"_a,
           "As the function appraise, for all points. Without addresses nothing is kept but what may be selected. left_out_ptr:\n"
           "a byte a point, 1 where it is left out: its gain becomes NaN. Or 0.")
      .def("counts", &Ahead::counts, "As class_counts, of all points.")
      .def("conclude", &Ahead::conclude, "budgets"_a, "mistakes"_a, "running"_a,
           "(price, threshold, share, value, indices) as of play_by_class; None where an answer is not where it was expected.");
  py::class_<AheadAlone>(module, "OneGame", py::module_local(),
                         "One game on rows that are scored in the same pass.\n\n"
                         "sample: (gain, correctness) of some of the `size` points, spread over all. budget, mistakes: what to expect.\n"
                         "room: how many bytes each point may take. steps and random: as in solve.")
      .def(py::init<const py::tuple&, std::int64_t, double, double, double, const py::tuple&, const py::array&, int>(), "sample"_a,
           "size"_a, "budget"_a, "mistakes"_a, "room"_a, "steps"_a, "random"_a, "threads"_a)
      .def("useful", &AheadAlone::useful, "As of OnePass.")
      .def("appraise", &AheadAlone::appraise, "teacher"_a, "student"_a, "model"_a, "parameters"_a, "given_correctness_ptr"_a,
           "gain_ptr"_a, "correctness_ptr"_a, "label_ptr"_a, "gain_of_label"_a, "other_ptr"_a, "left_out_ptr"_a,
           "As of OnePass; other_ptr is 0.")
      .def("conclude", &AheadAlone::conclude, "budget"_a, "mistakes"_a, "running"_a,
           "(price, threshold, share, value, indices); None where the answer is not where it was expected.");
}

}  // namespace rad_fast
