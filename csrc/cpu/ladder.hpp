// The ladders of rad_fast/stream/course.py, bit for bit: for each number of points wanted of a class, the threshold at which so
// many are taken. Compiled once, for the baseline; most of its time goes into the order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace rad_fast {

struct Rung {
  double threshold, share;
};

class Ladders {
 public:
  // Labels are below `classes`, unless that is 1; price: one a class. At most 2^32 points.
  Ladders(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count, const double* price,
          std::int64_t classes)
      : points_(static_cast<std::size_t>(count)), running_(points_.size() + 1, 0.0) {
    const auto class_of = [&](std::size_t i) { return classes > 1 ? static_cast<std::size_t>(label[i]) : 0; };
    std::vector<Point> order(points_.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const double advantage = 2.0f * correctness[i] - 1.0f;
      const double effective = advantage * static_cast<double>(gain[i]);
      order[i] = {effective, static_cast<std::uint32_t>(i), leading_bits(effective)};
    }
    // By class, and by falling effective gain: first by its leading bits, which leave few points together.
    for (const int shift : {0, digit_bits}) {
      scatter(order, points_, std::size_t{1} << digit_bits,
              [&](const Point& point) { return point.leading >> shift & ((1u << digit_bits) - 1); });
      order.swap(points_);
    }
    begin_ = scatter(order, points_, static_cast<std::size_t>(classes), [&](const Point& point) { return class_of(point.index); });
    for (std::size_t k = 0; k + 1 < begin_.size(); ++k) {
      for (std::size_t i = begin_[k]; i < begin_[k + 1];) {
        std::size_t end = i + 1;
        while (end < begin_[k + 1] && points_[end].leading == points_[i].leading) ++end;
        if (end > i + 1)
          std::sort(points_.begin() + at(i), points_.begin() + at(end), [](const Point& x, const Point& y) {
            return x.effective > y.effective || (x.effective == y.effective && x.index < y.index);
          });
        i = end;
      }
      for (std::size_t i = begin_[k]; i < begin_[k + 1]; ++i) {
        const double g = gain[points_[i].index];
        running_[i + 1] = running_[i] + (g <= price[k] ? 1.0 : std::min(1.0, price[k] * width(g)));
      }
    }
  }

  std::size_t begin(std::size_t k) const { return begin_[k]; }

  // `near`: where a rung of the class was found for fewer points, or where the class begins; moved on to this one's.
  Rung rung(std::size_t k, double wanted, double all, std::size_t& near) const {
    const double target = running_[begin_[k]] + wanted;
    while (near < begin_[k + 1] && running_[near + 1] < target) ++near;
    const std::size_t found = near;
    if (found >= begin_[k + 1]) return {all, 0.0};
    const double threshold = points_[found].effective;
    std::size_t low = found, high = found + 1;  // points of a class that tie share what is left for them
    while (low > begin_[k] && points_[low - 1].effective == threshold) --low;
    while (high < begin_[k + 1] && points_[high].effective == threshold) ++high;
    const double share = (target - running_[low]) / std::max(running_[high] - running_[low], 1e-300);
    return {threshold, std::min(std::max(share, 0.0), 1.0)};
  }

 private:
  struct Point {
    double effective;
    std::uint32_t index, leading;
  };

  static constexpr int digit_bits = 11;

  // Sign, exponent and ten bits more, so that a larger number has smaller ones.
  static std::uint32_t leading_bits(double x) {
    std::uint64_t bits;
    x += 0.0;  // of two zeros, none comes first
    std::memcpy(&bits, &x, sizeof bits);
    const auto leading = static_cast<std::uint32_t>(bits >> (64 - 2 * digit_bits));
    const std::uint32_t sign = 1u << (2 * digit_bits - 1);
    return leading & sign ? leading : ~leading & (sign - 1);
  }

  // Points by bin, in their order; returns where each bin begins.
  template <class Of>
  static std::vector<std::size_t> scatter(const std::vector<Point>& from, std::vector<Point>& to, std::size_t bins, const Of& bin_of) {
    std::vector<std::size_t> begin(bins + 1, 0);
    for (const Point& point : from) ++begin[bin_of(point) + 1];
    for (std::size_t bin = 1; bin <= bins; ++bin) begin[bin] += begin[bin - 1];
    std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
    for (const Point& point : from) to[next[bin_of(point)]++] = point;
    return begin;
  }

  static std::ptrdiff_t at(std::size_t index) { return static_cast<std::ptrdiff_t>(index); }
  static double width(double gain) { return std::floor(0x1p38 / gain + 0.5) * 0x1p-38; }

  std::vector<std::size_t> begin_;
  std::vector<Point> points_;
  std::vector<double> running_;  // sums of what is taken of the points before
};

}  // namespace rad_fast
