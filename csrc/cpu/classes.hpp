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
// that a comparison in float32 errs on the side of what is undecided.
struct ClassBoxes {
  const float *low, *high, *price_low, *price_high;
  std::int32_t classes;
};

// The equilibria, and their thresholds rounded to nearest.
struct ClassTables {
  Equilibria of;
  const float* least;
  std::int32_t classes;
};

// count <= game_points in all of them. Outputs have room for game_points + 16 numbers. Those that return a number return -1
// where a label is no class.
struct ClassKernels {
  // Every label is below the number of classes.
  void (*probabilities)(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                        const Equilibria& equilibria, double* out);
  // Adds what the boxes surely decide to the sums of the classes, and writes the others; returns how many those are. For
  // upper thresholds from 0 on: no point is full.
  std::int64_t (*reduce)(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count,
                         const ClassBoxes& boxes, Sums* sums, float* undecided_gain, float* undecided_correctness,
                         std::int32_t* undecided_label);
  // The points that may be taken, by their place, their labels and their probabilities in units of 2^-62; returns how many
  // those are.
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

// How many points of each class play, for each part: counts has room for parts x classes zeros.
inline void count_all(int threads, const LabelledPoints& points, std::int64_t classes, std::int64_t parts,
                      std::int64_t* counts) {
  Stray stray;
  for_each_block(threads, parts, [&](int, std::int64_t part) {
    const std::int64_t first = part_begin(part, parts, points.count), end = part_begin(part + 1, parts, points.count);
    std::int64_t* const mine = counts + part * classes;
    for_playing(points, first, end, [&](std::int64_t, std::int32_t label) {
      if (label >= 0 && label < classes) ++mine[label];
      else stray.seen = true;
    });
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

// One pass over all points: adds what the boxes decide to `sums`, a table of zeros, and writes the others in their order;
// returns how many those are. All outputs have room for all points.
inline std::int64_t reduce_by_class(int threads, const LabelledPoints& points, const ClassBoxes& boxes, Sums* sums, float* gain,
                                    float* correctness, std::int32_t* label) {
  struct Worker {
    std::vector<Sums> sums;
    std::unique_ptr<float[]> gain, correctness;
    std::unique_ptr<std::int32_t[]> label;
  };
  const ClassKernels& kernels = *level().classes;
  const std::int64_t blocks = game_blocks(points.count), classes = boxes.classes;
  threads = static_cast<int>(parts_of(threads, points.count, 8 * classes));
  const auto most = static_cast<std::size_t>(std::min(game_points, points.count) + 16);
  std::vector<Worker> workers(static_cast<std::size_t>(threads));
  for (Worker& worker : workers) {
    worker.sums.resize(static_cast<std::size_t>(classes), Sums{});
    worker.gain.reset(new float[most]);
    worker.correctness.reset(new float[most]);
    worker.label.reset(new std::int32_t[most]);
  }
  std::atomic<std::int64_t> turn{0};
  std::int64_t end = 0;  // of the undecided points of blocks 0 .. turn - 1; belongs to the thread whose turn it is
  Stray stray;
  for_each_block(threads, blocks, [&](int thread, std::int64_t block) {
    Worker& worker = workers[static_cast<std::size_t>(thread)];
    const std::int64_t first = block * game_points;
    const std::int64_t found = kernels.reduce(points.gain + first, points.correctness + first, points.label + first,
                                              std::min(game_points, points.count - first), boxes, worker.sums.data(),
                                              worker.gain.get(), worker.correctness.get(), worker.label.get());
    if (found < 0) stray.seen = true;
    const auto count = static_cast<std::size_t>(std::max<std::int64_t>(found, 0));
    wait_for(turn, block);
    const std::int64_t at = end;
    end += static_cast<std::int64_t>(count);
    turn.store(block + 1, std::memory_order_release);
    std::memcpy(gain + at, worker.gain.get(), count * sizeof(float));
    std::memcpy(correctness + at, worker.correctness.get(), count * sizeof(float));
    std::memcpy(label + at, worker.label.get(), count * sizeof(std::int32_t));
  });
  stray.check("label");
  for (const Worker& worker : workers)
    for (std::int64_t k = 0; k < classes; ++k) add(sums[k], worker.sums[static_cast<std::size_t>(k)]);
  return end;
}

// Calls work(part, point, key, probability in units) for all points that can be taken, part by part, ascending in each.
template <class Work>
inline void for_units(int threads, const LabelledPoints& points, std::int64_t classes, std::int64_t others,
                      std::int64_t parts, const Equilibria& equilibria, const Work& work) {
  const ClassKernels& kernels = *level().classes;
  const Tables tables(equilibria, classes);
  Stray stray;
  for_each_block(threads, parts, [&](int, std::int64_t part) {
    const auto most = static_cast<std::size_t>(std::min(game_points, points.count) + 16);
    const std::unique_ptr<std::int32_t[]> places(new std::int32_t[most]);  // not set: zeros would take as long as few points
    const std::unique_ptr<std::int32_t[]> labels(new std::int32_t[most]);
    const std::unique_ptr<std::uint64_t[]> units(new std::uint64_t[most]);
    const std::int64_t end = part_begin(part + 1, parts, points.count);
    for (std::int64_t first = part_begin(part, parts, points.count); first < end; first += game_points) {
      const std::int64_t count = std::min(game_points, end - first);
      const std::int64_t found = kernels.units(points.gain + first, points.correctness + first, points.label + first, count,
                                               tables.view(), places.get(), labels.get(), units.get());
      if (found < 0) stray.seen = true;
      for (std::int64_t k = 0; k < found; ++k) {
        const std::int64_t i = first + places[k], other = points.other ? points.other[i] : 0;
        if (other >= others) stray.seen = true;
        else work(part, i, labels[k] * others + other, units[k]);
      }
    }
  });
  stray.check("label or other");
}

// What each key's points add, modulo 2^64, for each part: sums has room for parts x keys zeros.
inline void key_masses(int threads, const LabelledPoints& points, std::int64_t classes, std::int64_t others,
                       std::int64_t parts, const Equilibria& equilibria, std::uint64_t* sums) {
  const std::int64_t keys = classes * others;
  for_units(threads, points, classes, others, parts, equilibria,
            [&](std::int64_t part, std::int64_t, std::int64_t key, std::uint64_t unit) { sums[part * keys + key] += unit; });
}

// The points where the running sum of their key, which starts at `running` in each part, passes a whole number: for each part.
inline std::vector<std::vector<std::int64_t>> key_samples(int threads, const LabelledPoints& points, std::int64_t classes,
                                                          std::int64_t others, std::int64_t parts,
                                                          const Equilibria& equilibria, std::uint64_t* running) {
  const std::int64_t keys = classes * others;
  std::vector<std::vector<std::int64_t>> taken(static_cast<std::size_t>(parts));
  for_units(threads, points, classes, others, parts, equilibria,
            [&](std::int64_t part, std::int64_t point, std::int64_t key, std::uint64_t unit) {
              std::uint64_t& sum = running[part * keys + key];
              const std::uint64_t before = sum;
              sum += unit;
              if ((before ^ sum) >> probability_bits & 1) taken[static_cast<std::size_t>(part)].push_back(point);
            });
  return taken;
}

}  // namespace rad_fast

#endif
