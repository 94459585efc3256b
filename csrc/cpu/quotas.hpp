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

// A weight in units of so little that rounding up does not matter.
class WholeNumbers {
 public:
  WholeNumbers(const double* weights, std::size_t classes) {
    int exponent = 0;
    std::frexp(*std::max_element(weights, weights + classes), &exponent);
    bits_ = part_bits - exponent - bit_length(static_cast<std::int64_t>(classes));
  }
  std::int64_t operator()(double weight) const {
    return weight == 0.0 ? 0 : static_cast<std::int64_t>(std::ceil(std::ldexp(weight, bits_)));
  }

 private:
  int bits_;
};

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
inline void share_out(const double* weights, std::size_t classes, const std::int64_t* points, const std::int64_t* chosen,
                      std::int64_t budget, const std::int64_t* positive, double* out) {
  const int bits = std::min(quota_bits, part_bits - bit_length(budget));
  const WholeNumbers whole(weights, classes);
  std::vector<std::size_t> at;
  Wholes share, all, lacking;
  std::int64_t total = 0, after = budget;
  for (std::size_t k = 0; k < classes; ++k) {
    const std::int64_t mine = whole(weights[k]);
    total += mine;
    after += chosen[k];
    if (points[k] == 0) continue;
    at.push_back(k);
    share.push_back(mine);
    all.push_back(points[k]);
  }
  const int part = part_bits - bit_length(after);
  for (std::size_t i = 0; i < at.size(); ++i)
    lacking.push_back(
        std::max<std::int64_t>(0, divided(after << part, share[i], total).quotient - (chosen[at[i]] << part)));
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
