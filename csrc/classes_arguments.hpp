// What the bindings that know classes check of their arguments, and what they give back.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "arguments.hpp"
#include "cpu/by_class.hpp"

namespace rad_fast {

inline LabelledPoints labelled_points(const py::array& gain, const py::array& correctness, const py::array& label,
                                      const py::object& other = py::none()) {
  const std::int64_t count = gain.size();
  LabelledPoints points{vector_of<float>("gain", gain, count), vector_of<float>("correctness", correctness, count),
                        vector_of<std::int32_t>("label", label, count), nullptr, count};
  if (!other.is_none()) points.other = vector_of<std::uint8_t>("other", other.cast<py::array>(), count);
  if (count > std::int64_t{1} << 32) refuse("gain", "at most 2^32 points a call", std::to_string(count));
  return points;
}

// Of each class: points (int64), budget and mistakes (float64).
inline ClassStakes stakes_of(const py::array& counts, const py::array& budgets, const py::array& mistakes, std::int64_t others) {
  const std::int64_t classes = counts.size();
  if (classes < 1 || classes > INT32_MAX) refuse("counts", "1 to 2147483647 classes", std::to_string(classes));
  const ClassStakes stakes{classes, others, vector_of<std::int64_t>("counts", counts, classes),
                           vector_of<double>("budgets", budgets, classes), vector_of<double>("mistakes", mistakes, classes)};
  for (std::int64_t k = 0; k < classes; ++k) {
    const double budget = stakes.budget[k];
    if (!(budget >= 0) || budget > static_cast<double>(stakes.points[k]))
      refuse("budgets", "from 0 to the points of the class", std::to_string(budget));
    if (!(stakes.mistakes[k] >= 0)) refuse("mistakes", "at least 0", std::to_string(stakes.mistakes[k]));
  }
  return stakes;
}

using Doubles = py::array_t<double>;

inline Doubles as_array(const std::vector<double>& numbers) { return Doubles(static_cast<py::ssize_t>(numbers.size()), numbers.data()); }

using Played = std::optional<std::tuple<Doubles, Doubles, Doubles, Doubles, py::array_t<std::int64_t>>>;

// Joined; each part is let go when it has been copied.
inline py::array_t<std::int64_t> indices_of(std::vector<Sampled>& taken) {
  std::size_t count = 0;
  for (const Sampled& some : taken) count += some.places.size();
  py::array_t<std::int64_t> indices(static_cast<py::ssize_t>(count));
  std::int64_t* out = indices.mutable_data();
  for (Sampled& some : taken) {
    for (const std::uint32_t place : some.places) *out++ = some.begin + place;
    some.places = {};
  }
  return indices;
}

inline Played played(const ClassAnswers& found, std::vector<Sampled>& taken) {
  return std::make_tuple(as_array(found.price), as_array(found.threshold), as_array(found.share), as_array(found.value), indices_of(taken));
}

}  // namespace rad_fast
