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

  // False where a label or other class is none. `sums` has room for all classes. `passing` and `undecided`: which part of the
  // points that will be, about.
  bool reduce(const ClassBoxes& boxes, std::int64_t others, Sums* sums, double passing, double undecided) {
    const ClassKernels& kernels = *level().classes;
    make_room(keep_ ? passing : 0.0, undecided);
    std::vector<std::int64_t> priced(static_cast<std::size_t>(3 * boxes.classes));
    const PricedSums added{priced.data(), priced.data() + boxes.classes, priced.data() + 2 * boxes.classes};
    for (std::int64_t begin = first_; begin < end_; begin += game_points) {
      const std::int64_t at = keep_ ? passing_ : 0;
      make_room(0.0, 0.0);
      const LabelledPoints block{points_.gain + begin, points_.correctness + begin, points_.label + begin,
                                 points_.other ? points_.other + begin : nullptr, std::min(game_points, end_ - begin)};
      const Counts counts = kernels.reduce(block, static_cast<std::int32_t>(others), boxes, added, sums,
                                           {width_.get() + at, key_.get() + at, place_.get() + at},
                                           {gain_.get() + undecided_, correctness_.get() + undecided_, label_.get() + undecided_,
                                            entry_.get() + undecided_});
      if (counts.passing < 0) return false;
      if (keep_)
        for (std::int64_t k = 0; k < counts.undecided; ++k) entry_.get()[undecided_ + k] += static_cast<std::int32_t>(passing_);
      passing_ += counts.passing;
      undecided_ += counts.undecided;
      ends_.push_back(passing_);
    }
    for (std::int64_t k = 0; k < boxes.classes; ++k) {
      sums[k].advantage += added.advantage[k];
      sums[k].width_high += added.width_high[k];
      sums[k].width_low += added.width_low[k];
    }
    return true;
  }

  std::int64_t points() const { return end_ - first_; }
  LabelledPoints undecided() const { return {gain_.get(), correctness_.get(), label_.get(), nullptr, undecided_}; }

  // The probabilities, now that the equilibria are known, and what they come to for each key: zeros before. `price`: of
  // each key.
  void settle(const ClassTables& tables, const double* price, std::uint64_t* masses) {
    const ClassKernels& kernels = *level().classes;
    const std::int32_t* const key = key_.get();
    const double* const width = width_.get();
    for (std::int64_t at = 0; at < passing_; at += game_points) {
      const std::int64_t count = std::min(game_points, passing_ - at);
      kernels.settle(width_.get() + at, key + at, count, price);
      for (std::int64_t k = at; k < at + count; ++k) masses[key[k]] += unit_of(width[k]);
    }
    const auto most = static_cast<std::size_t>(std::min(game_points, undecided_) + 16);
    const std::unique_ptr<std::int32_t[]> places(new std::int32_t[most]), labels(new std::int32_t[most]);
    const std::unique_ptr<std::uint64_t[]> units(new std::uint64_t[most]);
    for (std::int64_t at = 0; at < undecided_; at += game_points) {
      const std::int64_t found = kernels.units(gain_.get() + at, correctness_.get() + at, label_.get() + at,
                                               std::min(game_points, undecided_ - at), tables, places.get(), labels.get(), units.get());
      for (std::int64_t k = 0; k < found; ++k) {
        const std::int64_t entry = entry_.get()[at + places[k]];
        std::memcpy(width_.get() + entry, &units[k], sizeof(double));
        masses[key[entry]] += units[k];
      }
    }
  }

  // The places in the chunk where the running sum of their key passes a whole number, ascending.
  void sample(std::uint64_t* running, std::vector<std::uint32_t>& to) const {
    std::int64_t entry = 0, begin = first_;
    const std::int32_t* const key = key_.get();
    const double* const width = width_.get();
    const std::uint16_t* const place = place_.get();
    for (const std::int64_t end : ends_) {
      for (; entry < end; ++entry) {
        std::uint64_t& sum = running[key[entry]];
        const std::uint64_t was = sum, is = was + unit_of(width[entry]);
        sum = is;
        if ((was ^ is) >> probability_bits & 1) to.push_back(static_cast<std::uint32_t>(begin + place[entry]));
      }
      begin += game_points;
    }
  }

 private:
  static constexpr std::int64_t slack = 16;  // what a kernel writes past the last

  // For a block behind what there is, or for these parts of the points.
  void make_room(double passing, double undecided) {
    const auto more = [&](double part) {
      return std::min(game_points, end_ - first_) + slack + static_cast<std::int64_t>(1.05 * part * static_cast<double>(end_ - first_));
    };
    const std::int64_t used = keep_ ? passing_ : 0;
    width_.reserve(used, more(passing));
    key_.reserve(used, more(passing));
    place_.reserve(used, more(passing));
    gain_.reserve(undecided_, more(undecided));
    correctness_.reserve(undecided_, more(undecided));
    label_.reserve(undecided_, more(undecided));
    entry_.reserve(undecided_, more(undecided));
  }

  // What `settle` wrote in place of a width.
  static std::uint64_t unit_of(double width) {
    std::uint64_t unit;
    std::memcpy(&unit, &width, sizeof unit);
    return unit;
  }

  const LabelledPoints& points_;
  std::int64_t first_, end_;
  bool keep_;
  Growing<double> width_;
  Growing<std::int32_t> key_, label_, entry_;
  Growing<std::uint16_t> place_;
  Growing<float> gain_, correctness_;
  std::int64_t passing_ = 0, undecided_ = 0;
  std::vector<std::int64_t> ends_;  // of the points that pass, block by block
};

}  // namespace rad_fast
