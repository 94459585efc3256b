// The part of rad_fast._cpu that decides the points of a stream.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "arguments.hpp"
#include "cpu/arrival.hpp"
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

// What stays the same from one call to the next; it keeps the arrays alive.
class Arrivals {
 public:
  Arrivals(const Column& price, const Column& threshold, const Column& share, const Column& due, const std::array<double, 5>& pace,
           Whole& counts, Column& phase, Column& got, Column& came, Column& reached, std::optional<Ring> ring)
      : held_{price, threshold, share, due, counts, phase, got, came, reached}, ring_(std::move(ring)),
        course_{price.data(), threshold.data(), share.data(), due.data(), price.size()},
        pace_{pace[0], pace[1], pace[2], pace[3], pace[4]} {
    const std::int64_t classes = course_.classes;
    if (classes < 1 || threshold.size() != classes * arrival_levels || share.size() != threshold.size() ||
        due.size() != classes || phase.size() != classes || got.size() != classes || came.size() != classes ||
        counts.size() != 3 || reached.size() != 2)
      refuse("price, threshold, share, due, counts, phase, got, came, reached",
             "shapes (k,), (k, 33), (k, 33), (k,), (3,), (k,), (k,), (k,), (2,)", "others");
    counts_ = counts.mutable_data();
    standing_ = {0, 0, 0, phase.mutable_data(), got.mutable_data(), came.mutable_data(), reached.mutable_data()};
    if (!ring_) return;
    size_ = (*ring_)[0].size();
    ring_gain_ = changed<float>("ring", (*ring_)[0], size_);
    ring_correctness_ = changed<float>("ring", (*ring_)[1], size_);
    ring_label_ = changed<std::int32_t>("ring", (*ring_)[2], size_);
  }

  py::array_t<bool> decide(const py::array& gains, const py::array& correctnesses, const py::array& labels, std::int64_t begin) {
    const std::int64_t count = gains.size();
    const float *const gain = vector_of<float>("gain", gains, count),
                *const correctness = vector_of<float>("correctness", correctnesses, count);
    const std::int32_t* const label = vector_of<std::int32_t>("label", labels, count);
    require_labels(label, count, course_.classes);
    if (ring_ && (begin < 0 || begin > size_ || count > size_ || (begin == size_ && count > 0)))
      refuse("begin", "a place in the ring, and room for the points", std::to_string(begin));
    py::array_t<bool> taken(count);
    standing_.seen = counts_[0];
    standing_.taken = counts_[1];
    standing_.since = counts_[2];
    decide_all(gain, correctness, label, count, course_, pace_, standing_, taken.mutable_data());
    counts_[0] = standing_.seen;
    counts_[1] = standing_.taken;
    if (ring_) {
      const std::int64_t straight = std::min(count, size_ - begin);
      keep(gain, straight, count, ring_gain_, begin);
      keep(correctness, straight, count, ring_correctness_, begin);
      keep(label, straight, count, ring_label_, begin);
    }
    return taken;
  }

 private:
  template <class T>
  static void keep(const T* values, std::int64_t straight, std::int64_t count, T* ring, std::int64_t begin) {
    std::copy(values, values + straight, ring + begin);
    std::copy(values + straight, values + count, ring);
  }

  std::array<py::object, 9> held_;
  std::optional<Ring> ring_;
  Course course_;
  Pace pace_;
  Standing standing_{};
  std::int64_t* counts_ = nullptr;
  float *ring_gain_ = nullptr, *ring_correctness_ = nullptr;
  std::int32_t* ring_label_ = nullptr;
  std::int64_t size_ = 0;
};

py::array_t<bool> decide(const py::array& gain, const py::array& correctness, const py::array& label, const Column& price,
                         const Column& threshold, const Column& share, const Column& due, const std::array<double, 5>& pace,
                         Whole& counts, Column& phase, Column& got, Column& came, Column& reached) {
  return Arrivals(price, threshold, share, due, pace, counts, phase, got, came, reached, {}).decide(gain, correctness, label, 0);
}

py::object arrivals(const Column& price, const Column& threshold, const Column& share, const Column& due,
                          const std::array<double, 5>& pace, Whole& counts, Column& phase, Column& got, Column& came,
                          Column& reached, const Ring& ring) {
  const auto kept = std::make_shared<Arrivals>(price, threshold, share, due, pace, counts, phase, got, came, reached, ring);
  return py::cpp_function([kept](const py::array& gain, const py::array& correctness, const py::array& label,
                                 std::int64_t begin) { return kept->decide(gain, correctness, label, begin); });
}

std::pair<Column, Column> ladders(const py::array& gain, const py::array& correctness, const py::array& label, const Column& price,
                                  const Whole& classes, const Column& wanted, double all) {
  const std::int64_t count = gain.size(), rows = classes.size(), columns = rows ? wanted.size() / rows : 0;
  const float *const gains = vector_of<float>("gain", gain, count),
              *const correctnesses = vector_of<float>("correctness", correctness, count);
  const std::int32_t* const labels = vector_of<std::int32_t>("label", label, count);
  if (price.size() < 1) refuse("price", "one number a class", "none");
  require_labels(labels, count, price.size());
  if (wanted.size() != rows * columns) refuse("wanted", "a row for each of classes", "others");
  for (std::int64_t row = 0; row < rows; ++row)
    if (classes.data()[row] < 0 || classes.data()[row] >= price.size())
      refuse("classes", "0 to " + std::to_string(price.size() - 1), std::to_string(classes.data()[row]));
  Column threshold({rows, columns}), share({rows, columns});
  double *const thresholds = threshold.mutable_data(), *const shares = share.mutable_data();
  const double* const numbers = wanted.data();
  const Ladders all_of(gains, correctnesses, labels, count, price.data(), price.size());
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      const Rung rung = all_of.rung(static_cast<std::size_t>(classes.data()[row]), numbers[i], all);
      thresholds[i] = rung.threshold;
      shares[i] = rung.share;
    }
  return {threshold, share};
}

}  // namespace

void bind_arrival(py::module_& module) {
  using namespace py::literals;
  module.def("decide", &decide, "gain"_a, "correctness"_a, "label"_a, "price"_a, "threshold"_a, "share"_a, "due"_a, "pace"_a,
             py::arg("counts").noconvert(), py::arg("phase").noconvert(), py::arg("got").noconvert(),
             py::arg("came").noconvert(), py::arg("reached").noconvert(),
             "Which of the points that arrive are taken, in their order. pace: (budget, of, slack, most, end). counts (int64:\n"
             "seen, taken, seen up to the solution), phase, got and came (float64, one a class) and reached (float64, two) are changed.");
  module.def("arrivals", &arrivals, "price"_a, "threshold"_a, "share"_a, "due"_a, "pace"_a,
             py::arg("counts").noconvert(), py::arg("phase").noconvert(), py::arg("got").noconvert(),
             py::arg("came").noconvert(), py::arg("reached").noconvert(), "ring"_a,
             "decide() for points to come, as a function of (gain, correctness, label, begin). It keeps the arrays, and copies the\n"
             "points into the ring (gain, correctness, label) from place `begin` on.");
  module.def("ladders", &ladders, "gain"_a, "correctness"_a, "label"_a, "price"_a, "classes"_a, "wanted"_a, "all"_a,
             "For each number of points wanted, (k, levels), of each of k classes: the threshold at which so many are taken, `all`\n"
             "where there are fewer, and the share of the points on it.");
}

}  // namespace rad_fast
