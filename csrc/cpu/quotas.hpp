// How a budget is shared out among classes: kernels/reference/quotas.py, number for number. Quotas are whole numbers of a small
// unit, and what decides about them fits 128 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

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

// Of factors below 2^53 and numbers up to their divisor, of 2^54. The quotient in float64 is a few units off; what it leaves fits
// 64 bits though the products do not: the bits above are lost in both. A division of 128 bits takes ten times as long.
inline Divided divided(std::int64_t factor, std::int64_t number, std::int64_t divisor) {
  auto near = static_cast<std::int64_t>(static_cast<double>(factor) * static_cast<double>(number) / static_cast<double>(divisor));
  auto rest = static_cast<std::int64_t>(static_cast<std::uint64_t>(factor) * static_cast<std::uint64_t>(number) -
                                        static_cast<std::uint64_t>(near) * static_cast<std::uint64_t>(divisor));
  for (; rest < 0; rest += divisor) --near;
  for (; rest >= divisor; rest -= divisor) ++near;
  return {near, rest};
}

inline Wholes whole_numbers(const std::vector<double>& weights) {
  int exponent = 0;
  std::frexp(*std::max_element(weights.begin(), weights.end()), &exponent);
  const int bits = part_bits - exponent - bit_length(static_cast<std::int64_t>(weights.size()));
  Wholes out(weights.size());
  for (std::size_t k = 0; k < out.size(); ++k)
    if (weights[k] != 0.0) out[k] = static_cast<std::int64_t>(std::ceil(std::ldexp(weights[k], bits)));
  return out;
}

// What the classes `at` lack, of all classes' `share`. `chosen`: a number a class.
inline Wholes lacked(const Wholes& share, const std::vector<std::size_t>& at, const std::int64_t* chosen, std::int64_t budget) {
  const std::int64_t after = std::accumulate(chosen, chosen + share.size(), budget), total = sum_of(share);
  const int bits = part_bits - bit_length(after);
  Wholes out(at.size());
  for (std::size_t i = 0; i < at.size(); ++i)
    out[i] = std::max<std::int64_t>(0, divided(after << bits, share[at[i]], total).quotient - (chosen[at[i]] << bits));
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

// Quotas to `out`. points, chosen, positive: a number a class; positive may be null. Classes without points get none, and are
// passed over: of a vocabulary's 131,072 they are most.
inline void share_out(const std::vector<double>& weights, const std::int64_t* points, const std::int64_t* chosen,
                      std::int64_t budget, const std::int64_t* positive, double* out) {
  const std::size_t classes = weights.size();
  const int bits = std::min(quota_bits, part_bits - bit_length(budget));
  std::vector<std::size_t> at;
  for (std::size_t k = 0; k < classes; ++k)
    if (points[k] > 0) at.push_back(k);
  const auto of = [&](const auto& numbers) {
    Wholes some(at.size());
    for (std::size_t i = 0; i < at.size(); ++i) some[i] = numbers[at[i]];
    return some;
  };
  const Wholes every = whole_numbers(weights), lacking = lacked(every, at, chosen, budget), share = of(every), all = of(points);
  Wholes filled(at.size(), 0), room(at.size());
  std::int64_t left = budget << bits;
  for (const std::int64_t* most : {positive, points}) {
    if (most == nullptr) continue;
    for (const Wholes* wanted : {&lacking, &share, &all}) {
      if (left == 0) break;
      for (std::size_t i = 0; i < at.size(); ++i) room[i] = (std::min(most[at[i]], budget) << bits) - filled[i];
      left -= pour(*wanted, room, left, filled);
    }
  }
  std::fill(out, out + classes, 0.0);
  for (std::size_t i = 0; i < at.size(); ++i) out[at[i]] = std::ldexp(static_cast<double>(filled[i]), -bits);
}

}  // namespace rad_fast
