// The part of rad_fast._cpu that knows classes: points by class, probabilities by class, the sample along keys.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "arguments.hpp"
#include "classes_arguments.hpp"
#include "cpu/by_class.hpp"
#include "cpu/classes.hpp"
#include "cpu/quotas.hpp"
#include "steps.hpp"

namespace py = pybind11;

namespace rad_fast {

void bind_classes(py::module_& module);

namespace {

struct Table {
  Equilibria equilibria;
  std::int64_t classes;
};

Table table_of(const py::tuple& numbers) {
  if (numbers.size() != 3) refuse("equilibria", "(price, threshold, share)", std::to_string(numbers.size()) + " items");
  const std::int64_t classes = numbers[0].cast<py::array>().size();
  if (classes < 1 || classes > INT32_MAX) refuse("equilibria", "1 to 2147483647 classes", std::to_string(classes));
  const auto column = [&](std::size_t k, const char* name) {
    return vector_of<double>(name, numbers[k].cast<py::array>(), classes);
  };
  return {{column(0, "price"), column(1, "threshold"), column(2, "share")}, classes};
}

void require(int threads, std::int64_t others, const py::object& other) {
  if (threads < 1) refuse("threads", "at least 1", std::to_string(threads));
  if (others < 1 || others > 256 || (others > 1) != !other.is_none())
    refuse("others", "1, or up to 256 with `other`", std::to_string(others));
}

using Units = py::array_t<std::uint64_t>;

py::array_t<std::int64_t> class_counts(const py::array& gain, const py::array& correctness, const py::array& label,
                                       std::int64_t classes, int threads) {
  require(threads, 1, py::none());
  if (classes < 1) refuse("classes", "at least 1", std::to_string(classes));
  const LabelledPoints points = labelled_points(gain, correctness, label);
  const std::int64_t parts = parts_of(threads, points.count, 2 * classes), numbers = parts * classes;
  std::vector<std::int64_t> counts(static_cast<std::size_t>(2 * numbers));
  py::array_t<std::int64_t> total({std::int64_t{2}, classes});
  std::int64_t* const out = total.mutable_data();
  py::gil_scoped_release release;
  std::fill(out, out + 2 * classes, std::int64_t{0});
  count_all(threads, points, classes, parts, counts.data(), counts.data() + numbers);
  for (std::int64_t at = 0; at < 2 * numbers; ++at) out[at / numbers * classes + at % classes] += counts[static_cast<std::size_t>(at)];
  return total;
}

void group(const py::array& gain, const py::array& correctness, const py::array& label, py::array starts,
           py::array out_gain, py::array out_correctness, int threads) {
  require(threads, 1, py::none());
  const LabelledPoints points = labelled_points(gain, correctness, label);
  const std::int64_t classes = starts.size(), room = out_gain.size();
  std::int64_t* const at = changed<std::int64_t>("starts", starts, classes);
  float *const to_gain = changed<float>("out_gain", out_gain, room),
        *const to_correctness = changed<float>("out_correctness", out_correctness, room);
  for (std::int64_t k = 0; k < classes; ++k)
    if (at[k] < 0) refuse("starts", "places from 0 on", std::to_string(at[k]));
  py::gil_scoped_release release;
  group_all(threads, points, classes, at, room, to_gain, to_correctness);
}

py::array_t<double> class_probabilities(const py::array& gain, const py::array& correctness, const py::array& label,
                                        const py::tuple& equilibria, int threads) {
  require(threads, 1, py::none());
  const LabelledPoints points = labelled_points(gain, correctness, label);
  const Table table = table_of(equilibria);
  py::array_t<double> q(points.count);
  double* const out = q.mutable_data();
  py::gil_scoped_release release;
  class_probabilities_all(threads, points, table.classes, table.equilibria, out);
  return q;
}

Units mass_by_key(const py::array& gain, const py::array& correctness, const py::array& label, const py::object& other,
                  const py::tuple& equilibria, std::int64_t others, int threads) {
  require(threads, others, other);
  const LabelledPoints points = labelled_points(gain, correctness, label, other);
  const Table table = table_of(equilibria);
  const std::int64_t keys = table.classes * others, parts = parts_of(threads, points.count, keys);
  Units sums({parts, keys});
  std::uint64_t* const out = sums.mutable_data();
  py::gil_scoped_release release;
  std::fill(out, out + parts * keys, std::uint64_t{0});
  key_masses(threads, points, table.classes, others, parts, table.equilibria, out);
  return sums;
}

py::array_t<std::int64_t> sample_by_key(const py::array& gain, const py::array& correctness, const py::array& label,
                                        const py::object& other, const py::tuple& equilibria, std::int64_t others,
                                        const Units& running, int threads) {
  require(threads, others, other);
  const LabelledPoints points = labelled_points(gain, correctness, label, other);
  const Table table = table_of(equilibria);
  const std::int64_t keys = table.classes * others;
  if (running.ndim() != 2 || running.shape(0) < 1 || running.shape(1) != keys)
    refuse("running", "(parts, " + std::to_string(keys) + ")", std::to_string(running.size()) + " numbers");
  const std::int64_t parts = running.shape(0);
  std::vector<std::uint64_t> sums(running.data(), running.data() + parts * keys);
  std::vector<std::vector<std::uint32_t>> taken;
  {
    py::gil_scoped_release release;
    taken = key_samples(threads, points, table.classes, others, parts, table.equilibria, sums.data());
  }
  std::size_t count = 0;
  for (const auto& part : taken) count += part.size();
  py::array_t<std::int64_t> indices(static_cast<py::ssize_t>(count));
  std::int64_t* out = indices.mutable_data();
  for (const auto& part : taken) out = std::copy(part.begin(), part.end(), out);
  return indices;
}

Played play_by_class(const std::vector<std::tuple<py::array, py::array, py::array, py::object>>& pieces, const py::array& counts,
                         const py::array& budgets, const py::array& mistakes, std::int64_t others, std::uint64_t running,
                         const py::tuple& numbers, const py::array& random, int threads) {
  const Steps steps = steps_of(numbers, random);
  std::vector<LabelledPoints> chunks;
  for (const auto& [gain, correctness, label, other] : pieces) {
    require(threads, others, other);
    chunks.push_back(labelled_points(gain, correctness, label, other));
  }
  const ClassStakes stakes = stakes_of(counts, budgets, mistakes, others);
  std::optional<ByClass> games;
  std::vector<Sampled> taken;
  try {
    py::gil_scoped_release release;
    games.emplace(chunks, stakes, steps, static_cast<const double*>(random.data()), threads);
    if (games->solve()) taken = games->sample(running);
    else games.reset();
  } catch (const std::domain_error&) {
    refuse("gain", "multiples of 2**-24 from 0 to 1", "others");
  }
  if (!games) return std::nullopt;
  return played(games->answers, taken);
}

// The shares of a budget, as kernels/reference/quotas.py has them.
std::tuple<Doubles, Doubles, Doubles> shares(const py::object& asked, const py::array_t<std::int64_t, py::array::c_style>& counts,
                                             const py::array& chosen, std::int64_t budget, bool bounded, double mistakes) {
  if (counts.ndim() != 2 || counts.shape(0) != 2 || counts.shape(1) < 1)
    refuse("counts", "(2, classes) numbers", std::to_string(counts.size()) + " numbers");
  const std::int64_t classes = counts.shape(1);
  const std::int64_t *points = counts.data(), *before = vector_of<std::int64_t>("chosen", chosen, classes);
  const std::int64_t every = std::accumulate(points, points + classes, std::int64_t{0});
  if (budget < 1 || budget > every) refuse("budget", "1 to the number of points", std::to_string(budget));
  if (std::accumulate(before, before + classes, budget) >= std::int64_t{1} << part_bits)
    refuse("chosen", "fewer than 2^52 points with the budget", "more");
  Doubles out_weights(static_cast<py::ssize_t>(classes));
  double* const weights = out_weights.mutable_data();
  std::fill(weights, weights + classes, 1.0);
  if (py::isinstance<py::str>(asked)) {
    const auto name = asked.cast<std::string>();
    const bool root = name == "root";
    if (!root && name != "equal" && name != "proportional") refuse("weights", "numbers, equal, proportional or root", name);
    for (std::int64_t k = 0; k < classes && name != "equal"; ++k) {
      const auto size = static_cast<double>(points[k]);
      weights[k] = root ? std::sqrt(size) : size;
    }
  } else {
    const double* given = vector_of<double>("weights", asked.cast<py::array>(), classes);
    std::copy(given, given + classes, weights);
    for (std::int64_t k = 0; k < classes; ++k)
      if (!(weights[k] >= 0.0 && std::isfinite(weights[k])))
        refuse("weights", "finite numbers from 0 on", std::to_string(weights[k]));
  }
  bool any = false;
  for (std::int64_t k = 0; k < classes; ++k) any |= points[k] > 0 && weights[k] > 0.0;
  if (!any) std::fill(weights, weights + classes, 1.0);  // whoever has points takes it all
  Doubles quotas(static_cast<py::ssize_t>(classes)), each(static_cast<py::ssize_t>(classes));
  share_out(weights, static_cast<std::size_t>(classes), points, before, budget, bounded ? points + classes : nullptr, quotas.mutable_data());
  constexpr double unit = 0x1p-25;
  double* const out = each.mutable_data();
  std::fill(out, out + classes, 0.0);
  for (std::int64_t k = 0; k < classes; ++k)
    if (points[k] > 0)
      out[k] = std::floor(mistakes * static_cast<double>(points[k]) / static_cast<double>(every) / unit + 0.5) * unit;
  return {quotas, out_weights, each};
}

}  // namespace

void bind_classes(py::module_& module) {
  using namespace py::literals;
  module.def("shares", &shares, "weights"_a, "counts"_a, "chosen"_a, "budget"_a, "bounded"_a, "mistakes"_a,
             "Quotas, weights and mistakes of each class. weights: float64, or equal, proportional or root. counts: as class_counts\n"
             "gives them. chosen: int64. bounded: whether no class gets more than it has points with a positive effective gain, as\n"
             "long as there are others.");
  module.def("class_counts", &class_counts, "gain"_a, "correctness"_a, "label"_a, "classes"_a, "threads"_a,
             "(2, classes) int64: how many points of each class are not left out, and how many of these have a positive effective\n"
             "gain.");
  module.def("group", &group, "gain"_a, "correctness"_a, "label"_a, "starts"_a, "out_gain"_a, "out_correctness"_a, "threads"_a,
             "Writes gain and correctness of each class's points that are not left out, in their order, to starts[class] and\n"
             "on; starts (int64) are moved to where the next ones go.");
  module.def("class_probabilities", &class_probabilities, "gain"_a, "correctness"_a, "label"_a, "equilibria"_a, "threads"_a,
             "Inclusion probabilities, float64. equilibria: (price, threshold, share), float64 arrays, one number a class;\n"
             "here and below.");
  module.def("mass_by_key", &mass_by_key, "gain"_a, "correctness"_a, "label"_a, "other"_a, "equilibria"_a, "others"_a,
             "threads"_a,
             "(parts, classes x others) sums of the inclusion probabilities by key, label x others + other, in units of 2^-62\n"
             "modulo 2^64: for each of the parts that the points are cut into. other (uint8) is None where others is 1.");
  module.def("sample_by_key", &sample_by_key, "gain"_a, "correctness"_a, "label"_a, "other"_a, "equilibria"_a, "others"_a,
             "running"_a, "threads"_a,
             "Indices (int64, ascending) of the points where their key's running sum passes a whole number. running: where it\n"
             "starts in each part and key, of the shape that mass_by_key returns.");
  module.def("play_by_class", &play_by_class, "pieces"_a, "counts"_a, "budgets"_a, "mistakes"_a, "others"_a, "running"_a, "steps"_a,
             "random"_a, "threads"_a,
             "A game a class on points in one or more pieces (gain, correctness, label, other), and the sample along keys: (price,\n"
             "threshold, share, value, indices); None where points are so alike that they had better be counted. counts (int64),\n"
             "budgets and mistakes (float64): of each class. running: where the scan starts. steps and random: as in solve.");
}

}  // namespace rad_fast
