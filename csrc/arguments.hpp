// What the bindings check of their arguments.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

namespace rad_fast {

namespace py = pybind11;

[[noreturn]] inline void refuse(const std::string& argument, const std::string& expected, const std::string& got) {
  throw py::value_error(argument + ": expected " + expected + ", got " + got);
}

template <class T>
const T* vector_of(const char* argument, const py::array& array, std::int64_t count) {
  if (!py::isinstance<py::array_t<T>>(array) || array.ndim() != 1 || array.size() != count ||
      (array.size() > 1 && array.strides(0) != static_cast<py::ssize_t>(sizeof(T))))
    refuse(argument, std::to_string(count) + " contiguous numbers of " + py::str(py::dtype::of<T>()).template cast<std::string>(),
           std::to_string(array.size()) + " of " + py::str(array.dtype()).cast<std::string>());
  return static_cast<const T*>(array.data());
}

template <class T>
T* changed(const char* argument, py::array& array, std::int64_t count) {
  vector_of<T>(argument, array, count);
  return static_cast<T*>(array.mutable_data());  // raises where it cannot be written to
}

}  // namespace rad_fast
