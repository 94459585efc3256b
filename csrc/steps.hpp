// What Python says of the solver's steps, checked.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "cpu/solve.hpp"

namespace rad_fast {

// `random`: a number for each point of a sample.
inline Steps steps_of(const pybind11::tuple& numbers, const pybind11::array& random) {
  const auto refuse = [](const std::string& argument, const std::string& expected, const std::string& got) {
    throw pybind11::value_error(argument + ": expected " + expected + ", got " + got);
  };
  if (numbers.size() != 7)
    refuse("steps", "(sample, direct, spared, most_sampled, enough, deviations, shrinks)", std::to_string(numbers.size()) + " items");
  const Steps steps{numbers[0].cast<std::int64_t>(), numbers[1].cast<std::int64_t>(), numbers[2].cast<std::int64_t>(),
                    numbers[3].cast<std::int64_t>(), numbers[4].cast<std::int64_t>(), numbers[5].cast<std::vector<double>>(),
                    numbers[6].cast<double>()};
  for (const std::int64_t number : {steps.sample, steps.spared, steps.most_sampled, steps.enough})
    if (number < 1) refuse("steps", "numbers of at least 1", std::to_string(number));
  if (steps.deviations.empty()) refuse("steps", "deviations", "none");
  if (!pybind11::isinstance<pybind11::array_t<double>>(random) || random.ndim() != 1 || random.strides(0) != 8 ||
      random.size() < std::max(steps.sample, steps.most_sampled))
    refuse("random", "a contiguous float64 array with a number for each sampled point", std::to_string(random.size()) + " numbers");
  return steps;
}

}  // namespace rad_fast
