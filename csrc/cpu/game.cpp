// The game's sums: kernels/reference/game.py, reduce, bit for bit.
//
// Bytes per point: 8 read; 8 written for each undecided point, some 1 to 20% of all. All sums are of integers. They are
// kept in float64, where they are exact: numbers of more than 38 bits (d in units of 2^-48, 1/g in units of 2^-38) are cut
// in two first, and a call adds no more than 2^14 of them. Most points are sifted out by some 8 operations a vector; of those
// left half a vector takes some 45, one of them a division.

#include "game.hpp"

#include "chance.hpp"
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

RAD_FAST_INLINE int64_t whole_sum(Double sums, double unit) { return static_cast<int64_t>(sum(sums) * unit); }

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

  sums = {saturated_count, whole_sum(value.high, 1), whole_sum(value.low, 1), full_count, whole_sum(full_advantage, 0x1p24),
            whole_sum(full_gain, 0x1p24), whole_sum(advantage, 0x1p24), whole_sum(width.high, 1), whole_sum(width.low, 1)};
  return undecided_count;
}

// ------------------------------------------------------------------------------------------------- points that pass

// A number from 0 on in float32.
RAD_FAST_INLINE float rounded_up(double x) {
  float nearest = static_cast<float>(x);
  if (static_cast<double>(nearest) >= x) return nearest;
  int32_t bits;
  __builtin_memcpy(&bits, &nearest, sizeof bits);
  ++bits;
  __builtin_memcpy(&nearest, &bits, sizeof bits);
  return nearest;
}

// What pass leaves to a second look at points that pass, whose places begin with `place`: adds 1 / g, 2^-38, of the priced ones to
// the sums, and calls work(place) for the undecided ones. Zeros follow the last point. Which ones are undecided cannot be foreseen:
// they are looked for 64 at a time. `narrow`: no gain is below narrow_gain, whose width does not fit 48 bits.
template <bool narrow, class Work>
RAD_FAST_INLINE void look_again(const int32_t* what, const int32_t* where, int64_t count, Sums& sums, const Work& work) {
  Long high{}, low{};
  for (int64_t first = 0; first < count; first += 64) {
    const int64_t end = count - first < 64 ? count : first + 64;
    std::uint64_t open = 0;
    for (int64_t i = first; i < end; i += half_lanes) {
      const NarrowInt w = load<NarrowInt>(what + i);
      open |= std::uint64_t{undecided_lanes(w)} << (i - first);
      const Long priced = longs((w << 1) > 0);
      const Double width = round_down(doubles(0x1p62) / widen(w) + doubles(0.5));  // see width_units
      if (narrow) {
        low += integer(width) & priced;
      } else {
        const Double above = round_down(width * 0x1p-31);
        high += integer(above) & priced;
        low += integer(width - above * 0x1p31) & priced;
      }
    }
    for (; open; open &= open - 1) work(where[first + __builtin_ctzll(open)]);
  }
  int64_t all_high = 0, all_low = 0;
  for (int k = 0; k < half_lanes; ++k) {
    all_high += high[k];
    all_low += low[k];
  }
  sums.width_high += all_high + (all_low >> 31);
  sums.width_low += all_low & ((int64_t{1} << 31) - 1);
}

// In float32, as in sift.hpp: of points that are inside, the upper threshold is rounded up. Their advantage is a multiple of 2^-23.
// What few points are is left to a second look, as no branch foresees which ones they are.
Counts pass(const float* gain, const float* correctness, int64_t count, const Box& box, int32_t place, Sums& sums,
            const Passing& passing, float* undecided_gain, float* undecided_correctness) {
  const Float low = broadcast(static_cast<float>(box.threshold_low)), high = broadcast(rounded_up(box.threshold_high));
  const Float price_low = broadcast(static_cast<float>(box.price_low)), price_high = broadcast(static_cast<float>(box.price_high));
  const bool narrow = box.price_high >= narrow_gain;
  int32_t *what = passing.what, *where = passing.where;  // of the next point that passes
  float *left_gain = undecided_gain, *left_correctness = undecided_correctness;
  for (int64_t first = 0; first < count; first += sifted_points) {
    const int64_t end = count - first < sifted_points ? count : first + sifted_points;
    int32_t *const here = what, *const there = where;
    Bits advantage{};  // 2^-23, of up to 1024 points
    Int some_whole{};
    const auto step = [&](Float g, Float c, int64_t i) RAD_FAST_FORCED {
      const Float a = c * 2.0f - 1.0f, d = a * g;
      const unsigned chosen = reaching(d, low);
      if (!chosen) return;
      const Int inside = d > high, reacting = inside & (g > price_high), whole = inside & (g <= price_low);
      const Int open = ~(reacting | whole) & undecided_point;
      pack(reinterpret_cast<float*>(what), (Float)((__builtin_convertvector(g * 0x1p24f, Int) & reacting) | open), chosen);
      pack(reinterpret_cast<float*>(where), (Float)(counting() + (place + static_cast<int32_t>(i))), chosen);
      what += __builtin_popcount(chosen);
      where += __builtin_popcount(chosen);
      advantage += (Bits)(__builtin_convertvector(a * 0x1p23f, Int) & reacting);
      some_whole |= whole;
    };
    int64_t i = first;
    for (; i + lanes <= end; i += lanes) step(load<Float>(gain + i), load<Float>(correctness + i), i);
    if (i < end) {
      Float g = broadcast(__builtin_nanf("")), c{};
      __builtin_memcpy(&g, gain + i, static_cast<unsigned>(end - i) * sizeof(float));
      __builtin_memcpy(&c, correctness + i, static_cast<unsigned>(end - i) * sizeof(float));
      step(g, c, i);
    }
    store(what, NarrowInt{});
    const auto left = [&](int32_t at) RAD_FAST_FORCED {
      *left_gain++ = gain[at - place];
      *left_correctness++ = correctness[at - place];
    };
    if (narrow) look_again<true>(here, there, what - here, sums, left);
    else look_again<false>(here, there, what - here, sums, left);
    for (int k = 0; k < lanes; ++k) sums.advantage += 2 * int64_t{advantage[k]};
    if (set_lanes(some_whole)) {
      for (int64_t k = 0; k < what - here; ++k) {
        if (here[k] != 0) continue;
        const int32_t from = there[k] - place;
        const int64_t d = static_cast<int64_t>((correctness[from] * 2.0f - 1.0f) * 0x1p24f) * static_cast<int64_t>(gain[from] * 0x1p24f);
        ++sums.saturated;
        sums.value_high += d >> 24;
        sums.value_low += d & 0xffffff;
      }
    }
  }
  return {what - passing.what, left_gain - undecided_gain};
}

}  // namespace

const GameKernels game_kernels = {reduce, pass};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
