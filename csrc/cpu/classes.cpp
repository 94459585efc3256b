// Probabilities where each class has a game of its own: kernels/reference/sample.py, units, bit for bit.
//
// Bytes per point: 12 read. Most points are not taken at all: a comparison in float32 with their classes' thresholds says so
// (see sift.hpp), and the division by the gain is done for the others alone.

#include "classes.hpp"

#include "chance.hpp"
#include "dispatch.hpp"
#include "sift.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {
namespace {

RAD_FAST_INLINE Double gather(const double* table, NarrowInt at) {
#if defined(__AVX512F__)
  return (Double)_mm512_i32gather_pd((__m256i)at, table, 8);
#elif defined(__AVX2__)
  return (Double)_mm256_i32gather_pd(table, (__m128i)at, 8);
#else
  Double found{};
  for (int k = 0; k < half_lanes; ++k) found[k] = table[at[k]];
  return found;
#endif
}

// Calls work(terms, classes, first, lanes in use); the last points come in a copy, with points that are left out behind
// them.
template <class Work>
RAD_FAST_INLINE void for_labelled(const float* gain, const float* correctness, const int32_t* label, int64_t count,
                                  const Work& work) {
  int64_t i = 0;
  for (; i + half_lanes <= count; i += half_lanes) {
    const NarrowInt at = load<NarrowInt>(label + i);
    work(terms(gain + i, correctness + i), at & ~(at >> 31), i, half_lanes);  // a label of -1: any class, gain is NaN
  }
  if (i == count) return;
  float last_gain[half_lanes], last_correctness[half_lanes];
  NarrowInt at{};
  for (int k = 0; k < half_lanes; ++k) {
    const bool here = i + k < count;
    last_gain[k] = here ? gain[i + k] : __builtin_nanf("");
    last_correctness[k] = here ? correctness[i + k] : 0.0f;
    at[k] = here && label[i + k] > 0 ? label[i + k] : 0;
  }
  work(terms(last_gain, last_correctness), at, i, static_cast<int>(count - i));
}

void probabilities(const float* gain, const float* correctness, const int32_t* label, int64_t count, const Equilibria& all,
                   double* out) {
  for_labelled(gain, correctness, label, count,
               [&](const Terms& t, NarrowInt at, int64_t i, int used) RAD_FAST_FORCED {
                 const Answers answers{gather(all.price, at), gather(all.threshold, at), gather(all.share, at)};
                 const Double q = probability(t, answers);
                 if (used == half_lanes) store(out + i, q);
                 else __builtin_memcpy(out + i, &q, static_cast<unsigned>(used) * sizeof(double));
               });
}

// A table's number for the class of each lane; tables of up to few_classes numbers stay in registers.
constexpr int few_classes = 16;
template <bool few>
RAD_FAST_INLINE Float of_class(const float* table, Int at) {
#if defined(__AVX512F__)
  if (few) return (Float)_mm512_permutexvar_ps((__m512i)at, (__m512)load<Float>(table));
  return (Float)_mm512_i32gather_ps((__m512i)at, table, 4);
#elif defined(__AVX2__)
  if (few) {
    const __m256 first = _mm256_permutevar8x32_ps((__m256)load<Float>(table), (__m256i)at);
    const __m256 second = _mm256_permutevar8x32_ps((__m256)load<Float>(table + lanes), (__m256i)at);
    return (Float)_mm256_blendv_ps(first, second, (__m256)(at << 28));  // the sign: whether it is 8 or more
  }
  return (Float)_mm256_i32gather_ps(table, (__m256i)at, 4);
#else
  Float found{};
  for (int k = 0; k < lanes; ++k) found[k] = table[at[k]];
  return found;
#endif
}
template <bool few>
RAD_FAST_INLINE Double of_class(const double* table, NarrowInt at) {
#if defined(__AVX512F__)
  if (few)
    return (Double)_mm512_permutex2var_pd((__m512d)load<Double>(table), _mm512_cvtepi32_epi64((__m256i)at),
                                          (__m512d)load<Double>(table + half_lanes));
#endif
  return gather(table, at);
}

RAD_FAST_INLINE bool any(Int mask) {
  int32_t all = 0;
  for (int k = 0; k < lanes; ++k) all |= mask[k];
  return all != 0;
}

// Points that came through, with room for what is written past the last one.
struct Passed {
  alignas(64) float gain[sifted_points + lanes], correctness[sifted_points + lanes];
  alignas(64) int32_t label[sifted_points + lanes];
};

// Of up to sifted_points points those that reach their class's bound, and some that come near it: see sift.hpp. Returns how
// many, or -1 where a label is no class. Where many come through, whether a vector holds one cannot be foreseen: no branch.
// `where`: their place goes there, `begin` and on, and with_keys label x others + other above it.
template <bool few, bool with_keys>
RAD_FAST_INLINE int64_t pass(const float* gain, const float* correctness, const int32_t* label, const std::uint8_t* other,
                             int32_t others, int64_t count, const float* least, int32_t classes, Passed& out, int64_t begin,
                             int32_t* where) {
  Int stray{};
  unsigned stray_others = 0;
  int64_t found = 0, i = 0;
  const auto step = [&](Float g, Float c, Int at, Bytes second) RAD_FAST_FORCED {
    stray |= (at < -1) | (at >= classes) | ((at < 0) & (g == g));
    at = (at < 0) | (at >= classes) ? Int{} : at;
    const unsigned chosen = reaching((c * 2.0f - 1.0f) * g, of_class<few>(least, at));
    pack(out.gain + found, g, chosen);
    pack(out.correctness + found, c, chosen);
    pack(reinterpret_cast<float*>(out.label + found), (Float)at, chosen);
    Int place = counting() + static_cast<int32_t>(begin + i);
    if (with_keys) {
      const Int beside = __builtin_convertvector(second, Int);
      stray_others |= set_lanes(beside >= others) & chosen;
      place |= (Int)((Bits)(at * others + beside) << place_bits);
    }
    pack(reinterpret_cast<float*>(where + found), (Float)place, chosen);
    found += __builtin_popcount(chosen);
  };
  for (; i + lanes <= count; i += lanes)
    step(load<Float>(gain + i), load<Float>(correctness + i), load<Int>(label + i), other ? load<Bytes>(other + i) : Bytes{});
  if (i < count) {
    Float g = broadcast(__builtin_nanf("")), c{};
    Int at{};
    Bytes second{};
    if (other) __builtin_memcpy(&second, other + i, static_cast<unsigned>(count - i));
    __builtin_memcpy(&g, gain + i, static_cast<unsigned>(count - i) * sizeof(float));
    __builtin_memcpy(&c, correctness + i, static_cast<unsigned>(count - i) * sizeof(float));
    __builtin_memcpy(&at, label + i, static_cast<unsigned>(count - i) * sizeof(int32_t));
    step(g, c, at, second);
  }
  return any(stray) || stray_others ? -1 : found;
}

// Two tables by turns: a number that was just written is read again some cycles later only.
bool count_labels(const float* gain, const float* correctness, const int32_t* label, int64_t count, int32_t classes, int64_t* even,
                  int64_t* odd) {
  alignas(64) int32_t at[sifted_points + lanes];
  Int stray{};
  for (int64_t first = 0; first < count; first += sifted_points) {
    const int64_t here = count - first < sifted_points ? count - first : sifted_points;
    const auto place = [&](Float g, Float c, Int y) RAD_FAST_FORCED {
      const Int plays = g == g, known = (y >= 0) & (y < classes), positive = (g > 0.0f) & (c > 0.5f);
      stray |= plays & ~known;
      return plays & known & (2 * (y + 1) - positive);  // true is -1
    };
    int64_t i = 0;
    for (; i + lanes <= here; i += lanes)
      store(at + i, place(load<Float>(gain + first + i), load<Float>(correctness + first + i), load<Int>(label + first + i)));
    for (; i < here; ++i)
      at[i] = place(broadcast(gain[first + i]), broadcast(correctness[first + i]), broadcast(label[first + i]))[0];
    for (i = 0; i + 1 < here; i += 2) {
      ++even[at[i]];
      ++odd[at[i + 1]];
    }
    if (i < here) ++even[at[i]];
  }
  return !any(stray);
}

// a[0], b[0], a[1], b[1] and on.
RAD_FAST_INLINE void store_pairs(int64_t* to, Long a, Long b) {
#if defined(__AVX512F__)
  const __m512i first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), second = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
  store(to, (Long)_mm512_permutex2var_epi64((__m512i)a, first, (__m512i)b));
  store(to + half_lanes, (Long)_mm512_permutex2var_epi64((__m512i)a, second, (__m512i)b));
#elif defined(__AVX2__)
  const __m256i even = _mm256_unpacklo_epi64((__m256i)a, (__m256i)b), odd = _mm256_unpackhi_epi64((__m256i)a, (__m256i)b);
  store(to, (Long)_mm256_permute2x128_si256(even, odd, 0x20));
  store(to + half_lanes, (Long)_mm256_permute2x128_si256(even, odd, 0x31));
#else
  for (int k = 0; k < half_lanes; ++k) {
    to[2 * k] = a[k];
    to[2 * k + 1] = b[k];
  }
#endif
}
typedef int64_t Pair __attribute__((vector_size(16)));

template <bool few, bool narrow>
Counts reduce_some(const LabelledPoints& points, int32_t others, const ClassBoxes& boxes, const PricedSums& added, Sums* sums,
                   const Passing& passing, const Undecided& undecided) {
  Passed passed;
  alignas(64) int32_t advantages[sifted_points + lanes], priced[sifted_points + lanes];
  alignas(64) int64_t both[2 * (sifted_points + lanes)], width_high[sifted_points + lanes];
  Counts counts{0, 0};
  for (int64_t first = 0; first < points.count; first += sifted_points) {
    const int64_t here = points.count - first < sifted_points ? points.count - first : sifted_points;
    const std::uint8_t* const other = points.other ? points.other + first : nullptr;
    const int64_t some = pass<few, true>(points.gain + first, points.correctness + first, points.label + first, other, others, here,
                                         boxes.low, boxes.classes, passed, first, passing.where + counts.passing);
    if (some < 0) return {-1, 0};
    for (int64_t i = 0; i < some; i += lanes) {
      const Int used = counting() < static_cast<int32_t>(some - i);
      const Float g = load<Float>(passed.gain + i), c = load<Float>(passed.correctness + i), a = c * 2.0f - 1.0f;
      const Int at = load<Int>(passed.label + i) & used;
      const Int inside = (a * g > of_class<few>(boxes.high, at)) & used;
      const Int reacting = inside & (g > of_class<few>(boxes.price_high, at)), whole = inside & (g <= of_class<few>(boxes.price_low, at));
      const Int open = used & ~(reacting | whole);
      store(passing.what + counts.passing + i, (__builtin_convertvector(g * 0x1p24f, Int) & reacting) | (open & undecided_point));
      store(advantages + i, __builtin_convertvector(a * 0x1p24f, Int) & reacting);
      store(priced + i, reacting);
      const unsigned left = set_lanes(open);
      pack(undecided.gain + counts.undecided, g, left);
      pack(undecided.correctness + counts.undecided, c, left);
      pack(reinterpret_cast<float*>(undecided.label + counts.undecided), (Float)at, left);
      counts.undecided += __builtin_popcount(left);
      for (unsigned rest = set_lanes(whole); rest; rest &= rest - 1) {
        const int k = __builtin_ctz(rest);
        const int64_t d = static_cast<int64_t>(a[k] * 0x1p24f) * static_cast<int64_t>(g[k] * 0x1p24f);
        Sums& sum = sums[at[k]];
        ++sum.saturated;
        sum.value_high += d >> 24;
        sum.value_low += d & 0xffffff;
      }
    }
    for (int64_t i = 0; i < some; i += half_lanes) {
      const Double width = width_units(widen(load<NarrowFloat>(passed.gain + i)));
      const Long reacts = longs(load<NarrowInt>(priced + i));
      const Double high = narrow ? Double{} : round_down(width * 0x1p-31);
      store_pairs(both + 2 * i, longs(load<NarrowInt>(advantages + i)), integer(width - high * 0x1p31) & reacts);
      if (!narrow) store(width_high + i, integer(high) & reacts);
    }
    for (int64_t i = 0; i < some; ++i) {
      const int64_t k = passed.label[i];
      store(added.pairs + 2 * k, load<Pair>(added.pairs + 2 * k) + load<Pair>(both + 2 * i));
      if (!narrow) added.high[k] += width_high[i];
    }
    counts.passing += some;
  }
  return counts;
}

Counts reduce(const LabelledPoints& points, int32_t others, const ClassBoxes& boxes, const PricedSums& added, Sums* sums,
              const Passing& passing, const Undecided& undecided) {
  const auto run = boxes.classes <= few_classes ? (boxes.narrow ? reduce_some<true, true> : reduce_some<true, false>)
                                                : (boxes.narrow ? reduce_some<false, true> : reduce_some<false, false>);
  return run(points, others, boxes, added, sums, passing, undecided);
}

// What chance.hpp says of points of whom the first piece is taken and the second is not.
template <bool few>
int64_t settle_some(const Passing& passing, int64_t count, const Prices& prices, const std::uint64_t* undecided, int32_t* key,
                    std::uint64_t* unit) {
  // A product and a shift in place of the division by `others`: exact, for keys below 16 x 256.
  const int32_t inverse = ((1 << 20) + prices.others - 1) / prices.others;
  const auto step = [&](NarrowInt what, NarrowInt where, int64_t i) RAD_FAST_FORCED {
    const NarrowInt at = where >> place_bits;
    const Double price = few ? of_class<true>(prices.of_class, (at * inverse) >> 20) : gather(prices.of_key, at);
    const Double one = doubles(1.0), gain = widen(what & (undecided_point - 1)) * 0x1p-24;
    const Double priced = price * (width_units(gain) * 0x1p-38);  // saturated: infinite
    store(key + i, at);
    store(unit + i, truncated_units(choose(greater(one, priced), priced, one)));
    return undecided_lanes(what);
  };
  // Which points are undecided cannot be foreseen: they are looked for 64 at a time, not at each vector.
  int64_t met = 0;
  for (int64_t first = 0; first < count; first += 64) {
    const int64_t end = count - first < 64 ? count : first + 64;
    std::uint64_t open = 0;
    int64_t i = first;
    for (; i + half_lanes <= end; i += half_lanes)
      open |= std::uint64_t{step(load<NarrowInt>(passing.what + i), load<NarrowInt>(passing.where + i), i)} << (i - first);
    if (i < end) {
      NarrowInt what{}, where{};
      __builtin_memcpy(&what, passing.what + i, static_cast<unsigned>(end - i) * sizeof(int32_t));
      __builtin_memcpy(&where, passing.where + i, static_cast<unsigned>(end - i) * sizeof(int32_t));
      open |= std::uint64_t{step(what, where, i)} << (i - first);
    }
    for (; open; open &= open - 1) unit[first + __builtin_ctzll(open)] = undecided[met++];
  }
  return met;
}

int64_t settle(const Passing& passing, int64_t count, const Prices& prices, const std::uint64_t* undecided, int32_t* key,
               std::uint64_t* unit) {
  return prices.classes <= lanes ? settle_some<true>(passing, count, prices, undecided, key, unit)
                                 : settle_some<false>(passing, count, prices, undecided, key, unit);
}

template <bool few>
int64_t units_of(const float* gain, const float* correctness, const int32_t* label, int64_t count, const ClassTables& all,
                 int32_t* place, int32_t* of, std::uint64_t* unit) {
  Passed passed;
  int64_t found = 0;
  for (int64_t first = 0; first < count; first += sifted_points) {
    const int64_t here = count - first < sifted_points ? count - first : sifted_points;
    // A second piece pays no more than the first: where that pays less than the threshold nothing is taken.
    const int64_t some =
        pass<few, false>(gain + first, correctness + first, label + first, nullptr, 1, here, all.least, all.classes, passed, first,
                         place + found);
    if (some < 0) return -1;
    for_labelled(passed.gain, passed.correctness, passed.label, some,
                 [&](const Terms& t, NarrowInt at, int64_t i, int) RAD_FAST_FORCED {
                   const Answers answers{of_class<few>(all.of.price, at), of_class<few>(all.of.threshold, at),
                                         of_class<few>(all.of.share, at)};
                   store(unit + found + i, truncated_units(probability(t, answers)));  // past the last: zeros, of points left out
                 });
    __builtin_memcpy(of + found, passed.label, static_cast<std::uint64_t>(some) * sizeof(int32_t));
    found += some;
  }
  return found;
}

int64_t units(const float* gain, const float* correctness, const int32_t* label, int64_t count, const ClassTables& all,
              int32_t* place, int32_t* of, std::uint64_t* unit) {
  return all.classes <= few_classes ? units_of<true>(gain, correctness, label, count, all, place, of, unit)
                                    : units_of<false>(gain, correctness, label, count, all, place, of, unit);
}

}  // namespace

const ClassKernels class_kernels = {count_labels, probabilities, reduce, settle, units};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
