// rad_fast._cuda, a game a class: counts, equilibria, the sample along the keys. See bindings_cuda.cpp.

#include "bindings_cuda.hpp"

namespace rad_fast {
namespace cuda {
namespace {

// (gain, correctness, label, other or 0, points, classes, others)
Labelled labelled_of(const py::tuple& given) {
  if (given.size() != 7)
    refuse("points", "(gain, correctness, label, other, points, classes, others)", std::to_string(given.size()) + " items");
  const auto points = given[4].cast<std::int64_t>(), classes = given[5].cast<std::int64_t>();
  const auto others = given[6].cast<std::int64_t>();
  require_count("points", points);
  if (points > std::int64_t{1} << 32) refuse("points", "at most 2**32", std::to_string(points));
  if (classes < 1 || classes > std::numeric_limits<std::int32_t>::max())
    refuse("classes", "1 to 2147483647", std::to_string(classes));
  if (others < 1 || others > 256) refuse("others", "1 to 256", std::to_string(others));
  const char* names[] = {"gain", "correctness", "label"};
  for (std::size_t k = 0; k < 3; ++k) require(names[k], given[k].cast<Address>(), points);
  return {pointer<const float>(given[0].cast<Address>()), pointer<const float>(given[1].cast<Address>()),
          pointer<const std::int32_t>(given[2].cast<Address>()), pointer<const std::uint8_t>(given[3].cast<Address>()),
          points, classes, others};
}

}  // namespace

void bind_classes(py::module_& module) {
  using namespace py::literals;
  module.def(
      "count_classes",
      [](const py::tuple& points, Address chosen, Address findings, Address tally, int device, Address stream) {
        const Labelled of = labelled_of(points);
        require("findings", findings, 1);
        require("tally", tally, 1);
        count_classes(where(device, stream), of, pointer<const std::uint8_t>(chosen), pointer<const Findings>(findings),
                      pointer<Findings>(tally));
      },
      "points"_a, "chosen"_a, "findings"_a, "tally"_a, "device"_a, "stream"_a,
      "To `tally`: the findings, then how many points of each class play, how many of these have a positive effective gain,\n"
      "and how many of each class have a byte in `chosen` (0: none); int64.");
  module.attr("class_games_direct") = class_games_direct();
  module.def("class_games_workspace", &class_games_workspace, "points"_a, "classes"_a, "large"_a,
             "Bytes of device memory that `solve_by_class` needs.");
  module.def(
      "solve_by_class",
      [](const py::tuple& points, Address games, Address large, std::int64_t large_count, std::int64_t least, Address workspace,
         std::size_t workspace_bytes, Address answers, int device, Address stream) {
        const Labelled of = labelled_of(points);
        require("games", games, 1);
        require_count("large_count", large_count);
        require("large", large, large_count);
        require("workspace", workspace, 1);
        require_aligned("workspace", workspace, 16);
        require("answers", answers, 1);
        solve_by_class(where(device, stream), of, pointer<const ClassGame>(games), pointer<const std::int32_t>(large),
                       large_count, least, pointer<void>(workspace), workspace_bytes, pointer<double>(answers));
      },
      "points"_a, "games"_a, "large"_a, "large_count"_a, "least"_a, "workspace"_a, "workspace_bytes"_a, "answers"_a, "device"_a,
      "stream"_a,
      "Each class's equilibrium: price, threshold, share, value, 1 where it is settled, and how many points the last step\n"
      "solved; classes float64 each.\n\n"
      "games: (quota, mistakes: float64; start, count: int64) a class. large: int32, the classes of more than\n"
      "class_games_direct points that have a quota, the smallest of which has `least`.");
  module.def("sample_by_class_workspace", &sample_by_class_workspace, "points"_a, "classes"_a,
             "Bytes of device memory that `sample_by_class` needs.");
  module.def(
      "sample_by_class",
      [](const py::tuple& points, Address answers, std::uint64_t running, Address indices, std::int64_t capacity,
         Address workspace, std::size_t workspace_bytes, Address drawn, int device, Address stream) {
        const Labelled of = labelled_of(points);
        if (of.points < 1) refuse("points", "at least 1", "0");
        require("answers", answers, 1);
        require_count("capacity", capacity);
        require("indices", indices, capacity);
        require("workspace", workspace, 1);
        require_aligned("workspace", workspace, 16);
        require("drawn", drawn, 1);
        sample_by_class(where(device, stream), of, pointer<const double>(answers), running, pointer<std::int64_t>(indices),
                        capacity, pointer<void>(workspace), workspace_bytes, pointer<Drawn>(drawn));
      },
      "points"_a, "answers"_a, "running"_a, "indices"_a, "capacity"_a, "workspace"_a, "workspace_bytes"_a, "drawn"_a,
      "device"_a, "stream"_a,
      "The indices that a scan along the keys takes from `running` on, ascending, `capacity` of them at most. answers: what\n"
      "`solve_by_class` wrote.");
  module.attr("class_rates_bytes") = class_rates_bytes();
  module.def(
      "class_probabilities",
      [](const py::tuple& points, Address answers, Address rates, Address out, int device, Address stream) {
        const Labelled of = labelled_of(points);
        require("answers", answers, 1);
        require("rates", rates, 1);
        require_aligned("rates", rates, 16);
        require("out", out, of.points);
        class_probabilities(where(device, stream), of, pointer<const double>(answers), pointer<void>(rates),
                            pointer<double>(out));
      },
      "points"_a, "answers"_a, "rates"_a, "out"_a, "device"_a, "stream"_a,
      "Inclusion probabilities, float64, each in the game of its class. rates: room for class_rates_bytes a class.");
}

}  // namespace cuda
}  // namespace rad_fast
