// rad_fast._cuda: the CUDA kernels as functions on addresses in device memory.
//
// The Python layer (rad_fast/device/arrays.py) checks arrays, keeps them alive and allocates outputs through the caller's library;
// what is refused here is what would otherwise read or write where nothing is. Everything is queued on the given stream, and
// nothing waits but copy_out. cudart is linked statically: the module imports without a driver, and its functions then say
// "no CUDA device".

#include <cstring>
#include <limits>

#include "arrays.hpp"
#include "bindings_cuda.hpp"

#if !defined(RAD_FAST_MODULE)
#define RAD_FAST_MODULE _cuda
#endif
#if !defined(RAD_FAST_CUDA_ARCHITECTURES)
#define RAD_FAST_CUDA_ARCHITECTURES ""
#endif

namespace rad_fast {
namespace cuda {
namespace {

Logits logits_of(const char* argument, const py::tuple& description, std::int64_t rows) {
  if (description.size() != 5)
    refuse(argument, "(address, dtype, classes, row_stride, column_stride)", std::to_string(description.size()) + " items");
  const auto address = description[0].cast<Address>();
  const int dtype = description[1].cast<int>();
  const auto classes = description[2].cast<std::int64_t>();
  if (dtype < 0 || dtype > 3)
    refuse(std::string(argument) + " dtype", "0 (float64), 1 (float32), 2 (float16) or 3 (bfloat16)", std::to_string(dtype));
  if (classes < 2 || classes > std::numeric_limits<std::int32_t>::max())  // labels are int32
    refuse(std::string(argument) + " classes", "2 to 2147483647", std::to_string(classes));
  require(argument, address, rows);
  constexpr std::size_t bytes[] = {8, 4, 2, 2};
  require_aligned(argument, address, bytes[dtype]);
  return {pointer<const void>(address), static_cast<DType>(dtype), classes, description[3].cast<std::int64_t>(),
          description[4].cast<std::int64_t>()};
}

Rule rule_of(const py::tuple& description, std::int64_t rows, bool with_student) {
  if (description.size() != 11)
    refuse("rule", "(kind, constant, given, thresholds, levels, steps, weights, bounds, gain, gains, agreement)",
           std::to_string(description.size()) + " items");
  const int kind = description[0].cast<int>();
  if (kind < 0 || kind > 4)
    refuse("rule kind", "0 (confidence), 1 (constant), 2 (given), 3 (steps) or 4 (logistic)", std::to_string(kind));
  Rule rule{};
  rule.kind = static_cast<Kind>(kind);
  rule.constant = description[1].cast<float>();
  rule.given = pointer<const float>(description[2].cast<Address>());
  rule.thresholds = pointer<const float>(description[3].cast<Address>());
  rule.levels = pointer<const float>(description[4].cast<Address>());
  rule.steps = description[5].cast<std::int64_t>();
  const auto weights = description[6].cast<py::tuple>();
  if (weights.size() != 4) refuse("rule weights", "4 numbers", std::to_string(weights.size()));
  for (std::size_t k = 0; k < 4; ++k) rule.weights[k] = weights[k].cast<float>();
  const auto bounds = description[7].cast<py::tuple>();
  if (bounds.size() != 2) refuse("rule bounds", "2 numbers", std::to_string(bounds.size()));
  rule.low = bounds[0].cast<float>();
  rule.high = bounds[1].cast<float>();
  const int gain = description[8].cast<int>();
  if (gain < 0 || gain > 1) refuse("rule gain", "0 (margin) or 1 (label)", std::to_string(gain));
  rule.gain = static_cast<Gain>(gain);
  rule.gains = pointer<const float>(description[9].cast<Address>());
  if (rule.gain == Gain::label && !with_student) refuse("student", "logits, which the gain of the label reads", "None");
  const auto agreement = description[10].cast<py::tuple>();
  rule.agrees = rule.kind == Kind::logistic && agreement.size() == 2;
  if (rule.agrees) {
    rule.agreement = agreement[0].cast<float>();
    rule.neighbours = agreement[1].cast<float>();
  }
  if (rule.kind == Kind::given || rule.agrees) require("rule given", description[2].cast<Address>(), rows);
  if (rule.kind == Kind::steps) {
    require_count("rule steps", rule.steps);
    require("rule thresholds", description[3].cast<Address>(), rule.steps);
    require("rule levels", description[4].cast<Address>(), 1);
  }
  if (rule.kind == Kind::logistic && !with_student && !rule.agrees)
    refuse("student", "logits, which the logistic rule reads", "None");
  return rule;
}

}  // namespace

void appraise_rows(const py::tuple& teacher, const py::object& student, std::int64_t rows, std::int64_t first_row,
                   const py::tuple& rule, Address exclude, Address gain, Address correctness, Address label, Address other,
                   Address findings, bool add, std::int64_t behind, int look, double off, int device, Address stream) {
  require_count("rows", rows);
  require_count("first_row", first_row);
  const Logits of_teacher = logits_of("teacher", teacher, rows);
  Logits of_student{};
  const bool both = !student.is_none();
  if (both) of_student = logits_of("student", student.cast<py::tuple>(), rows);
  require("gain", gain, rows);
  require("correctness", correctness, rows);
  require("label", label, rows);
  require("findings", findings, 1);
  if (look < 0 || look > most_looks) refuse("look", "0 to " + std::to_string(most_looks) + " rows", std::to_string(look));
  if (other != 0 && (both ? of_student : of_teacher).classes > 256)
    refuse("other", "0 where there are more than 256 classes", "an address");
  appraise(where(device, stream), of_teacher, of_student, rows, first_row, rule_of(rule, rows, both),
           pointer<const std::uint8_t>(exclude), pointer<float>(gain), pointer<float>(correctness),
           pointer<std::int32_t>(label), pointer<std::uint8_t>(other), pointer<Findings>(findings), add, behind, look, off);
}

namespace {

void bind_score(py::module_& module) {
  using namespace py::literals;
  module.def(
      "score",
      [](const py::tuple& logits, std::int64_t rows, std::int64_t first_row, Address given, Address margin, Address confidence,
         Address label, Address probability, Address findings, int device, Address stream) {
        require_count("rows", rows);
        require_count("first_row", first_row);
        const Logits z = logits_of("logits", logits, rows);
        require("margin", margin, rows);
        require("confidence", confidence, rows);
        require("label", label, rows);
        require("findings", findings, 1);
        if ((given == 0) != (probability == 0)) refuse("given and probability", "both or neither", "one of them");
        score(where(device, stream), z, rows, first_row, pointer<const std::int32_t>(given), pointer<float>(margin),
              pointer<float>(confidence), pointer<std::int32_t>(label), pointer<float>(probability),
              pointer<Findings>(findings));
      },
      "logits"_a, "rows"_a, "first_row"_a, "given"_a, "margin"_a, "confidence"_a, "label"_a, "probability"_a, "findings"_a,
      "device"_a, "stream"_a,
      "Margin, confidence, label (and the given labels' probability) of every row.\n\n"
      "logits: (address, dtype, classes, row_stride, column_stride), strides in elements; dtype 0 float64, 1 float32,\n"
      "2 float16, 3 bfloat16. given (int32) and probability (float32) are both addresses or both 0. Invalid rows get NaN and\n"
      "label -1, and are counted in `findings`.");
  module.def(
      "appraise",
      [](const py::tuple& teacher, const py::object& student, std::int64_t rows, std::int64_t first_row, const py::tuple& rule,
         Address exclude, Address gain, Address correctness, Address label, Address other, Address findings, bool add, int look,
         double off, int device, Address stream) {
        appraise_rows(teacher, student, rows, first_row, rule, exclude, gain, correctness, label, other, findings, add, 0, look,
                      off, device, stream);
      },
      "teacher"_a, "student"_a, "rows"_a, "first_row"_a, "rule"_a, "exclude"_a, "gain"_a, "correctness"_a, "label"_a,
      "other"_a, "findings"_a, "add"_a, "look"_a, "off"_a, "device"_a, "stream"_a,
      "Gain, correctness, the teacher's label and (where `other` is not 0) the likeliest other class of every point.\n\n"
      "rule: (kind, constant, given, thresholds, levels, steps, weights, bounds, gain, gains, agreement) with addresses of\n"
      "float32 in device memory; agreement: (weight, neighbours) of a logistic rule whose `given` it is, or (). exclude: the address of one byte a row, or 0; those points get gain NaN, and are not counted in\n"
      "`findings`. add: to what `findings` holds already, as of the chunks before. look: so many rows are looked at for\n"
      "probabilities, whose sum may be `off` from 1.");
  module.attr("findings_bytes") = sizeof(Findings);
  module.def(
      "findings",
      [](const std::string& bytes) {
        if (bytes.size() != sizeof(Findings)) refuse("bytes", std::to_string(sizeof(Findings)), std::to_string(bytes.size()));
        Findings found;
        std::memcpy(&found, bytes.data(), sizeof found);
        const auto pair = [](const Wrong& wrong) {
          return py::make_tuple(wrong.count, wrong.count ? static_cast<std::int64_t>(~wrong.first) : std::int64_t{-1});
        };
        const auto rows = [](const Looked& seen) { return py::make_tuple(seen.alike, seen.fractions, seen.others); };
        for (const Verdict row : found.first_look) {
          found.teacher_rows.alike += row == Verdict::alike || row == Verdict::fractions;
          found.teacher_rows.fractions += row == Verdict::fractions;
          found.teacher_rows.others += row == Verdict::other;
        }
        return py::make_tuple(pair(found.teacher), pair(found.student), pair(found.given), pair(found.gain), found.invalid,
                              rows(found.teacher_rows), rows(found.student_rows));
      },
      "bytes"_a,
      "(count, first or -1) of the teacher's invalid rows, the student's, of given correctness and of given gains outside\n"
      "[0, 1]; how many rows are invalid for one or the other; and of the teacher's and the student's rows that were looked\n"
      "at: probabilities, those that are not 0 and 1 alone, others.");
}

void solve_points(Address gain, Address correctness, std::int64_t points, std::int64_t budget, double mistakes,
                  double mistakes_each, Address workspace, std::size_t workspace_bytes, Address solution, int device,
                  Address stream) {
  if (points < 1) refuse("points", "at least 1", std::to_string(points));
  if (budget < 1 || budget > points) refuse("budget", "1 to the number of points", std::to_string(budget));
  const double most = mistakes + mistakes_each * static_cast<double>(points);
  if (!(mistakes >= 0.0 && mistakes_each >= 0.0 && most < 0x1p39))
    refuse("mistakes", "at least 0 and below 2**39 in all", std::to_string(most));
  require("gain", gain, points);
  require("correctness", correctness, points);
  require("workspace", workspace, 1);
  require_aligned("workspace", workspace, 16);
  require("solution", solution, 1);
  solve(where(device, stream), pointer<const float>(gain), pointer<const float>(correctness), points, budget, mistakes,
        mistakes_each, pointer<void>(workspace), workspace_bytes, pointer<Solution>(solution));
}

void bind_game(py::module_& module) {
  using namespace py::literals;
  module.def(
      "reduce",
      [](Address gain, Address correctness, std::int64_t points, const py::tuple& box, Address sums, Address undecided_gain,
         Address undecided_correctness, std::int64_t capacity, int device, Address stream) {
        require_count("points", points);
        require_count("capacity", capacity);
        require("gain", gain, points);
        require("correctness", correctness, points);
        require("sums", sums, 1);
        require("undecided_gain", undecided_gain, capacity);
        require("undecided_correctness", undecided_correctness, capacity);
        if (box.size() != 4)
          refuse("box", "(price_low, price_high, threshold_low, threshold_high)", std::to_string(box.size()) + " items");
        double ends[4];
        for (std::size_t k = 0; k < 4; ++k) {
          ends[k] = box[k].cast<double>();
          if (!(ends[k] >= -2.0 && ends[k] <= 2.0)) refuse("box", "numbers within [-2, 2]", std::to_string(ends[k]));
        }
        reduce(where(device, stream), pointer<const float>(gain), pointer<const float>(correctness), points,
               cuts_of(ends[0], ends[1], ends[2], ends[3]), pointer<Sums>(sums), pointer<float>(undecided_gain),
               pointer<float>(undecided_correctness), capacity);
      },
      "gain"_a, "correctness"_a, "points"_a, "box"_a, "sums"_a, "undecided_gain"_a, "undecided_correctness"_a, "capacity"_a,
      "device"_a, "stream"_a,
      "Adds up the points that the box decides, into `sums`; writes the gain and correctness of the others, in any order,\n"
      "`capacity` of them at most.");
  module.attr("sums_bytes") = sizeof(Sums);
  module.def(
      "sums",
      [](const std::string& bytes) {
        if (bytes.size() != sizeof(Sums)) refuse("bytes", std::to_string(sizeof(Sums)), std::to_string(bytes.size()));
        Sums s;
        std::memcpy(&s, bytes.data(), sizeof s);
        const py::int_ shift(32);
        const auto joined = [&](const py::int_& high, std::uint64_t low) { return (high << shift) + py::int_(low); };
        const py::tuple sums =
            py::make_tuple(s.saturated, joined(py::int_(s.value_high), s.value_low), s.full, s.full_advantage, s.full_gain,
                           s.advantage, joined(py::int_(s.width_high), s.width_low));
        return py::make_tuple(sums, s.undecided);
      },
      "bytes"_a, "The fields of kernels.reference.game.Sums, and how many points are undecided.");
  module.def("solve_workspace", &solve_workspace, "points"_a, "Bytes of device memory that `solve` needs.");
  module.def(
      "solve", &solve_points, "gain"_a, "correctness"_a, "points"_a, "budget"_a, "mistakes"_a, "mistakes_each"_a, "workspace"_a, "workspace_bytes"_a,
      "solution"_a, "device"_a, "stream"_a,
      "The equilibrium, written to `solution`, against mistakes + mistakes_each * (valid points). Nothing waits for the "
      "device.");
  module.attr("solution_bytes") = sizeof(Solution);
  module.def(
      "solution",
      [](const std::string& bytes) {
        if (bytes.size() != sizeof(Solution)) refuse("bytes", std::to_string(sizeof(Solution)), std::to_string(bytes.size()));
        Solution s;
        std::memcpy(&s, bytes.data(), sizeof s);
        const char* names[] = {"unset", "solved", "outside", "too_many", "unfinished", "few"};
        const auto status = static_cast<std::size_t>(s.status);
        return py::make_tuple(
            py::make_tuple(s.equilibrium.price, s.equilibrium.threshold, s.equilibrium.share, s.equilibrium.value),
            status < 6 ? names[status] : "unset", s.undecided, s.valid);
      },
      "bytes"_a,
      "((price, threshold, share, value), status, points that the last step solved, valid points); only \"solved\" is an "
      "answer.");
}

Equilibrium equilibrium_of(const py::tuple& three) {
  if (three.size() != 3) refuse("equilibrium", "(price, threshold, share)", std::to_string(three.size()) + " items");
  const Equilibrium e{three[0].cast<double>(), three[1].cast<double>(), three[2].cast<double>(), 0.0};
  if (!(e.price >= 0.0 && e.price <= 2.0)) refuse("price", "a number in [0, 2]", std::to_string(e.price));
  if (!(e.threshold >= -2.0 && e.threshold <= 2.0)) refuse("threshold", "a number in [-2, 2]", std::to_string(e.threshold));
  if (!(e.share >= 0.0 && e.share <= 1.0)) refuse("share", "a number in [0, 1]", std::to_string(e.share));
  return e;
}

void bind_sample(py::module_& module) {
  using namespace py::literals;
  module.def("sample_workspace", &sample_workspace, "points"_a, "Bytes of device memory that `sample` needs.");
  module.def(
      "sample",
      [](Address gain, Address correctness, std::int64_t points, const py::object& equilibrium, std::uint64_t running,
         std::int64_t offset, Address indices, std::int64_t capacity, Address workspace, Address drawn, int device,
         Address stream) {
        require_count("points", points);
        require_count("capacity", capacity);
        require("gain", gain, points);
        require("correctness", correctness, points);
        require("workspace", workspace, 1);
        require_aligned("workspace", workspace, 16);
        require("drawn", drawn, 1);
        Equilibrium e{};
        const Solution* solution = nullptr;
        if (py::isinstance<py::tuple>(equilibrium)) {
          e = equilibrium_of(equilibrium.cast<py::tuple>());
        } else {
          const auto address = equilibrium.cast<Address>();
          require("equilibrium", address, 1);
          solution = pointer<const Solution>(address);
        }
        sample(where(device, stream), pointer<const float>(gain), pointer<const float>(correctness), points, e, solution,
               running, offset, pointer<std::int64_t>(indices), capacity, pointer<void>(workspace), pointer<Drawn>(drawn));
      },
      "gain"_a, "correctness"_a, "points"_a, "equilibrium"_a, "running"_a, "offset"_a, "indices"_a, "capacity"_a, "workspace"_a,
      "drawn"_a, "device"_a, "stream"_a,
      "The indices that a scan from `running` takes, each plus `offset`, `capacity` of them at most; with indices 0 only the\n"
      "running sum after it. equilibrium: (price, threshold, share), or the address of what `solve` wrote.");
  module.attr("drawn_bytes") = sizeof(Drawn);
  module.def(
      "drawn",
      [](const std::string& bytes) {
        if (bytes.size() != sizeof(Drawn)) refuse("bytes", std::to_string(sizeof(Drawn)), std::to_string(bytes.size()));
        Drawn drawn;
        std::memcpy(&drawn, bytes.data(), sizeof drawn);
        return py::make_tuple(drawn.running, drawn.count);
      },
      "bytes"_a, "(running sum after the scan, how many indices it takes).");
  module.def(
      "probabilities",
      [](Address gain, Address correctness, std::int64_t points, const py::tuple& equilibrium, Address out, int device,
         Address stream) {
        require_count("points", points);
        require("gain", gain, points);
        require("correctness", correctness, points);
        require("out", out, points);
        probabilities(where(device, stream), pointer<const float>(gain), pointer<const float>(correctness), points,
                      equilibrium_of(equilibrium), pointer<double>(out));
      },
      "gain"_a, "correctness"_a, "points"_a, "equilibrium"_a, "out"_a, "device"_a, "stream"_a,
      "Inclusion probabilities, float64.");
}

void bind_select(py::module_& module) {
  using namespace py::literals;
  module.def(
      "select",
      [](const py::tuple& teacher, const py::object& student, std::int64_t rows, const py::tuple& rule, Address exclude,
         Address gain, Address correctness, Address label, Address account, std::int64_t budget, std::uint64_t running,
         double mistakes, double mistakes_each, Address workspace, std::size_t workspace_bytes, Address indices, int look,
         double off, int device, Address stream) {
        require("indices", indices, budget);
        require("account", account, 1);
        appraise_rows(teacher, student, rows, 0, rule, exclude, gain, correctness, label, 0, account, false, 0, look, off, device,
                      stream);
        const Address solution = account + sizeof(Findings), drawn = solution + sizeof(Solution);
        solve_points(gain, correctness, rows, budget, mistakes, mistakes_each, workspace, workspace_bytes, solution, device,
                     stream);
        sample(where(device, stream), pointer<const float>(gain), pointer<const float>(correctness), rows, Equilibrium{},
               pointer<const Solution>(solution), running, 0, pointer<std::int64_t>(indices), budget,
               pointer<void>(workspace), pointer<Drawn>(drawn));
      },
      "teacher"_a, "student"_a, "rows"_a, "rule"_a, "exclude"_a, "gain"_a, "correctness"_a, "label"_a, "account"_a, "budget"_a,
      "running"_a, "mistakes"_a, "mistakes_each"_a, "workspace"_a, "workspace_bytes"_a, "indices"_a, "look"_a, "off"_a,
      "device"_a, "stream"_a,
      "`appraise`, `solve` and `sample` in one call. account: room for findings, solution and drawn, one behind the other.\n"
      "The workspace serves the game and then the sample.");
}

void bind_memory(py::module_& module) {
  using namespace py::literals;
  module.attr("architectures") = RAD_FAST_CUDA_ARCHITECTURES;
  module.def(
      "devices",
      [] {
        py::list all;
        for (int device = 0; device < device_count(); ++device) {
          const DeviceInfo info = device_info(device);
          all.append(py::make_tuple(std::string(info.name), py::make_tuple(info.major, info.minor), info.multiprocessors,
                                    info.memory));
        }
        return all;
      },
      "(name, compute capability, multiprocessors, bytes of memory) of every device.");
  module.def(
      "device_of", [](Address memory) { return device_of(pointer<const void>(memory)); }, "memory"_a,
      "The device whose memory an address lies in.");
  module.def(
      "follow", [](Address stream, Address before, int device) { follow(where(device, stream), pointer<void>(before)); },
      "stream"_a, "before"_a, "device"_a, "Work queued on `stream` from now on comes after what is queued on `before`.");
  module.def(
      "allocate",
      [](std::size_t bytes, int device, Address stream) {
        return reinterpret_cast<Address>(allocate(where(device, stream), bytes));
      },
      "bytes"_a, "device"_a, "stream"_a, "Device memory, in the stream's order.");
  module.def(
      "release", [](Address memory, int device, Address stream) { release(where(device, stream), pointer<void>(memory)); },
      "memory"_a, "device"_a, "stream"_a);
  module.def(
      "copy_in",
      [](Address to, const py::buffer& from, int device, Address stream) {
        const py::buffer_info info = from.request();
        py::ssize_t bytes = info.itemsize;
        for (py::ssize_t k = info.ndim - 1; k >= 0; --k) {
          if (info.shape[static_cast<std::size_t>(k)] > 1 && info.strides[static_cast<std::size_t>(k)] != bytes)
            refuse("from", "a contiguous buffer", "one with gaps");
          bytes *= info.shape[static_cast<std::size_t>(k)];
        }
        require("to", to, bytes);
        if (bytes > 0) copy_in(where(device, stream), pointer<void>(to), info.ptr, static_cast<std::size_t>(bytes));
      },
      "to"_a, "buffer"_a, "device"_a, "stream"_a, "Copies a host buffer to device memory.");
  module.def(
      "copy_out",
      [](Address from, std::size_t bytes, int device, Address stream) {
        require("from", from, static_cast<std::int64_t>(bytes));
        const Where here = where(device, stream);
        // Filled in place, before anyone else has it.
        py::bytes to = py::reinterpret_steal<py::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(bytes)));
        if (!to) throw py::error_already_set();
        char* const memory = PyBytes_AS_STRING(to.ptr());
        {
          py::gil_scoped_release release_gil;
          copy_out(here, memory, pointer<const void>(from), bytes);
        }
        return to;
      },
      "from"_a, "bytes"_a, "device"_a, "stream"_a, "Copies device memory to the host, and waits for it.");
}

void bind_arrays(py::module_& module) {
  using namespace py::literals;
  module.def("of_capsule", &arrays::of_capsule, "capsule"_a,
             "(address, dtype, shape, strides or None, device type, device, None) of what a DLPack capsule holds, which is not\n"
             "consumed; dtype is \"code/bits\" for one without a name here.");
  module.def("of_table", &arrays::of_table, "table"_a, "tensor"_a,
             "The same of a tensor, by its class's __dlpack_c_exchange_api__, and its library's current stream.");
  module.def("of_interface", &arrays::of_interface, "interface"_a,
             "The same of a __cuda_array_interface__, with its stream, and whether it may be read alone; a string where that\n"
             "cannot be meant: the entry that is wrong, or \"byte order\".");
  module.def("capsule_of", &arrays::capsule_of, "owner"_a, "address"_a, "dtype"_a, "shape"_a, "device_type"_a, "device"_a,
             "versioned"_a, "A DLPack capsule for memory that `owner` keeps.");
  module.def("held", &arrays::held, "How many capsules, or arrays made of them, still hold an owner.");
}

}  // namespace
}  // namespace cuda
}  // namespace rad_fast

PYBIND11_MODULE(RAD_FAST_MODULE, module) {
  module.doc() = "The CUDA kernels of rad_fast, on raw addresses; use the package's functions instead.";
  rad_fast::cuda::bind_score(module);
  rad_fast::cuda::bind_game(module);
  rad_fast::cuda::bind_sample(module);
  rad_fast::cuda::bind_select(module);
  rad_fast::cuda::bind_classes(module);
  rad_fast::cuda::bind_memory(module);
  rad_fast::cuda::bind_arrays(module);
}
