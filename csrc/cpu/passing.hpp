// The points that reach their class's lower threshold, kept from the pass that adds them up to the sample: the others are not
// looked at again. Baseline code alone (see dispatch.hpp).
//
// Bytes per point: 12 or 13 read; 8 written for each that passes and 12 more for each undecided one; 8 read twice for the sample.
#pragma once

#include <cstdint>
#include <vector>

#include "classes.hpp"
#include "fresh.hpp"

namespace rad_fast {

// One thread's part of some points.
class PassingPart {
 public:
  // Points first .. end - 1. `keep`: for `settle` and `sample`; else what passes is only added up. `passing` and `undecided`: which
  // part of the points that will be, about.
  PassingPart(std::int64_t first, std::int64_t end, std::int64_t classes, bool keep, double passing, double undecided)
      : first_(first), end_(end), keep_(keep), passing_part_(passing), undecided_part_(undecided),
        priced_(static_cast<std::size_t>(3 * classes)), sums_(static_cast<std::size_t>(classes), Sums{}) {}

  // The next points, at most game_points; false where a label or other class is none. `counts`: as ClassKernels::reduce.
  bool take(const LabelledPoints& block, const ClassBoxes& boxes, std::int64_t others, std::int64_t* counts = nullptr) {
    if (ends_.empty()) make_room(keep_ ? passing_part_ : 0.0, undecided_part_);
    const std::int64_t at = keep_ ? passing_ : 0;
    make_room(0.0, 0.0);
    if (added_ + block.count > game_points) add_priced();
    added_ += block.count;
    const Counts found = level().classes->reduce(block, static_cast<std::int32_t>(others), boxes, priced(), sums_.data(),
                                                  {what_.get() + at, where_.get() + at},
                                                  {gain_.get() + undecided_, correctness_.get() + undecided_, label_.get() + undecided_},
                                                  counts);
    if (found.passing < 0) return false;
    passing_ += found.passing;
    undecided_ += found.undecided;
    taken_ += block.count;
    ends_.push_back({passing_, taken_});
    return true;
  }

  // All of them, which are `points` from first to end.
  bool take_all(const LabelledPoints& points, const ClassBoxes& boxes, std::int64_t others) {
    for (std::int64_t begin = first_; begin < end_; begin += game_points) {
      const LabelledPoints block{points.gain + begin, points.correctness + begin, points.label + begin,
                                 points.other ? points.other + begin : nullptr, std::min(game_points, end_ - begin)};
      if (!take(block, boxes, others)) return false;
    }
    return true;
  }

  // Sums of each class over what the boxes decide.
  const std::vector<Sums>& sums() {
    add_priced();
    return sums_;
  }

  std::int64_t first() const { return first_; }
  std::int64_t points() const { return end_ - first_; }
  LabelledPoints undecided() const { return {gain_.get(), correctness_.get(), label_.get(), nullptr, undecided_}; }

  // The probabilities of undecided points, now that the equilibria are known, and what all come to for each key: zeros before.
  void settle(const ClassTables& tables, const Prices& prices, std::uint64_t* masses) {
    const ClassKernels& kernels = *level().classes;
    const auto most = static_cast<std::size_t>(std::min(game_points, undecided_) + slack);
    const std::unique_ptr<std::int32_t[]> places(new std::int32_t[most]), labels(new std::int32_t[most]);
    const std::unique_ptr<std::uint64_t[]> units(new std::uint64_t[most]);
    units_.assign(static_cast<std::size_t>(undecided_), 0);
    for (std::int64_t at = 0; at < undecided_; at += game_points) {
      const std::int64_t found = kernels.units(gain_.get() + at, correctness_.get() + at, label_.get() + at,
                                               std::min(game_points, undecided_ - at), tables, places.get(), labels.get(), units.get());
      for (std::int64_t k = 0; k < found; ++k) units_[static_cast<std::size_t>(at + places[k])] = units[k];
    }
    for_passing(prices, [masses](std::int64_t, const std::int32_t*, const std::int32_t* key, const std::uint64_t* unit,
                                 std::int64_t count) {
#pragma GCC unroll 8
      for (std::int64_t i = 0; i < count; ++i) masses[key[i]] += unit[i];
    });
  }

  // The places, as first() counts, where the running sum of their key passes a whole number, ascending.
  void sample(const Prices& prices, std::uint64_t* running, std::vector<std::uint32_t>& to) const {
    for_passing(prices, [running, &to](std::int64_t begin, const std::int32_t* where, const std::int32_t* key, const std::uint64_t* unit,
                                       std::int64_t count) {
      std::uint32_t taken[settled];
      std::int64_t found = 0;
#pragma GCC unroll 4
      for (std::int64_t i = 0; i < count; ++i) {  // without a branch: who is taken cannot be foreseen
        std::uint64_t& sum = running[key[i]];
        const std::uint64_t was = sum, is = was + unit[i];
        sum = is;
        taken[found] = static_cast<std::uint32_t>(begin + (where[i] & (game_points - 1)));
        found += static_cast<std::int64_t>((was ^ is) >> probability_bits & 1);
      }
      to.insert(to.end(), taken, taken + found);
    });
  }

 private:
  static constexpr std::int64_t slack = 16;  // what a kernel writes past the last
  static constexpr std::int64_t settled = 1024;  // at a time: they stay in L1

  struct End {
    std::int64_t passing, taken;
  };

  PricedSums priced() { return {priced_.data(), priced_.data() + 2 * sums_.size()}; }

  void add_priced() {
    added_ = 0;
    const PricedSums from = priced();
    for (std::size_t k = 0; k < sums_.size(); ++k) {
      sums_[k].advantage += from.pairs[2 * k];
      sums_[k].width_high += (from.pairs[2 * k + 1] >> 31) + from.high[k];
      sums_[k].width_low += from.pairs[2 * k + 1] & ((std::int64_t{1} << 31) - 1);
    }
    std::fill(priced_.begin(), priced_.end(), 0);
  }

  // Calls work(where the places begin, places, keys, probabilities in units, how many) for all points that pass, ascending.
  template <class Work>
  void for_passing(const Prices& prices, const Work& work) const {
    const ClassKernels& kernels = *level().classes;
    std::int32_t key[settled + slack];
    std::uint64_t unit[settled + slack];
    const std::uint64_t* undecided = units_.data();
    std::int64_t entry = 0, begin = first_;
    for (const End& end : ends_) {
      while (entry < end.passing) {
        const std::int64_t some = std::min(settled, end.passing - entry);
        const std::int32_t* const where = where_.get() + entry;
        undecided += kernels.settle({what_.get() + entry, where_.get() + entry}, some, prices, undecided, key, unit);
        work(begin, where, key, unit, some);
        entry += some;
      }
      begin = first_ + end.taken;
    }
  }

  // For a block behind what there is, or for these parts of the points.
  void make_room(double passing, double undecided) {
    const auto more = [&](double part) {
      return std::min(game_points, end_ - first_) + slack + static_cast<std::int64_t>(1.05 * part * static_cast<double>(end_ - first_));
    };
    const std::int64_t used = keep_ ? passing_ : 0;
    what_.reserve(used, more(passing));
    where_.reserve(used, more(passing));
    gain_.reserve(undecided_, more(undecided));
    correctness_.reserve(undecided_, more(undecided));
    label_.reserve(undecided_, more(undecided));
  }

  std::int64_t first_, end_;
  bool keep_;
  double passing_part_, undecided_part_;
  Growing<std::int32_t> what_, where_, label_;
  Growing<float> gain_, correctness_;
  std::int64_t passing_ = 0, undecided_ = 0, taken_ = 0, added_ = 0;
  std::vector<End> ends_;  // of the points that pass, block by block
  std::vector<std::int64_t> priced_;  // see PricedSums; `added_` points are in them
  std::vector<Sums> sums_;
  std::vector<std::uint64_t> units_;  // the probabilities of undecided points
};

}  // namespace rad_fast
