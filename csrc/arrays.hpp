// Device arrays of other libraries, by what they all speak: DLPack, or the CUDA array interface. See arrays.cpp.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

namespace rad_fast {
namespace arrays {

// (address, dtype, shape, strides in elements or None, device type, device) of what a DLPack capsule holds, legacy or
// versioned; dtype is "code/bits" for one that rad_fast has no name for. The capsule is not consumed.
pybind11::tuple of_capsule(const pybind11::object& capsule);

// The same of a tensor, through its class's table of DLPack functions, and the stream that its library works on (0 on the CPU).
pybind11::tuple of_table(const pybind11::object& table, const pybind11::object& tensor);

// The same of what an array's __cuda_array_interface__ says, with its stream (the legacy default one where none is named), and
// whether it may be read alone. A string where that cannot be meant: the entry that is wrong, or "byte order".
pybind11::object of_interface(const pybind11::dict& interface);

// A capsule for memory that `owner` keeps alive. `versioned`: of DLPack 1.
pybind11::object capsule_of(const pybind11::object& owner, std::uintptr_t address, const std::string& dtype,
                            const pybind11::tuple& shape, int device_type, int device, bool versioned);

// How many capsules, or arrays made of them, still hold an owner.
std::int64_t held();

}  // namespace arrays
}  // namespace rad_fast
