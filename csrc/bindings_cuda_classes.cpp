// rad_fast._cuda, a game a class: counts, equilibria, the sample along the keys. See bindings_cuda.cpp.

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <string_view>
#include <vector>

#include "bindings_cuda.hpp"
#include "cuda/workspace.cuh"

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

typedef py::array_t<std::int64_t, py::array::c_style> Counts;
typedef py::array_t<double, py::array::c_style> Numbers;

constexpr std::int64_t answer_fields = 6;  // price, threshold, share, value, status, points that the last step solved

// The workspace of `select_by_class`: what the host reads of it lies first, what it writes after that.
struct Room {
  double* answers;
  char* given;  // games, a 0 each, the large ones, the classes of all
  std::int32_t* place;
  void* rest;
  std::size_t rest_bytes;
};

std::int64_t most_large(std::int64_t points, std::int64_t classes) {
  return std::min(classes, points / (class_games_direct() + 1));
}

// Of more classes those that have a quota alone play.
constexpr std::int64_t all_play = 4096;

std::size_t lay_out(Room& room, void* workspace, std::int64_t points, std::int64_t classes) {
  Pieces pieces(workspace);
  const std::int64_t large = most_large(points, classes), games = classes <= all_play ? classes : std::min(classes, points);
  room.answers = pieces.take<double>(answer_fields * games + static_cast<std::int64_t>(sizeof(Drawn) / sizeof(double)));
  room.given = pieces.take<char>(games * static_cast<std::int64_t>(sizeof(ClassGame) + sizeof(Counter) + sizeof(std::int32_t)) +
                                 large * static_cast<std::int64_t>(sizeof(std::int32_t)));
  room.place = pieces.take<std::int32_t>(classes <= all_play ? 0 : classes);
  room.rest_bytes = std::max(class_games_workspace(points, games, large), sample_by_class_workspace(points, classes));
  room.rest = pieces.take<char>(static_cast<std::int64_t>(room.rest_bytes));
  return pieces.used();
}

// Each class's game on `counts` points with its quota and mistakes, and the sample along the keys. The classes that play; None: all.
std::optional<py::array_t<std::int32_t>> select_by_class(const py::tuple& points, const Counts& counts, const Numbers& quotas,
                                                         const Numbers& mistakes, std::uint64_t running, Address indices,
                                                         std::int64_t capacity, Address workspace,
                                                         std::size_t workspace_bytes, int device, Address stream) {
  const Labelled of = labelled_of(points);
  if (of.points < 1) refuse("points", "at least 1", "0");
  const std::int64_t classes = of.classes;
  for (const py::array& given : {py::array(counts), py::array(quotas), py::array(mistakes)})
    if (given.ndim() != 1 || given.size() != classes)
      refuse("counts, quotas and mistakes", std::to_string(classes) + " numbers each", std::to_string(given.size()));
  require("workspace", workspace, 1);
  require_aligned("workspace", workspace, 16);
  require_count("capacity", capacity);
  require("indices", indices, capacity);
  Room room{};
  if (lay_out(room, pointer<void>(workspace), of.points, classes) > workspace_bytes)
    refuse("workspace", "the bytes of select_by_class_workspace", std::to_string(workspace_bytes));
  std::vector<ClassGame> games;
  std::vector<std::int32_t> large, playing;
  const auto most = static_cast<std::size_t>(classes <= all_play ? classes : std::min(classes, of.points));
  games.reserve(most);
  if (classes > all_play) playing.reserve(most);
  std::int64_t start = 0, least = 0;
  for (std::int64_t k = 0; k < classes; ++k) {
    const std::int64_t count = counts.data()[k];
    const double quota = quotas.data()[k];
    if (count < 0 || count > of.points - start) refuse("counts", "no more than the points in all", std::to_string(count));
    if (classes > all_play && (quota == 0.0 || count == 0)) {
      start += count;
      continue;
    }
    if (count > class_games_direct() && quota != 0.0) {
      least = large.empty() ? count : std::min(least, count);
      large.push_back(static_cast<std::int32_t>(games.size()));
    }
    // More mistakes than points change nothing: the price is 0 then.
    games.push_back({quota, std::min(mistakes.data()[k], 2.0 * static_cast<double>(count) + 2.0), start, count});
    if (classes > all_play) playing.push_back(static_cast<std::int32_t>(k));
    start += count;
  }
  const std::size_t all = games.size(), of_games = all * sizeof(ClassGame), zeros = all * sizeof(Counter);
  const std::size_t of_large = large.size() * sizeof(std::int32_t), of_playing = playing.size() * sizeof(std::int32_t);
  std::vector<char> given(of_games + zeros + of_large + of_playing);
  const auto put = [&](std::size_t at, const void* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(given.data() + at, from, bytes);
  };
  put(0, games.data(), of_games);
  put(of_games + zeros, large.data(), of_large);
  put(of_games + zeros + of_large, playing.data(), of_playing);
  Played played{nullptr, nullptr, static_cast<std::int64_t>(all)};
  if (classes > all_play)
    played = {reinterpret_cast<const std::int32_t*>(room.given + of_games + zeros + of_large), room.place, played.games};
  const Where here = where(device, stream);
  copy_in(here, room.given, given.data(), given.size());
  solve_by_class(here, of, played, reinterpret_cast<const ClassGame*>(room.given), reinterpret_cast<Counter*>(room.given + of_games),
                 reinterpret_cast<const std::int32_t*>(room.given + of_games + zeros), static_cast<std::int64_t>(large.size()),
                 least, room.rest, room.rest_bytes, room.answers);
  sample_by_class(here, of, played, room.answers, running, pointer<std::int64_t>(indices), capacity, room.rest, room.rest_bytes,
                  reinterpret_cast<Drawn*>(room.answers + answer_fields * played.games));
  if (playing.empty()) return {};
  return py::array_t<std::int32_t>(static_cast<py::ssize_t>(playing.size()), playing.data());
}

}  // namespace

void bind_classes(py::module_& module) {
  using namespace py::literals;
  module.def(
      "count_classes",
      [](const py::tuple& points, Address chosen, Address findings, Address tally, int device, Address stream) {
        const Labelled of = labelled_of(points);
        require("tally", tally, 1);
        count_classes(where(device, stream), of, pointer<const std::uint8_t>(chosen), pointer<const Findings>(findings),
                      pointer<Findings>(tally));
      },
      "points"_a, "chosen"_a, "findings"_a, "tally"_a, "device"_a, "stream"_a,
      "To `tally`: the findings (0: none), then how many points of each class play, how many of these have a positive effective gain,\n"
      "and how many of each class have a byte in `chosen` (0: none); int64.");
  module.def(
      "appraise_classes",
      [](const py::tuple& teacher, const py::object& student, std::int64_t rows, const py::tuple& rule, Address exclude,
         Address gain, Address correctness, Address label, Address other, Address chosen, std::int64_t classes, Address tally,
         int look, double off, int device, Address stream) {
        const Labelled of = labelled_of(py::make_tuple(gain, correctness, label, 0, rows, classes, 1));
        appraise_rows(teacher, student, rows, 0, rule, exclude, gain, correctness, label, other, tally, false, 3 * classes, look,
                      off, device, stream);
        auto* const findings = pointer<Findings>(tally);
        count_classes(where(device, stream), of, pointer<const std::uint8_t>(chosen), findings, findings);
      },
      "teacher"_a, "student"_a, "rows"_a, "rule"_a, "exclude"_a, "gain"_a, "correctness"_a, "label"_a, "other"_a, "chosen"_a,
      "classes"_a, "tally"_a, "look"_a, "off"_a, "device"_a, "stream"_a, "`appraise` and `count_classes` in one call.");
  module.def(
      "class_counts",
      [](const py::bytes& given, std::int64_t classes) {
        const auto account = static_cast<std::string_view>(given);
        const auto each = static_cast<std::size_t>(classes) * sizeof(std::int64_t);
        const bool all = account.size() == sizeof(Findings) + 3 * each;
        if (classes < 1 || (!all && account.size() != sizeof(Findings) + 2 * each))
          refuse("account", std::to_string(sizeof(Findings) + 3 * each), std::to_string(account.size()));
        // Where they lie: of a vocabulary's classes a copy takes as long as a small kernel.
        const auto* const from = reinterpret_cast<const std::int64_t*>(account.data() + sizeof(Findings));
        Counts counts({std::int64_t{2}, classes}, from, given);
        py::object chosen = all ? py::object(Counts(static_cast<py::ssize_t>(classes), from + 2 * classes, given)) : py::none();
        counts.attr("setflags")(false);
        if (all) chosen.attr("setflags")(false);
        return py::make_tuple(counts, chosen, std::accumulate(from, from + classes, std::int64_t{0}));
      },
      "account"_a, "classes"_a,
      "(2, classes) int64 of points that play and of those with a positive effective gain, as `count_classes` wrote them behind\n"
      "the findings; how many of each class were chosen before, None where the account ends before that; how many play in all.");
  module.attr("class_games_direct") = class_games_direct();
  module.def(
      "select_by_class_workspace",
      [](std::int64_t points, std::int64_t classes) {
        Room room{};
        return lay_out(room, nullptr, points, classes);
      },
      "points"_a, "classes"_a, "Bytes of device memory that `select_by_class` needs.");
  module.def("select_by_class", &select_by_class, "points"_a, "counts"_a, "quotas"_a, "mistakes"_a, "running"_a, "indices"_a,
             "capacity"_a, "workspace"_a, "workspace_bytes"_a, "device"_a, "stream"_a,
             "Each class's game, on `counts` (int64) points with its quota and mistakes (float64), and the sample along the keys as\n"
             "in `sample_by_class`. To the workspace: what `class_answers` reads, of the classes that play, which are returned (int32);\n"
             "None: all.");
  module.def(
      "class_answers",
      [](const py::bytes& given, std::int64_t classes, const py::object& played) {
        const auto account = static_cast<std::string_view>(given);
        const auto playing = played.is_none() ? py::array_t<std::int32_t>() : played.cast<py::array_t<std::int32_t>>();
        const std::int64_t games = played.is_none() ? classes : playing.size();
        const std::size_t numbers = static_cast<std::size_t>(answer_fields * games) * sizeof(double);
        if (classes < 1 || account.size() != numbers + sizeof(Drawn))
          refuse("account", std::to_string(numbers + sizeof(Drawn)), std::to_string(account.size()));
        const auto number = [&](std::int64_t field, std::int64_t k) {
          double x;
          std::memcpy(&x, account.data() + static_cast<std::size_t>(field * games + k) * sizeof x, sizeof x);
          return x;
        };
        Numbers answers({std::int64_t{4}, classes});
        py::array_t<bool> settled(static_cast<py::ssize_t>(classes));
        double* const out = answers.mutable_data();
        bool* const done = settled.mutable_data();
        if (games < classes) {  // no point of the others pays more than the threshold
          std::fill(out, out + 4 * classes, 0.0);
          std::fill(out + classes, out + 2 * classes, 2.0);
          std::fill(done, done + classes, true);
        }
        for (std::int64_t i = 0; i < games; ++i) {
          const std::int64_t k = played.is_none() ? i : playing.data()[i];
          if (k < 0 || k >= classes) refuse("played", "classes from 0 to " + std::to_string(classes - 1), std::to_string(k));
          for (std::int64_t field = 0; field < 4; ++field) out[field * classes + k] = number(field, i);
          done[k] = number(4, i) == static_cast<double>(static_cast<std::int64_t>(Status::solved));
        }
        Drawn drawn;
        std::memcpy(&drawn, account.data() + numbers, sizeof drawn);
        return py::make_tuple(answers, settled, drawn.count);
      },
      "account"_a, "classes"_a, "played"_a = py::none(),
      "(4, classes) float64 of price, threshold, share and value; which classes are settled; how many indices were passed.\n"
      "played: what `select_by_class` returned.");
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
        sample_by_class(where(device, stream), of, Played{nullptr, nullptr, of.classes}, pointer<const double>(answers), running, pointer<std::int64_t>(indices),
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
