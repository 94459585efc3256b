// Whole numbers wider than a register: products of sums, and quotients rounded as Python rounds those of whole numbers.
// Baseline code alone (see dispatch.hpp).
#pragma once

#include <cmath>
#include <cstdint>

namespace rad_fast {

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

// 256 bits, two's complement: wraps around beyond, as built-in unsigned numbers do.
struct Wide {
  std::uint64_t word[4];  // the lowest first

  Wide(int128 x)  // NOLINT: every whole number is one
      : word{static_cast<std::uint64_t>(x), static_cast<std::uint64_t>(x >> 64), x < 0 ? ~std::uint64_t{0} : 0,
             x < 0 ? ~std::uint64_t{0} : 0} {}

  bool negative() const { return (word[3] >> 63) != 0; }

  Wide operator+(const Wide& other) const {
    Wide sum(0);
    uint128 carry = 0;
    for (int k = 0; k < 4; ++k) {
      carry += static_cast<uint128>(word[k]) + other.word[k];
      sum.word[k] = static_cast<std::uint64_t>(carry);
      carry >>= 64;
    }
    return sum;
  }
  Wide operator-() const {
    Wide flipped(0);
    for (int k = 0; k < 4; ++k) flipped.word[k] = ~word[k];
    return flipped + Wide(1);
  }
  Wide operator-(const Wide& other) const { return *this + -other; }
  Wide operator*(const Wide& other) const {
    Wide product(0);
    for (int i = 0; i < 4; ++i) {
      std::uint64_t carry = 0;
      for (int j = 0; i + j < 4; ++j) {
        const uint128 part = static_cast<uint128>(word[i]) * other.word[j] + product.word[i + j] + carry;
        product.word[i + j] = static_cast<std::uint64_t>(part);
        carry = static_cast<std::uint64_t>(part >> 64);
      }
    }
    return product;
  }
  bool operator<(const Wide& other) const { return (*this - other).negative(); }
  bool operator>=(const Wide& other) const { return !(*this < other); }
  bool operator==(const Wide& other) const {
    return word[0] == other.word[0] && word[1] == other.word[1] && word[2] == other.word[2] && word[3] == other.word[3];
  }

  Wide doubled() const { return *this + *this; }
  Wide shifted(int bits) const {  // left
    Wide moved(*this);
    for (; bits >= 64; bits -= 64) {
      for (int k = 3; k > 0; --k) moved.word[k] = moved.word[k - 1];
      moved.word[0] = 0;
    }
    if (bits == 0) return moved;
    for (int k = 3; k > 0; --k) moved.word[k] = moved.word[k] << bits | moved.word[k - 1] >> (64 - bits);
    moved.word[0] <<= bits;
    return moved;
  }
  uint128 from(int bit) const {  // 128 bits from that one on
    const auto at = [this](int k) { return k < 4 ? static_cast<uint128>(word[k]) : 0; };
    const int first = bit / 64, within = bit % 64;
    const uint128 low = at(first) | at(first + 1) << 64;
    return within == 0 ? low : low >> within | at(first + 2) << (128 - within);
  }
  int length() const {  // binary digits of a number that is not negative
    for (int k = 3; k >= 0; --k)
      if (word[k]) return 64 * k + 64 - __builtin_clzll(word[k]);
    return 0;
  }
};

// n / d 2^exponent in float64, rounded to nearest, ties to even; d > 0, both below 2^226.
inline double ratio(Wide n, Wide d, int exponent) {
  const bool negative = n.negative();
  if (negative) n = -n;
  if (n.length() == 0) return 0.0;
  int shift = n.length() - d.length();
  if (shift > 0) d = d.shifted(shift);
  else n = n.shifted(-shift);
  if (n < d) {
    n = n.doubled();
    --shift;
  }
  // 55 binary digits of n / d in [1, 2), the last two for rounding: the first is 1, 27 at a time follow. Leading digits alone say them
  // but for one or two, and never say too much.
  constexpr int digits = 27;
  std::uint64_t quotient = 1;
  n = n - d;
  const int from = d.length() > 64 ? d.length() - 64 : 0;
  const uint128 leading = d.from(from) + (from > 0 ? 1 : 0);
  for (int step = 0; step < 2; ++step) {
    n = n.shifted(digits);
    auto some = static_cast<std::uint64_t>(n.from(from) / leading);
    n = n - d * Wide(some);
    for (; n >= d; ++some) n = n - d;
    quotient = quotient << digits | some;
  }
  const std::uint64_t rest = quotient & 3;
  quotient >>= 2;
  if (rest == 3 || (rest == 2 && (!(n == Wide(0)) || (quotient & 1)))) ++quotient;
  const double size = std::ldexp(static_cast<double>(quotient), shift - 52 + exponent);
  return negative ? -size : size;
}

inline int128 floor_of_quotient(int128 n, int128 d) {  // d > 0
  const int128 quotient = n / d;
  return n % d < 0 ? quotient - 1 : quotient;
}

}  // namespace rad_fast
