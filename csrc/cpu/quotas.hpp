// How a budget is shared out among classes: kernels/reference/quotas.py, number for number. Quotas are whole numbers of a small
// unit, and what decides about them fits 128 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "wide.hpp"

namespace rad_fast {

constexpr int quota_bits = 24, part_bits = 52;
constexpr double surely = 1.0 + 0x1p-40;  // more than float64 errs by

using Wholes = std::vector<std::int64_t>;

inline int bit_length(std::int64_t x) {
  int bits = 0;
  for (; x > 0; x >>= 1) ++bits;
  return bits;
}

inline std::int64_t sum_of(const Wholes& numbers) { return std::accumulate(numbers.begin(), numbers.end(), std::int64_t{0}); }

struct Divided {
  std::int64_t quotient, remainder;
};

inline Divided divided(std::int64_t factor, std::int64_t number, std::int64_t divisor) {
  const uint128 product = static_cast<uint128>(factor) * static_cast<uint128>(number), by = static_cast<uint128>(divisor);
  return {static_cast<std::int64_t>(product / by), static_cast<std::int64_t>(product % by)};
}

inline Wholes whole_numbers(const std::vector<double>& weights) {
  int exponent = 0;
  std::frexp(*std::max_element(weights.begin(), weights.end()), &exponent);
  const int bits = part_bits - exponent - bit_length(static_cast<std::int64_t>(weights.size()));
  Wholes out(weights.size());
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = static_cast<std::int64_t>(std::ceil(std::ldexp(weights[k], bits)));
  return out;
}

// `chosen`: a number a class.
inline Wholes lacked(const Wholes& share, const std::int64_t* chosen, std::int64_t budget) {
  const std::int64_t after = std::accumulate(chosen, chosen + share.size(), budget), total = sum_of(share);
  const int bits = part_bits - bit_length(after);
  Wholes out(share.size());
  for (std::size_t k = 0; k < out.size(); ++k)
    out[k] = std::max<std::int64_t>(0, divided(after << bits, share[k], total).quotient - (chosen[k] << bits));
  return out;
}

// Adds `amount` to what the classes are given, in proportion to `wanted`, to none more than its `room`; less only where all are
// full. What was added.
inline std::int64_t pour(const Wholes& wanted, const Wholes& room, std::int64_t amount, Wholes& given) {
  std::vector<std::size_t> able;
  for (std::size_t k = 0; k < wanted.size(); ++k)
    if (wanted[k] > 0 && room[k] > 0) able.push_back(k);
  const std::int64_t asked = amount;
  std::vector<Divided> due(able.size());
  while (!able.empty()) {
    std::int64_t total = 0;
    for (const std::size_t k : able) total += wanted[k];
    const double level = static_cast<double>(amount) / static_cast<double>(total);
    std::vector<std::size_t> left;
    const auto fill = [&](auto&& full) {
      left.clear();
      std::int64_t taken = 0;
      for (std::size_t at = 0; at < able.size(); ++at) {
        const std::size_t k = able[at];
        if (full(at, k)) {
          given[k] += room[k];
          taken += room[k];
        } else {
          left.push_back(k);
        }
      }
      amount -= taken;
      const bool any = left.size() < able.size();
      if (any) able = left;
      return any;
    };
    // Those that are full for sure cost no division.
    if (fill([&](std::size_t, std::size_t k) {
          return static_cast<double>(wanted[k]) * level > static_cast<double>(room[k]) * surely;
        }))
      continue;
    for (std::size_t at = 0; at < able.size(); ++at) due[at] = divided(amount, wanted[able[at]], total);
    if (fill([&](std::size_t at, std::size_t k) { return due[at].quotient >= room[k]; })) continue;
    for (std::size_t at = 0; at < able.size(); ++at) {
      given[able[at]] += due[at].quotient;
      amount -= due[at].quotient;
    }
    std::vector<std::size_t> order(able.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto first = [&](std::size_t a, std::size_t b) {  // the largest fractions, the first of equals
      return due[a].remainder != due[b].remainder ? due[a].remainder > due[b].remainder : a < b;
    };
    std::nth_element(order.begin(), order.begin() + amount, order.end(), first);
    for (std::int64_t at = 0; at < amount; ++at) ++given[able[order[static_cast<std::size_t>(at)]]];
    amount = 0;
    break;
  }
  return asked - amount;
}

// Quotas to `out`. points, chosen, positive: a number a class; positive may be null.
inline void share_out(const std::vector<double>& weights, const std::int64_t* points, const std::int64_t* chosen,
                      std::int64_t budget, const std::int64_t* positive, double* out) {
  const std::size_t classes = weights.size();
  const int bits = std::min(quota_bits, part_bits - bit_length(budget));
  const Wholes share = whole_numbers(weights), lacking = lacked(share, chosen, budget), all(points, points + classes);
  Wholes filled(classes, 0), room(classes);
  std::int64_t left = budget << bits;
  for (const std::int64_t* most : {positive, points}) {
    if (most == nullptr) continue;
    for (const Wholes* wanted : {&lacking, &share, &all}) {
      if (left == 0) break;
      for (std::size_t k = 0; k < classes; ++k) room[k] = (std::min(most[k], budget) << bits) - filled[k];
      left -= pour(*wanted, room, left, filled);
    }
  }
  for (std::size_t k = 0; k < classes; ++k) out[k] = std::ldexp(static_cast<double>(filled[k]), -bits);
}

}  // namespace rad_fast
