// One point of the game in exact integers, and its inclusion probability with the reference's bits.
//
// Units are those of kernels/reference/game.py: gain and advantage 2^-24, effective gain d 2^-48, width 1/g 2^-38. All
// comparisons are of integers: against a float64 x, d > x is d48 > floor(2^48 x). That takes float64 arithmetic, which
// consumer GPUs do at 1/64 of float32's rate, out of the pass over all points; what is left of it is one division for
// each point whose width is summed.
#pragma once

#include "platform.hpp"

namespace rad_fast {
namespace cuda {

constexpr int grid_bits = 24;
constexpr int width_bits = 38;
constexpr int probability_bits = 62;

struct Point {
  std::int32_t gain;       // 2^-24; -1: left out
  std::int32_t advantage;  // 2c - 1, 2^-24
};

RAD_FAST_BOTH Point point_of(float gain, float correctness) {
  Point p;
  p.gain = gain >= 0.0f ? static_cast<std::int32_t>(gain * 0x1p24f) : -1;  // false for NaN
  p.advantage = static_cast<std::int32_t>((2.0f * correctness - 1.0f) * 0x1p24f);
  return p;
}

// d = a g, 2^-48.
RAD_FAST_BOTH std::int64_t effective(Point p) { return static_cast<std::int64_t>(p.advantage) * p.gain; }

// What the second piece of a point pays, -g, 2^-48.
RAD_FAST_BOTH std::int64_t second_slope(Point p) { return -(static_cast<std::int64_t>(p.gain) * (1 << grid_bits)); }

// 1/g, 2^-38, rounded as the reference rounds: floor(2^38 / g + 1/2) in float64. 0 for a gain of 0. The dividend is a power
// of two, so that the quotient is the reciprocal, moved: a third of a division's instructions.
RAD_FAST_BOTH double whole_width(std::int32_t gain) {
  return floor(ieee_add(ieee_reciprocal(static_cast<double>(gain)) * 0x1p62, 0.5));
}
RAD_FAST_BOTH std::uint64_t width_of_gain(std::int32_t gain) {
  return gain <= 0 ? 0 : static_cast<std::uint64_t>(whole_width(gain));
}

constexpr double gain_scale = 0x1p24;   // to gain's units; multiplying by a power of two is exact
constexpr double slope_scale = 0x1p48;  // to those of d

RAD_FAST_BOTH std::int64_t rounded_down(double x) { return static_cast<std::int64_t>(floor(x)); }
RAD_FAST_BOTH std::int64_t rounded_up(double x) { return static_cast<std::int64_t>(ceil(x)); }

// ------------------------------------------------------------------------------------------------- what a box decides

// Where a point's slopes and gain make its part in the equilibrium known.
struct Cuts {
  std::int64_t above;      // a piece that pays more is taken
  std::int64_t below;      // one that pays less is not
  std::int32_t saturated;  // gains up to here are at most the price
  std::int32_t reacting;   // gains above here are more than the price
};

RAD_FAST_BOTH Cuts cuts_of(double price_low, double price_high, double threshold_low, double threshold_high) {
  return {rounded_down(threshold_high * slope_scale), rounded_up(threshold_low * slope_scale),
          static_cast<std::int32_t>(rounded_down(price_low * gain_scale)),
          static_cast<std::int32_t>(rounded_down(price_high * gain_scale))};
}

enum class Part : int { out, saturated, full, priced, undecided };

RAD_FAST_BOTH Part part_of(Point p, const Cuts& cuts) {
  const std::int64_t d = effective(p), second = second_slope(p);
  if (p.gain < 0 || d < cuts.below) return Part::out;
  if (d <= cuts.above) return Part::undecided;
  if (p.gain <= cuts.saturated) return Part::saturated;
  if (p.gain <= cuts.reacting) return Part::undecided;
  if (second > cuts.above) return Part::full;
  return second < cuts.below ? Part::priced : Part::undecided;
}

// Exact sums over decided points; those that can pass 64 bits in two halves, so that adding blocks' sums is 64-bit
// integer addition, modulo 2^64 and in any order. Enough for 2^32 points a launch in every field.
struct Sums {
  std::int64_t saturated;
  std::uint64_t value_low;  // of d over the saturated: value = high 2^32 + low
  std::int64_t value_high;
  std::int64_t full, full_advantage, full_gain;
  std::int64_t advantage;               // of the priced
  std::uint64_t width_low, width_high;  // of 1/g over the priced
  std::int64_t present;                 // all points seen that are not left out
  std::int64_t undecided;
};
constexpr int sums_fields = 11;

RAD_FAST_BOTH void add_point(Sums& sums, Point p, Part part) {
  sums.present += p.gain >= 0;
  switch (part) {
    case Part::out: return;
    case Part::saturated: {
      const std::int64_t d = effective(p);
      ++sums.saturated;
      sums.value_low += static_cast<std::uint64_t>(d & 0xffffffff);
      sums.value_high += d >> 32;
      return;
    }
    case Part::full:
      ++sums.full;
      sums.full_advantage += p.advantage;
      sums.full_gain += p.gain;
      return;
    case Part::priced: {
      const std::uint64_t w = width_of_gain(p.gain);
      sums.advantage += p.advantage;
      sums.width_low += w & 0xffffffff;
      sums.width_high += w >> 32;
      return;
    }
    case Part::undecided: ++sums.undecided; return;
  }
}

// ----------------------------------------------------------------------------------------------- inclusion probabilities

struct Equilibrium {
  double price, threshold, share, value;
};

// An equilibrium, with the comparisons it takes as integers.
struct Rates {
  double price, share;
  std::int64_t threshold;  // floor, 2^-48
  bool on_threshold;       // a slope can be equal to it
  std::int32_t saturated;  // gains up to here are at most the price, 2^-24
};

RAD_FAST_BOTH Rates rates_of(const Equilibrium& e) {
  const double scaled = e.threshold * slope_scale, whole = floor(scaled);
  return {e.price, e.share, static_cast<std::int64_t>(whole), scaled == whole,
          static_cast<std::int32_t>(rounded_down(e.price * gain_scale))};
}

RAD_FAST_BOTH double taken(std::int64_t slope, const Rates& rates) {
  if (slope > rates.threshold) return 1.0;
  return rates.on_threshold && slope == rates.threshold ? rates.share : 0.0;
}

// kernels/reference/game.py, probabilities: the same operations in float64, in the same order.
RAD_FAST_BOTH double probability_of(Point p, const Rates& rates) {
  if (p.gain < 0) return 0.0;
  const double first = taken(effective(p), rates), second = taken(second_slope(p), rates);
  if (first == 0.0 && second == 0.0) return 0.0;
  double cap = 1.0;
  if (p.gain > rates.saturated) cap = fmin(1.0, ieee_multiply(rates.price, whole_width(p.gain) * 0x1p-38));
  if (first == 1.0 && second == 0.0) return cap;  // most
  return ieee_add(ieee_multiply(first, cap), ieee_multiply(second, ieee_add(1.0, -cap)));
}

RAD_FAST_BOTH std::uint64_t units_of(Point p, const Rates& rates) {
  return static_cast<std::uint64_t>(probability_of(p, rates) * 0x1p62);
}

// A running sum of units, whole: bits 62 and up count the indices taken.
RAD_FAST_BOTH std::uint64_t passed(uint128 running) { return static_cast<std::uint64_t>(running >> probability_bits); }

}  // namespace cuda
}  // namespace rad_fast
