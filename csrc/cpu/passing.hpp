// The points that reach their class's lower threshold, kept from the pass that adds them up to the sample: what makes them
// dear, 1 / gain, is computed once, and the others are not looked at again. Baseline code alone (see dispatch.hpp).
//
// Bytes per point: 12 read; 14 written for each that passes and 16 more for each undecided one; 14 read twice for the sample.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "classes.hpp"
#include "fresh.hpp"

namespace rad_fast {

// One thread's part of some points.
class PassingPart {
 public:
  // `keep`: for `settle` and `sample`; else what passes is only added up.
  PassingPart(const LabelledPoints& points, std::int64_t first, std::int64_t end, bool keep)
      : points_(points), first_(first), end_(end), keep_(keep) {}

  // False where a label or other class is none. `sums` has room for all classes.
  bool reduce(const ClassBoxes& boxes, std::int64_t others, Sums* sums) {
    const ClassKernels& kernels = *level().classes;
    const std::int64_t room = end_ - first_ + slack, held = keep_ ? room : std::min(room, game_points + slack);
    width_ = fresh<double>(held);
    key_ = fresh<std::int32_t>(held);
    place_ = fresh<std::uint16_t>(held);
    gain_ = fresh<float>(room);
    correctness_ = fresh<float>(room);
    label_ = fresh<std::int32_t>(room);
    entry_ = fresh<std::int32_t>(room);
    for (std::int64_t begin = first_; begin < end_; begin += game_points) {
      const std::int64_t at = keep_ ? passing_ : 0;
      const Passing to{width_.get() + at, key_.get() + at, place_.get() + at};
      const Counts counts = kernels.reduce(points_.gain + begin, points_.correctness + begin, points_.label + begin,
                                           std::min(game_points, end_ - begin), boxes, sums, to,
                                           {gain_.get() + undecided_, correctness_.get() + undecided_, label_.get() + undecided_,
                                            entry_.get() + undecided_});
      if (counts.passing < 0) return false;
      if (keep_) {
        for (std::int64_t k = 0; k < counts.undecided; ++k) entry_[undecided_ + k] += static_cast<std::int32_t>(passing_);
        if (points_.other && !with_other(to, points_.other + begin, others, counts.passing)) return false;
      }
      passing_ += counts.passing;
      undecided_ += counts.undecided;
      ends_.push_back(passing_);
    }
    return true;
  }

  std::int64_t points() const { return end_ - first_; }
  LabelledPoints undecided() const { return {gain_.get(), correctness_.get(), label_.get(), nullptr, undecided_}; }

  // The probabilities, now that the equilibria are known, and what they come to for each key: zeros before. `price`: of
  // each key.
  void settle(const ClassTables& tables, const double* price, std::uint64_t* masses) {
    const ClassKernels& kernels = *level().classes;
    for (std::int64_t at = 0; at < passing_; at += game_points) {
      const std::int64_t count = std::min(game_points, passing_ - at);
      kernels.settle(width_.get() + at, key_.get() + at, count, price);
      for (std::int64_t k = at; k < at + count; ++k) masses[key_[k]] += unit(k);
    }
    const auto most = static_cast<std::size_t>(std::min(game_points, undecided_) + 16);
    const std::unique_ptr<std::int32_t[]> places(new std::int32_t[most]), labels(new std::int32_t[most]);
    const std::unique_ptr<std::uint64_t[]> units(new std::uint64_t[most]);
    for (std::int64_t at = 0; at < undecided_; at += game_points) {
      const std::int64_t found = kernels.units(gain_.get() + at, correctness_.get() + at, label_.get() + at,
                                               std::min(game_points, undecided_ - at), tables, places.get(), labels.get(), units.get());
      for (std::int64_t k = 0; k < found; ++k) {
        const std::int64_t entry = entry_[at + places[k]];
        std::memcpy(&width_[entry], &units[k], sizeof(double));
        masses[key_[entry]] += units[k];
      }
    }
  }

  // The places in the chunk where the running sum of their key passes a whole number, ascending.
  void sample(std::uint64_t* running, std::vector<std::uint32_t>& to) const {
    std::int64_t entry = 0, begin = first_;
    for (const std::int64_t end : ends_) {
      for (; entry < end; ++entry) {
        std::uint64_t& sum = running[key_[entry]];
        const std::uint64_t was = sum, is = was + unit(entry);
        sum = is;
        if ((was ^ is) >> probability_bits & 1) to.push_back(static_cast<std::uint32_t>(begin + place_[entry]));
      }
      begin += game_points;
    }
  }

 private:
  static constexpr std::int64_t slack = 16;  // what a kernel writes past the last

  static bool with_other(const Passing& to, const std::uint8_t* other, std::int64_t others, std::int64_t count) {
    std::int64_t most = 0;
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t second = other[to.place[k]];
      most = std::max(most, second);
      to.key[k] = static_cast<std::int32_t>(to.key[k] * others + second);
    }
    return most < others;
  }

  std::uint64_t unit(std::int64_t entry) const {
    std::uint64_t unit;
    std::memcpy(&unit, &width_[entry], sizeof unit);
    return unit;
  }

  const LabelledPoints& points_;
  std::int64_t first_, end_;
  bool keep_;
  std::unique_ptr<double[]> width_;
  std::unique_ptr<std::int32_t[]> key_, label_, entry_;
  std::unique_ptr<std::uint16_t[]> place_;
  std::unique_ptr<float[]> gain_, correctness_;
  std::int64_t passing_ = 0, undecided_ = 0;
  std::vector<std::int64_t> ends_;  // of the points that pass, block by block
};

}  // namespace rad_fast
