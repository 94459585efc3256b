// DLPack without its header: the structures by their layout, which the standard fixes (version 1.1; github.com/dmlc/dlpack).
//
// Python's own view of a capsule, through ctypes, took 13 microseconds an array, as long as a small kernel; this takes under one.
//
// The CUDA array interface is a dictionary (numba.readthedocs.io, "CUDA Array Interface (Version 3)"). rad_fast/inputs has the
// messages about what is wrong in it.

#include "arrays.hpp"

#include "cuda/kernels.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <optional>
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
constexpr std::int32_t cpu = 1, on_cuda = 2;
constexpr std::int64_t newest_interface = 3;
constexpr std::uintptr_t legacy_stream = 1;

struct Named {
  const char* name;
  std::uint8_t code, bits;
  const char* typestr;  // as NumPy writes it on a machine that puts the lowest byte first
};
constexpr Named names[] = {{"int32", 0, 32, "<i4"},   {"int64", 0, 64, "<i8"},   {"uint8", 1, 8, "|u1"}, {"float16", 2, 16, "<f2"},
                           {"float32", 2, 32, "<f4"}, {"float64", 2, 64, "<f8"}, {"bfloat16", 4, 16, ""}, {"bool", 6, 8, "|b1"}};

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

// ------------------------------------------------------------------------------------------------- CUDA array interface

namespace {

// An entry that is there and not None; null otherwise.
py::handle entry(const py::dict& interface, const char* key) {
  PyObject* found = PyDict_GetItemString(interface.ptr(), key);
  return found == nullptr || found == Py_None ? py::handle() : py::handle(found);
}

std::optional<std::int64_t> whole_number(const py::handle& given) {
  if (!given || PyIndex_Check(given.ptr()) == 0) return std::nullopt;
  const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(given.ptr()));
  if (!number) throw py::error_already_set();
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow != 0) return std::nullopt;
  return value;
}

// Whole numbers, each from `least` on.
std::optional<std::vector<std::int64_t>> whole_numbers(const py::handle& given, std::int64_t least) {
  if (!given || (!py::isinstance<py::tuple>(given) && !py::isinstance<py::list>(given))) return std::nullopt;
  std::vector<std::int64_t> out;
  for (const py::handle item : given) {
    const auto number = whole_number(item);
    if (!number || *number < least) return std::nullopt;
    out.push_back(*number);
  }
  return out;
}

struct Element {
  std::string dtype;
  std::int64_t bytes;
  bool native;
};

Element element_of(const std::string& typestr) {
  for (const Named& named : names)
    if (typestr == named.typestr) return {named.name, named.bits / 8, true};
  const py::object dtype = py::module_::import("numpy").attr("dtype")(typestr);
  return {dtype.attr("name").cast<std::string>(), dtype.attr("itemsize").cast<std::int64_t>(),
          dtype.attr("isnative").cast<bool>()};
}

}  // namespace

py::object of_interface(const py::dict& interface) {
  const auto wrong = [](const char* what) { return py::str(what); };
  const py::handle given_version = entry(interface, "version");
  const auto version = given_version ? whole_number(given_version) : std::optional<std::int64_t>{0};
  if (!version || *version < 0 || *version > newest_interface) return wrong("version");
  if (entry(interface, "mask")) return wrong("mask");
  const py::handle typestr = entry(interface, "typestr");
  if (!typestr || !py::isinstance<py::str>(typestr)) return wrong("typestr");
  const Element element = element_of(typestr.cast<std::string>());
  if (!element.native) return wrong("byte order");
  const auto shape = whole_numbers(entry(interface, "shape"), 0);
  if (!shape) return wrong("shape");
  py::object strides = py::none();
  if (const py::handle given = entry(interface, "strides")) {
    auto bytes = whole_numbers(given, std::numeric_limits<std::int64_t>::min());
    if (!bytes || bytes->size() != shape->size()) return wrong("strides");
    for (std::int64_t& stride : *bytes) {
      if (stride % element.bytes != 0) return wrong("strides");
      stride /= element.bytes;
    }
    strides = numbers(bytes->data(), static_cast<std::int32_t>(bytes->size()));
  }
  const py::handle data = entry(interface, "data");
  if (!data || !py::isinstance<py::tuple>(data) || py::len(data) != 2) return wrong("data");
  const auto both = py::reinterpret_borrow<py::tuple>(data);
  const int read_only = PyObject_IsTrue(both[1].ptr());
  if (read_only < 0) throw py::error_already_set();
  const auto address = whole_number(both[0]);
  const bool empty = std::find(shape->begin(), shape->end(), 0) != shape->end();
  if (!address || *address < 0 || (*address == 0 && !empty)) return wrong("data");
  std::uintptr_t stream = legacy_stream;
  if (const py::handle given = entry(interface, "stream")) {
    const auto number = whole_number(given);  // 0 is neither the legacy default nor the thread's: version 3 rules it out
    if (!number || *number < 1) return wrong("stream");
    stream = static_cast<std::uintptr_t>(*number);
  }
  const auto at = static_cast<std::uintptr_t>(*address);
  const int device = at == 0 ? 0 : cuda::device_of(reinterpret_cast<const void*>(at));
  return py::make_tuple(at, element.dtype, numbers(shape->data(), static_cast<std::int32_t>(shape->size())), strides, on_cuda,
                        device, stream, read_only == 1);
}

// ------------------------------------------------------------------------------------------------------- memory of our own

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
