// DLPack without its header: the structures by their layout, which the standard fixes (version 1.1; github.com/dmlc/dlpack).
//
// Python's own view of a capsule, through ctypes, took 13 microseconds an array, as long as a small kernel; this takes under one.

#include "arrays.hpp"

#include <atomic>
#include <memory>
#include <vector>

namespace py = pybind11;

namespace rad_fast {
namespace arrays {
namespace {

struct Device {
  std::int32_t type, index;
};

struct DataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t dimensions;
  DataType dtype;
  std::int64_t *shape, *strides;  // strides: in elements; null for a contiguous one
  std::uint64_t byte_offset;
};

struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};

struct Version {
  std::uint32_t major, minor;
};

struct ManagedVersioned {
  Version version;
  void* context;
  void (*deleter)(ManagedVersioned*);
  std::uint64_t flags;
  Tensor tensor;
};

// What a library's tensor class offers to C: only the two functions that are used here have their types.
struct Table {
  Version version;
  Table* older;
  void (*allocate)();
  void (*managed_from)();
  void (*object_from)();
  int (*tensor_from)(void* object, Tensor* out);
  int (*current_stream)(std::int32_t type, std::int32_t index, void** stream);
};

constexpr char legacy_name[] = "dltensor", versioned_name[] = "dltensor_versioned", table_name[] = "dlpack_exchange_api";
constexpr std::uint32_t major_version = 1;
constexpr std::int32_t cpu = 1;

struct Named {
  const char* name;
  std::uint8_t code, bits;
};
constexpr Named names[] = {{"int32", 0, 32},   {"int64", 0, 64},   {"uint8", 1, 8},     {"float16", 2, 16},
                           {"float32", 2, 32}, {"float64", 2, 64}, {"bfloat16", 4, 16}, {"bool", 6, 8}};

std::string name_of(const DataType& dtype) {
  for (const Named& named : names)
    if (dtype.lanes == 1 && named.code == dtype.code && named.bits == dtype.bits) return named.name;
  return std::to_string(dtype.code) + "/" + std::to_string(dtype.bits);
}

py::tuple numbers(const std::int64_t* from, std::int32_t count) {
  py::tuple out(static_cast<std::size_t>(count));
  for (std::int32_t k = 0; k < count; ++k) out[static_cast<std::size_t>(k)] = from[k];
  return out;
}

py::tuple described(const Tensor& tensor, const py::object& last) {
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.byte_offset;
  py::object strides = py::none();
  if (tensor.strides != nullptr) strides = numbers(tensor.strides, tensor.dimensions);
  return py::make_tuple(address, name_of(tensor.dtype), numbers(tensor.shape, tensor.dimensions), strides, tensor.device.type,
                        tensor.device.index, last);
}

std::atomic<std::int64_t> living{0};

// What a capsule of ours points to, and what its structure points to.
struct Kept {
  PyObject* owner;
  std::vector<std::int64_t> shape, strides;
  Managed legacy;
  ManagedVersioned versioned;

  ~Kept() {
    living.fetch_sub(1);
    if (Py_IsInitialized() == 0) return;  // a consumer that outlives the interpreter
    const py::gil_scoped_acquire gil;     // a consumer may be done on any thread
    Py_DECREF(owner);
  }
};

void let_go(Managed* managed) { delete static_cast<Kept*>(managed->context); }
void let_go_versioned(ManagedVersioned* managed) { delete static_cast<Kept*>(managed->context); }

// Of a capsule that nobody consumed: a consumer renames it.
template <class Structure>
void drop(PyObject* capsule, const char* name) {
  if (PyCapsule_IsValid(capsule, name) == 0) return;
  auto* managed = static_cast<Structure*>(PyCapsule_GetPointer(capsule, name));
  managed->deleter(managed);
}

void drop_legacy(PyObject* capsule) { drop<Managed>(capsule, legacy_name); }
void drop_versioned(PyObject* capsule) { drop<ManagedVersioned>(capsule, versioned_name); }

}  // namespace

py::tuple of_capsule(const py::object& capsule) {
  if (PyCapsule_IsValid(capsule.ptr(), legacy_name) != 0)
    return described(static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), legacy_name))->tensor, py::none());
  if (PyCapsule_IsValid(capsule.ptr(), versioned_name) == 0)
    throw py::type_error("capsule: expected one named dltensor or dltensor_versioned that was not consumed");
  const auto* managed = static_cast<ManagedVersioned*>(PyCapsule_GetPointer(capsule.ptr(), versioned_name));
  if (managed->version.major != major_version)
    throw py::buffer_error("capsule: expected DLPack 1, got " + std::to_string(managed->version.major));
  return described(managed->tensor, py::none());
}

py::tuple of_table(const py::object& table, const py::object& tensor) {
  auto* functions = static_cast<Table*>(PyCapsule_GetPointer(table.ptr(), table_name));
  if (functions == nullptr) throw py::error_already_set();
  while (functions != nullptr && functions->version.major != major_version) functions = functions->older;
  if (functions == nullptr || functions->tensor_from == nullptr || functions->current_stream == nullptr)
    throw py::buffer_error("table: expected the functions of DLPack 1");
  Tensor seen{};
  if (functions->tensor_from(tensor.ptr(), &seen) != 0) throw py::error_already_set();
  void* stream = nullptr;
  if (seen.device.type != cpu && functions->current_stream(seen.device.type, seen.device.index, &stream) != 0)
    throw py::error_already_set();
  return described(seen, py::int_(reinterpret_cast<std::uintptr_t>(stream)));
}

py::object capsule_of(const py::object& owner, std::uintptr_t address, const std::string& dtype, const py::tuple& shape,
                      int device_type, int device, bool versioned) {
  const Named* found = nullptr;
  for (const Named& named : names)
    if (dtype == named.name) found = &named;
  if (found == nullptr) throw py::value_error("dtype: expected one that DLPack has, got " + dtype);
  living.fetch_add(1);
  auto kept = std::unique_ptr<Kept>(new Kept{owner.inc_ref().ptr(), {}, {}, {}, {}});
  for (const auto& length : shape) kept->shape.push_back(length.cast<std::int64_t>());
  kept->strides.assign(kept->shape.size(), 1);
  for (std::size_t k = kept->shape.size(); k-- > 1;) kept->strides[k - 1] = kept->strides[k] * kept->shape[k];
  const Tensor tensor{reinterpret_cast<void*>(address),
                      {device_type, device},
                      static_cast<std::int32_t>(kept->shape.size()),
                      {found->code, found->bits, 1},
                      kept->shape.data(),
                      kept->strides.data(),
                      0};
  kept->legacy = {tensor, kept.get(), &let_go};
  kept->versioned = {{major_version, 0}, kept.get(), &let_go_versioned, 0, tensor};
  PyObject* capsule = versioned ? PyCapsule_New(&kept->versioned, versioned_name, &drop_versioned)
                                : PyCapsule_New(&kept->legacy, legacy_name, &drop_legacy);
  if (capsule == nullptr) throw py::error_already_set();
  kept.release();  // the capsule's, or its consumer's
  return py::reinterpret_steal<py::object>(capsule);
}

std::int64_t held() { return living.load(); }

}  // namespace arrays
}  // namespace rad_fast
