// The functions that csrc/cuda shares between host and device, compiled for the CPU alone and offered to the tests.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <vector>

#include "../../csrc/cuda/kernels.hpp"
#include "../../csrc/cuda/search.hpp"

namespace py = pybind11;
using namespace rad_fast::cuda;

namespace {

typedef py::array_t<float, py::array::c_style | py::array::forcecast> Floats;
typedef py::array_t<double, py::array::c_style | py::array::forcecast> Doubles;

template <class To, class From, class Function>
py::array_t<To> mapped(const py::array_t<From, py::array::c_style | py::array::forcecast>& values, const Function& function) {
  py::array_t<To> out(values.size());
  for (py::ssize_t i = 0; i < values.size(); ++i) out.mutable_data()[i] = function(values.data()[i]);
  return out;
}

py::int_ whole(int128 x) {
  const py::int_ high(static_cast<std::int64_t>(x >> 64)), low(static_cast<std::uint64_t>(x)), shift(64);
  return (high << shift) + low;
}

uint128 unsigned_of(const py::int_& x) {
  const py::int_ shift(64), mask(0xffffffffffffffffull);
  return static_cast<uint128>((x >> shift).cast<std::uint64_t>()) << 64 | (x & mask).cast<std::uint64_t>();
}

int128 signed_of(const py::int_& x) {
  const bool negative = x < py::int_(0);
  const py::int_ size = negative ? py::int_(-x) : x;
  const auto value = static_cast<int128>(unsigned_of(size));
  return negative ? -value : value;
}

std::vector<Point> points_of(const Floats& gain, const Floats& correctness) {
  std::vector<Point> points;
  for (py::ssize_t i = 0; i < gain.size(); ++i) points.push_back(point_of(gain.data()[i], correctness.data()[i]));
  return points;
}

// One thread's team.
struct Loop {
  static constexpr std::int64_t narrow_above = 256;

  std::vector<Point> points;
  int probes = 0;

  std::int64_t size() const { return static_cast<std::int64_t>(points.size()); }
  Totals probe(const Cuts& cuts) {
    ++probes;
    Totals totals{};
    for (const Point p : points) add_point(totals, p, part_of(p, cuts), width_of_gain(p.gain));
    return totals;
  }
  Sums narrow(const Cuts& cuts) {
    Sums sums{};
    std::size_t kept = 0;
    for (const Point p : points) {
      const Part part = part_of(p, cuts);
      add_point(sums, p, part);
      if (part == Part::undecided) points[kept++] = p;
    }
    points.resize(kept);
    return sums;
  }
};

py::tuple solve_here(const Floats& gain, const Floats& correctness, std::int64_t budget, double mistakes) {
  Loop team{points_of(gain, correctness)};
  const int128 spend = spend_of(mistakes);
  Problem problem{static_cast<int128>(budget) << 62, spend, 0};
  Bounds bounds;
  Exact known;
  Iterate from{};
  approach(team, problem, bounds, from);
  const int approached = team.probes;
  const Found found = search<true>(team, problem, bounds, known, from);
  Equilibrium answer{};
  bool good = found.ending != Ending::unfinished;
  if (good) {
    Tied tied{};
    for (const Point p : team.points) add_point(tied, p, found.floor, found.threshold, width_of_gain(p.gain));
    known.add([&] {
      Exact sums;
      sums.add(team.narrow(cuts_at(found.floor, found.threshold)));
      return sums;
    }());
    good = concluded(found, known, tied, static_cast<int128>(budget) << 62, spend, answer);
  }
  return py::make_tuple(py::make_tuple(answer.price, answer.threshold, answer.share, answer.value), good,
                        static_cast<int>(found.ending), team.probes, approached);
}

}  // namespace

PYBIND11_MODULE(shared_functions, module) {
  module.def("exponential", [](const Floats& x) { return mapped<float, float>(x, [](float v) { return exponential(v); }); });
  module.def("exp_difference",
             [](const Doubles& x) { return mapped<float, double>(x, [](double v) { return exp_difference(v, 0.0); }); });
  module.def("logarithm", [](const Floats& x) { return mapped<float, float>(x, [](float v) { return logarithm(v); }); });
  module.def("logit", [](const Floats& x) { return mapped<float, float>(x, [](float v) { return logit(v); }); });
  module.def("sigmoid", [](const Floats& x) { return mapped<float, float>(x, [](float v) { return sigmoid(v); }); });
  module.def("half", [](const py::array_t<std::uint16_t>& x) {
    return mapped<float, std::uint16_t>(x, [](std::uint16_t v) { return widened(Float16{v}); });
  });
  module.def("width", [](const py::array_t<std::int32_t>& x) {
    return mapped<std::uint64_t, std::int32_t>(x, [](std::int32_t v) { return width_of_gain(v); });
  });
  // The two largest of an array, taken in two halves and joined.
  module.def("top_two", [](const Doubles& x, py::ssize_t cut) {
    TopTwo<double> a = no_top<double>(), b = a;
    for (py::ssize_t i = 0; i < x.size(); ++i) include(i < cut ? a : b, x.data()[i]);
    const TopTwo<double> both = merged(a, b);
    return py::make_tuple(both.first, both.second);
  });
  module.def("level", [](const Floats& thresholds, const Floats& levels, float margin) {
    Rule rule{};
    rule.thresholds = thresholds.data();
    rule.levels = levels.data();
    rule.steps = thresholds.size();
    return level_of(rule, margin);
  });
  module.def("width_class", [](std::int64_t classes, std::int64_t bytes, std::int64_t rows, std::int64_t slots, bool clusters) {
    return static_cast<int>(width_of(chunks_of(classes, bytes), rows, slots, clusters));
  });
  module.def("not_less",
             [](const py::int_& x, std::int64_t t, const py::int_& w) { return not_less(signed_of(x), t, unsigned_of(w)); });
  module.def("ratio", [](const py::int_& n, const py::int_& d, int exponent) {
    return signed_ratio(signed_of(n), unsigned_of(d), exponent);
  });
  module.def("sums", [](const Floats& gain, const Floats& correctness, double a, double b, double c, double d) {
    Sums sums{};
    const Cuts cuts = cuts_of(a, b, c, d);
    for (const Point p : points_of(gain, correctness)) add_point(sums, p, part_of(p, cuts));
    Exact exact;
    exact.add(sums);
    return py::make_tuple(py::make_tuple(exact.saturated, whole(exact.value), exact.full, exact.full_advantage, exact.full_gain,
                                         exact.advantage, whole(static_cast<int128>(exact.width))),
                          sums.undecided);
  });
  module.def("probabilities", [](const Floats& gain, const Floats& correctness, double price, double threshold, double share) {
    const Rates rates = rates_of(Equilibrium{price, threshold, share, 0.0});
    const std::vector<Point> points = points_of(gain, correctness);
    py::array_t<double> out(gain.size());
    for (std::size_t i = 0; i < points.size(); ++i) out.mutable_data()[i] = probability_of(points[i], rates);
    return out;
  });
  module.def("solve", &solve_here);
}
