// What the bindings of the CUDA kernels share: addresses, and what is refused of them.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <string>

#include "cuda/kernels.hpp"

namespace rad_fast {
namespace cuda {

namespace py = pybind11;

typedef std::uintptr_t Address;

template <class T>
T* pointer(Address address) {
  return reinterpret_cast<T*>(address);
}

[[noreturn]] inline void refuse(const std::string& argument, const std::string& expected, const std::string& got) {
  throw py::value_error(argument + ": expected " + expected + ", got " + got);
}

inline void require(const char* argument, Address address, std::int64_t elements) {
  if (elements > 0 && address == 0) refuse(argument, "an address", "0");
}

inline void require_aligned(const char* argument, Address address, std::size_t bytes) {
  if (address % bytes != 0)
    refuse(argument, "an address that is a multiple of " + std::to_string(bytes), std::to_string(address));
}

inline void require_count(const char* argument, std::int64_t value) {
  if (value < 0) refuse(argument, "0 or more", std::to_string(value));
}

inline Where where(int device, Address stream) {
  if (device < 0) refuse("device", "0 or more", std::to_string(device));
  return {device, pointer<void>(stream)};
}

// `appraise` of kernels.hpp, its arguments checked; teacher, student and rule as bindings_cuda.cpp describes them.
void appraise_rows(const py::tuple& teacher, const py::object& student, std::int64_t rows, std::int64_t first_row,
                   const py::tuple& rule, Address exclude, Address gain, Address correctness, Address label, Address other,
                   Address findings, bool add, std::int64_t behind, int look, double off, int device, Address stream);

void bind_classes(py::module_& module);  // bindings_cuda_classes.cpp

}  // namespace cuda
}  // namespace rad_fast
