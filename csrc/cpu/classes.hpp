// A game a class: points by class, probabilities by class, and the sample along keys. Interface, a table of functions per
// SIMD level, and the passes over all points that call them.
#pragma once

#include <cstdint>

#include "game.hpp"

namespace rad_fast {

// The equilibrium of each class's game.
struct Equilibria {
  const double *price, *threshold, *share;
};

// Points as the passes below read them; `other` null: the key of a point is its label.
struct LabelledPoints {
  const float *gain, *correctness;
  const std::int32_t* label;
  const std::uint8_t* other;
  std::int64_t count;
};

// Tables by class, here and below, have room for 16 numbers at least.

// Where each class's equilibrium is known to lie. The thresholds are rounded: the lower one to nearest, the upper one up, so
// that a comparison in float32 errs on the side of what is undecided. `narrow`: no point that a box prices has a gain below
// narrow_gain.
struct ClassBoxes {
  const float *low, *high, *price_low, *price_high;
  std::int32_t classes;
  bool narrow;
};

// The key of a point that passes: its label, and in so many lower bits its other class.
constexpr int other_bits(std::int64_t others) {
  int bits = 0;
  while (std::int64_t{1} << bits < others) ++bits;
  return bits;
}
constexpr std::int64_t most_keys = std::int64_t{1} << (31 - place_bits);

// The prices of all classes.
struct Prices {
  const double* of_class;
  std::int32_t classes;
  int other_bits;
};

// Sums over the priced points of each class that have not been added to Sums yet: two numbers a class, advantage and width, which
// one instruction adds to. Where boxes are not narrow, the width's upper part is in `high`.
struct PricedSums {
  std::int64_t *pairs, *high;
};

// The undecided ones of the points that pass.
struct Undecided {
  float *gain, *correctness;
  std::int32_t* label;
};

// The equilibria, and their thresholds rounded to nearest.
struct ClassTables {
  Equilibria of;
  const float* least;
  std::int32_t classes;
};

// count <= game_points in all of them. Outputs have room for game_points + 16 numbers.
struct ClassKernels {
  // Adds how many points are left out, and how many there are of each class, to two tables together: two numbers each, of
  // points without a positive effective gain and with one. False where a point that is not left out has no class. Any count.
  bool (*count)(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count, std::int32_t classes,
                std::int64_t* even, std::int64_t* odd);
  // Every label is below the number of classes.
  void (*probabilities)(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                        const Equilibria& equilibria, double* out);
  // Adds what the boxes surely decide to the sums of the classes, and writes the points that pass; returns how many do, -1
  // where a label is no class or another class not below `others`. For thresholds from 0 on: no point is full. Keys are cut to
  // what an entry has room for. `counts`: the tables of `count`, one behind the other, for the same count; or null.
  Counts (*reduce)(const LabelledPoints& points, std::int32_t others, const ClassBoxes& boxes, const PricedSums& priced, Sums* sums,
                   const Passing& passing, const Undecided& undecided, std::int64_t* counts);
  // Keys and probabilities, in units of 2^-62, of points that pass; `undecided`: the probabilities of those that boxes left
  // undecided. Returns how many of these there were. Outputs have room for `count` + 16 numbers.
  std::int64_t (*settle)(const Passing& passing, std::int64_t count, const Prices& prices, const std::uint64_t* undecided,
                         std::int32_t* key, std::uint64_t* unit);
  // The points that may be taken, by their place, their labels and their probabilities in units of 2^-62; returns how many
  // those are, or -1 where a label is no class.
  std::int64_t (*units)(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                        const ClassTables& tables, std::int32_t* place, std::int32_t* of, std::uint64_t* unit);
};

}  // namespace rad_fast

#if !defined(RAD_FAST_LEVEL)  // the rest is for the baseline translation units alone

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "parallel.hpp"
#include "sample.hpp"

namespace rad_fast {

// Points are cut into as many consecutive parts as there are threads, each with a table of its own; fewer where the tables
// would take more than two bytes a point.
inline std::int64_t parts_of(int threads, std::int64_t points, std::int64_t table) {
  const std::int64_t blocks = game_blocks(points), most = std::max<std::int64_t>(1, points / (4 * table));
  return std::min<std::int64_t>(useful_threads(threads, blocks, points * 12), most);
}

inline std::int64_t part_begin(std::int64_t part, std::int64_t parts, std::int64_t points) {
  return std::min(points, (game_blocks(points) * part / parts) * game_points);
}

// A label or key that no table has room for.
struct Stray {
  std::atomic<bool> seen{false};
  void check(const char* what) const {
    if (seen) throw std::invalid_argument(std::string(what) + ": expected classes from 0 (-1: none) to the last one, got others");
  }
};

inline bool within(const std::int32_t* label, std::int64_t count, std::int64_t classes) {
  std::int32_t most = -1, least = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    most = std::max(most, label[i]);
    least = std::min(least, label[i]);
  }
  return most < classes && least >= -1;
}

// Calls work(point, class) for the points first .. end - 1 that are not left out.
template <class Work>
inline void for_playing(const LabelledPoints& points, std::int64_t first, std::int64_t end, const Work& work) {
  for (std::int64_t i = first; i < end; ++i)
    if (points.gain[i] == points.gain[i]) work(i, points.label[i]);
}

// How many points of each class play, for each part, and how many of these have a positive effective gain: both have room for
// parts x classes zeros.
inline void count_all(int threads, const LabelledPoints& points, std::int64_t classes, std::int64_t parts,
                      std::int64_t* counts, std::int64_t* positive = nullptr) {
  Stray stray;
  for_each_block(threads, parts, [&](int, std::int64_t part) {
    const std::int64_t first = part_begin(part, parts, points.count), end = part_begin(part + 1, parts, points.count);
    std::vector<std::int64_t> tables(static_cast<std::size_t>(4 * (classes + 1)));
    std::int64_t *const even = tables.data(), *const odd = even + 2 * (classes + 1);
    if (!level().classes->count(points.gain + first, points.correctness + first, points.label + first, end - first,
                                static_cast<std::int32_t>(classes), even, odd))
      stray.seen = true;
    for (std::int64_t k = 0; k < classes; ++k) {
      const std::int64_t at = 2 * (k + 1), more = even[at + 1] + odd[at + 1];
      counts[part * classes + k] += even[at] + odd[at] + more;
      if (positive) positive[part * classes + k] += more;
    }
  });
  stray.check("label");
}

// Writes gain and correctness of each class's points, in their order, to starts[class] and on, and moves the starts. `room`:
// the length of the outputs.
inline void group_all(int threads, const LabelledPoints& points, std::int64_t classes, std::int64_t* starts,
                      std::int64_t room, float* gain, float* correctness) {
  const std::int64_t parts = parts_of(threads, points.count, classes);
  std::vector<std::int64_t> at(static_cast<std::size_t>(parts * classes));
  count_all(threads, points, classes, parts, at.data());
  for (std::int64_t k = 0; k < classes; ++k) {
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t count = at[static_cast<std::size_t>(part * classes + k)];
      at[static_cast<std::size_t>(part * classes + k)] = starts[k];
      starts[k] += count;
    }
    if (starts[k] > room) throw std::invalid_argument("starts: expected room for the points of every class, got too little");
  }
  for_each_block(threads, parts, [&](int, std::int64_t part) {
    std::int64_t* const mine = at.data() + part * classes;
    const std::int64_t first = part_begin(part, parts, points.count), end = part_begin(part + 1, parts, points.count);
    for_playing(points, first, end, [&](std::int64_t i, std::int32_t label) {
      const std::int64_t place = mine[label]++;
      gain[place] = points.gain[i];
      correctness[place] = points.correctness[i];
    });
  });
}

inline void class_probabilities_all(int threads, const LabelledPoints& points, std::int64_t classes,
                                    const Equilibria& equilibria, double* out) {
  const ClassKernels& kernels = *level().classes;
  const std::int64_t blocks = game_blocks(points.count);
  Stray stray;
  for_each_block(useful_threads(threads, blocks, points.count * 12), blocks, [&](int, std::int64_t block) {
    const std::int64_t first = block * game_points, count = std::min(game_points, points.count - first);
    if (!within(points.label + first, count, classes)) stray.seen = true;
    else kernels.probabilities(points.gain + first, points.correctness + first, points.label + first, count, equilibria, out + first);
  });
  stray.check("label");
}

// Numbers by class, as kernels read them.
template <class T>
std::vector<T> table_of(const double* numbers, std::int64_t classes) {
  std::vector<T> table(numbers, numbers + classes);
  table.resize(std::max<std::size_t>(table.size(), 16));
  return table;
}

class Tables {
 public:
  Tables(const Equilibria& of, std::int64_t classes)
      : price_(table_of<double>(of.price, classes)),
        threshold_(table_of<double>(of.threshold, classes)),
        share_(table_of<double>(of.share, classes)),
        least_(table_of<float>(of.threshold, classes)),
        classes_(static_cast<std::int32_t>(classes)) {}
  ClassTables view() const { return {{price_.data(), threshold_.data(), share_.data()}, least_.data(), classes_}; }

 private:
  std::vector<double> price_, threshold_, share_;
  std::vector<float> least_;
  std::int32_t classes_;
};

// Calls work(place, key, probability in units) for all points that can be taken, part by part, ascending in each; work is
// what of(part) gives.
template <class Of>
inline void for_units(int threads, const LabelledPoints& points, std::int64_t classes, std::int64_t others,
                      std::int64_t parts, const Equilibria& equilibria, const Of& of) {
  const ClassKernels& kernels = *level().classes;
  const Tables tables(equilibria, classes);
  Stray stray;
  for_each_block(threads, parts, [&](int, std::int64_t part) {
    const auto most = static_cast<std::size_t>(std::min(game_points, points.count) + 16);
    const std::unique_ptr<std::int32_t[]> places(new std::int32_t[most]);  // not set: zeros would take as long as few points
    const std::unique_ptr<std::int32_t[]> labels(new std::int32_t[most]);
    const std::unique_ptr<std::uint64_t[]> units(new std::uint64_t[most]);
    const std::int64_t end = part_begin(part + 1, parts, points.count);
    const auto work = of(part);
    bool strange = false;
    for (std::int64_t first = part_begin(part, parts, points.count); first < end; first += game_points) {
      const std::int64_t count = std::min(game_points, end - first);
      const std::int64_t found = kernels.units(points.gain + first, points.correctness + first, points.label + first, count,
                                               tables.view(), places.get(), labels.get(), units.get());
      strange |= found < 0;
      const std::int32_t *const place = places.get(), *const label = labels.get();
      const std::uint64_t* const unit = units.get();
      if (const std::uint8_t* const other = points.other ? points.other + first : nullptr) {
        for (std::int64_t k = 0; k < found; ++k) {
          const std::int64_t second = other[place[k]];
          if (second >= others) strange = true;
          else work(first + place[k], label[k] * others + second, unit[k]);
        }
      } else {
        for (std::int64_t k = 0; k < found; ++k) work(first + place[k], std::int64_t{label[k]}, unit[k]);
      }
    }
    if (strange) stray.seen = true;
  });
  stray.check("label or other");
}

// What each key's points add, modulo 2^64, for each part: sums has room for parts x keys zeros.
inline void key_masses(int threads, const LabelledPoints& points, std::int64_t classes, std::int64_t others,
                       std::int64_t parts, const Equilibria& equilibria, std::uint64_t* sums) {
  const std::int64_t keys = classes * others;
  for_units(threads, points, classes, others, parts, equilibria, [=](std::int64_t part) {
    std::uint64_t* const mine = sums + part * keys;
    return [mine](std::int64_t, std::int64_t key, std::uint64_t unit) { mine[key] += unit; };
  });
}

// The points where the running sum of their key, which starts at `running` in each part, passes a whole number: for each part.
// `share`: which part of all points that is, about, where it is known.
inline std::vector<std::vector<std::uint32_t>> key_samples(int threads, const LabelledPoints& points, std::int64_t classes,
                                                          std::int64_t others, std::int64_t parts,
                                                          const Equilibria& equilibria, std::uint64_t* running,
                                                          double share = 0.0) {
  const std::int64_t keys = classes * others;
  std::vector<std::vector<std::uint32_t>> taken(static_cast<std::size_t>(parts));
  for_units(threads, points, classes, others, parts, equilibria, [&](std::int64_t part) {
    std::uint64_t* const mine = running + part * keys;
    std::vector<std::uint32_t>& to = taken[static_cast<std::size_t>(part)];
    to.reserve(static_cast<std::size_t>(1.02 * share * static_cast<double>(points.count) / static_cast<double>(parts)));
    return [mine, &to](std::int64_t place, std::int64_t key, std::uint64_t unit) {
      const std::uint64_t before = mine[key], after = before + unit;
      mine[key] = after;
      if ((before ^ after) >> probability_bits & 1) to.push_back(static_cast<std::uint32_t>(place));
    };
  });
  return taken;
}

}  // namespace rad_fast

#endif
