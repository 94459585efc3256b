// The game's sums: kernels/reference/game.py, reduce, bit for bit.
//
// Bytes per point: 8 read; 8 written for each undecided point, some 1 to 20% of all. All sums are of integers. They are
// kept in float64, where they are exact: numbers of more than 38 bits (d in units of 2^-48, 1/g in units of 2^-38) are cut
// in two first, and a call adds no more than 2^14 of them. Most points are sifted out by some 8 operations a vector; of those
// left half a vector takes some 45, one of them a division.

#include "game.hpp"

#include "dispatch.hpp"
#include "sift.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {
namespace {

// A sum of numbers of up to 62 bits, as multiples of 2^bits and what is left.
template <int bits>
struct Split {
  Double high{}, low{};

  static constexpr double unit = static_cast<double>(int64_t{1} << bits);
  RAD_FAST_MEMBER void add(Mask mask, Double x) {
    const Double part = round_down(x * (1.0 / unit));
    high += keep(mask, part);
    low += keep(mask, x - part * unit);
  }
};

RAD_FAST_INLINE int64_t integer(Double sums, double unit) { return static_cast<int64_t>(sum(sums) * unit); }

RAD_FAST_INLINE void compress(float* to, const float* from, unsigned chosen) {  // half_lanes of them
#if defined(__AVX512VL__)
  _mm256_storeu_ps(to, _mm256_maskz_compress_ps(static_cast<__mmask8>(chosen), _mm256_loadu_ps(from)));
#else
  for (int k = 0; k < half_lanes; ++k) {
    *to = from[k];
    to += chosen >> k & 1;
  }
#endif
}

int64_t reduce(const float* gain, const float* correctness, int64_t count, const Box& box, Sums& sums, float* undecided_gain,
               float* undecided_correctness) {
  const Double price_low = doubles(box.price_low), price_high = doubles(box.price_high);
  const Double threshold_low = doubles(box.threshold_low), threshold_high = doubles(box.threshold_high);
  Split<24> value;
  Split<31> width;
  Double full_advantage{}, full_gain{}, advantage{};
  int64_t saturated_count = 0, full_count = 0, undecided_count = 0;

  // Gains are from 0 to 1. These two branches are the same for all points; one that depends on a point costs more than the
  // arithmetic it saves.
  const bool some_full = box.threshold_high < 0, some_priced = box.price_high < 1;

  Sifted sifted;
  for (int64_t first = 0; first < count; first += sifted_points) {
    const int64_t left = sift(gain, correctness, first, count, box.threshold_low, sifted);
    const auto step = [&](const float* g, const float* c, int64_t, int) RAD_FAST_FORCED {
      const Terms t = terms(g, c);
      const Mask inside = greater(t.effective, threshold_high);
      const Mask saturated = without(inside, greater(t.gain, price_low));  // no NaN here: d > threshold is false for NaN
      const Mask reacting = both(inside, greater(t.gain, price_high));
      const Mask full = both(reacting, greater(-t.gain, threshold_high));
      const Mask priced = both(reacting, greater(threshold_low, -t.gain));
      const Mask playing = without(equal(t.gain, t.gain), greater(threshold_low, t.effective));  // NaN: past the last point
      const Mask undecided = without(without(playing, saturated), either(full, priced));

      saturated_count += __builtin_popcount(bits(saturated));
      value.add(saturated, t.effective * 0x1p48);
      if (some_full) {
        full_count += __builtin_popcount(bits(full));
        full_advantage += keep(full, t.advantage);
        full_gain += keep(full, t.gain);
      }
      if (some_priced) {
        advantage += keep(priced, t.advantage);
        width.add(priced, width_units(t.gain));
      }
      const unsigned chosen = bits(undecided);
      compress(undecided_gain + undecided_count, g, chosen);
      compress(undecided_correctness + undecided_count, c, chosen);
      undecided_count += __builtin_popcount(chosen);
    };
    for_points(sifted.gain, sifted.correctness, left, step);
  }

  sums = {saturated_count, integer(value.high, 1), integer(value.low, 1), full_count, integer(full_advantage, 0x1p24),
            integer(full_gain, 0x1p24), integer(advantage, 0x1p24), integer(width.high, 1), integer(width.low, 1)};
  return undecided_count;
}

}  // namespace

const GameKernels game_kernels = {reduce};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
