// The ladders of rad_fast/stream/course.py, bit for bit: for each number of points wanted of a class, the threshold at which so
// many are taken. Compiled once, for the baseline; most of its time goes into the order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace rad_fast {

struct Rung {
  double threshold, share;
};

class Ladders {
 public:
  // Labels are below `classes`, unless that is 1. price: one a class.
  Ladders(const float* gain, const float* correctness, const std::int32_t* label, std::int64_t count, const double* price,
          std::int64_t classes)
      : begin_(static_cast<std::size_t>(classes) + 1, 0), points_(static_cast<std::size_t>(count)),
        running_(points_.size() + 1, 0.0) {
    const auto class_of = [&](std::size_t i) { return classes > 1 ? static_cast<std::size_t>(label[i]) : 0; };
    for (std::size_t i = 0; i < points_.size(); ++i) ++begin_[class_of(i) + 1];
    for (std::size_t k = 1; k < begin_.size(); ++k) begin_[k] += begin_[k - 1];
    std::vector<std::size_t> next(begin_.begin(), begin_.end() - 1);
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const double advantage = 2.0f * correctness[i] - 1.0f;
      points_[next[class_of(i)]++] = {advantage * static_cast<double>(gain[i]), i};
    }
    for (std::size_t k = 0; k < next.size(); ++k) {
      std::sort(points_.begin() + at(begin_[k]), points_.begin() + at(begin_[k + 1]), [](const Point& a, const Point& b) {
        return a.effective > b.effective || (a.effective == b.effective && a.index < b.index);
      });
      for (std::size_t i = begin_[k]; i < begin_[k + 1]; ++i) {
        const double g = gain[points_[i].index];
        running_[i + 1] = running_[i] + (g <= price[k] ? 1.0 : std::min(1.0, price[k] * width(g)));
      }
    }
  }

  Rung rung(std::size_t k, double wanted, double all) const {
    const double target = running_[begin_[k]] + wanted;
    const auto first = running_.begin() + at(begin_[k]), last = running_.begin() + at(begin_[k + 1]);
    const auto found = static_cast<std::size_t>(std::lower_bound(first + 1, last + 1, target) - running_.begin()) - 1;
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
    std::size_t index;
  };

  static std::ptrdiff_t at(std::size_t index) { return static_cast<std::ptrdiff_t>(index); }
  static double width(double gain) { return std::floor(0x1p38 / gain + 0.5) * 0x1p-38; }

  std::vector<std::size_t> begin_;
  std::vector<Point> points_;
  std::vector<double> running_;  // sums of what is taken of the points before
};

}  // namespace rad_fast
