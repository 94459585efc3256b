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

// A table's number for the class of each lane; tables of up to few_classes numbers stay in registers, and have one for what is no class.
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
  for (int k = 0; k < lanes; ++k) found[k] = table[few ? at[k] & (few_classes - 1) : at[k]];
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

// The compiler would take them one by one.
RAD_FAST_INLINE Int ints_of(Bytes x) {
#if defined(__AVX512F__)
  return (Int)_mm512_cvtepu8_epi32((__m128i)x);
#elif defined(__AVX2__)
  return (Int)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(&x)));
#else
  return __builtin_convertvector(x, Int);
#endif
}

// Points that came through, with room for what is written past the last one.
struct Passed {
  alignas(64) float gain[sifted_points + lanes], correctness[sifted_points + lanes];
  alignas(64) int32_t label[sifted_points + lanes];
};

// Calls step(gain, correctness, label, other, first) for `count` points, `lanes` at a time; points that are left out follow the last.
template <class Step>
RAD_FAST_INLINE void for_lanes(const float* gain, const float* correctness, const int32_t* label, const std::uint8_t* other, int64_t count,
                               const Step& step) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    step(load<Float>(gain + i), load<Float>(correctness + i), load<Int>(label + i), other ? load<Bytes>(other + i) : Bytes{}, i);
  if (i == count) return;
  const auto left = static_cast<unsigned>(count - i);
  Float g = broadcast(__builtin_nanf("")), c{};
  Int at{};
  Bytes second{};
  if (other) __builtin_memcpy(&second, other + i, left);
  __builtin_memcpy(&g, gain + i, left * sizeof(float));
  __builtin_memcpy(&c, correctness + i, left * sizeof(float));
  __builtin_memcpy(&at, label + i, left * sizeof(int32_t));
  step(g, c, at, second, i);
}

// Of up to sifted_points points those that reach their class's bound, and some that come near it: see sift.hpp. Returns how
// many, or -1 where a label is no class. Where many come through, whether a vector holds one cannot be foreseen: no branch.
// `where`: their place goes there, `begin` and on.
template <bool few>
RAD_FAST_INLINE int64_t pass(const float* gain, const float* correctness, const int32_t* label, int64_t count, const float* least,
                             int32_t classes, Passed& out, int64_t begin, int32_t* where) {
  Int stray{};
  int64_t found = 0;
  for_lanes(gain, correctness, label, nullptr, count, [&](Float g, Float c, Int at, Bytes, int64_t i) RAD_FAST_FORCED {
    stray |= (at < -1) | (at >= classes) | ((at < 0) & (g == g));
    at = (at < 0) | (at >= classes) ? Int{} : at;
    const unsigned chosen = reaching((c * 2.0f - 1.0f) * g, of_class<few>(least, at));
    pack(out.gain + found, g, chosen);
    pack(out.correctness + found, c, chosen);
    pack(reinterpret_cast<float*>(out.label + found), (Float)at, chosen);
    pack(reinterpret_cast<float*>(where + found), (Float)(counting() + static_cast<int32_t>(begin + i)), chosen);
    found += __builtin_popcount(chosen);
  });
  return any(stray) ? -1 : found;
}

// Points whose labels are counted at a time: no byte below counts more than 255 of them.
constexpr int64_t counted_points = 2048;
typedef std::uint8_t ManyBytes __attribute__((vector_size(lanes * 4)));
constexpr int many = lanes * 4;

RAD_FAST_INLINE int64_t sum_of(ManyBytes x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_epi64(_mm512_sad_epu8((__m512i)x, _mm512_setzero_si512()));
#elif defined(__AVX2__)
  const Long sums = (Long)_mm256_sad_epu8((__m256i)x, _mm256_setzero_si256());
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
#elif defined(__SSE4_1__)
  const Long sums = (Long)_mm_sad_epu8((__m128i)x, _mm_setzero_si128());
  return sums[0] + sums[1];
#else
  int64_t sum = 0;
  for (int k = 0; k < many; ++k) sum += x[k];
  return sum;
#endif
}

// One is added where a byte has the value.
RAD_FAST_INLINE ManyBytes one_more(ManyBytes counts, ManyBytes bytes, std::uint8_t value) {
#if defined(__AVX512BW__)
  const __mmask64 alike = _mm512_cmpeq_epi8_mask((__m512i)bytes, _mm512_set1_epi8(static_cast<char>(value)));
  return (ManyBytes)_mm512_mask_sub_epi8((__m512i)counts, alike, (__m512i)counts, _mm512_set1_epi8(-1));
#else
  return counts - (ManyBytes)(bytes == value);
#endif
}

// Adds how many of up to counted_points bytes have each value up to 2 classes + 1, in whole vectors.
RAD_FAST_INLINE void count_bytes(const std::uint8_t* bytes, int64_t count, int32_t classes, int64_t* counts) {
  for (int value = 0; value < 2 * classes + 2; value += 2) {
    ManyBytes found[2] = {};
    for (int64_t i = 0; i < count; i += many) {
      const ManyBytes x = load<ManyBytes>(bytes + i);
      for (int k = 0; k < 2; ++k) found[k] = one_more(found[k], x, static_cast<std::uint8_t>(value + k));
    }
    for (int k = 0; k < 2; ++k) counts[value + k] += sum_of(found[k]);
  }
}

// Of few classes each is looked for in all labels. Of more there are two tables by turns: a number that was just written is read again
// some cycles later only.
template <bool few>
bool count_some(const float* gain, const float* correctness, const int32_t* label, int64_t count, int32_t classes, int64_t* even,
                int64_t* odd) {
  alignas(64) int32_t at[few ? 1 : counted_points + lanes];
  alignas(64) std::uint8_t bytes[few ? counted_points + many : 1];
  Int stray{};
  const auto place = [&](Float g, Float c, Int y) RAD_FAST_FORCED {
    const Int plays = g == g, known = (y >= 0) & (y < classes), positive = (g > 0.0f) & (c > 0.5f);
    stray |= plays & ~known;
    return plays & known & (2 * (y + 1) - positive);  // true is -1
  };
  for (int64_t first = 0; first < count; first += counted_points) {
    const int64_t here = count - first < counted_points ? count - first : counted_points;
    for_lanes(gain + first, correctness + first, label + first, nullptr, here,
              [&](Float g, Float c, Int y, Bytes, int64_t i) RAD_FAST_FORCED {
                if constexpr (few) store(bytes + i, bytes_of(place(g, c, y)));
                else store(at + i, place(g, c, y));
              });
    if constexpr (few) {
      __builtin_memset(bytes + here, 255, many);
      count_bytes(bytes, here, classes, even);
    } else {
      int64_t i = 0;
      for (; i + 1 < here; i += 2) {
        ++even[at[i]];
        ++odd[at[i + 1]];
      }
      if (i < here) ++even[at[i]];
    }
  }
  return !any(stray);
}

bool count_labels(const float* gain, const float* correctness, const int32_t* label, int64_t count, int32_t classes, int64_t* even,
                  int64_t* odd) {
  return classes <= few_classes ? count_some<true>(gain, correctness, label, count, classes, even, odd)
                                : count_some<false>(gain, correctness, label, count, classes, even, odd);
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

// What points that pass add to the sums of their classes, and which of them are undecided.
template <bool few, bool narrow>
RAD_FAST_INLINE int64_t add_up(const Passed& passed, int64_t count, int32_t others, const ClassBoxes& boxes, const PricedSums& added,
                               Sums* sums, const Passing& passing, const Undecided& undecided) {
  alignas(64) int32_t advantages[sifted_points + lanes], pairs[sifted_points + lanes];
  alignas(64) int64_t both[lanes], high[half_lanes];
  const int shift = place_bits + other_bits(others);
  int64_t open_points = 0;
  for (int64_t i = 0; i < count; i += lanes) {
    const Int used = counting() < static_cast<int32_t>(count - i);
    const Float g = load<Float>(passed.gain + i), c = load<Float>(passed.correctness + i), a = c * 2.0f - 1.0f;
    const Int where = load<Int>(passing.where + i) & used, at = where >> shift;
    const Int inside = (a * g > of_class<few>(boxes.high, at)) & used;
    const Int reacting = inside & (g > of_class<few>(boxes.price_high, at)), whole = inside & (g <= of_class<few>(boxes.price_low, at));
    const Int open = used & ~(reacting | whole);
    store(passing.what + i, (__builtin_convertvector(g * 0x1p24f, Int) & reacting) | (open & undecided_point));
    store(advantages + i, __builtin_convertvector(a * 0x1p24f, Int) & reacting);
    store(pairs + i, at << 1);
    const unsigned left = set_lanes(open);
    pack(undecided.gain + open_points, g, left);
    pack(undecided.correctness + open_points, c, left);
    pack(reinterpret_cast<float*>(undecided.label + open_points), (Float)at, left);
    open_points += __builtin_popcount(left);
    for (unsigned rest = set_lanes(whole); rest; rest &= rest - 1) {
      const int k = __builtin_ctz(rest);
      const int64_t d = static_cast<int64_t>(a[k] * 0x1p24f) * static_cast<int64_t>(g[k] * 0x1p24f);
      Sums& sum = sums[at[k]];
      ++sum.saturated;
      sum.value_high += d >> 24;
      sum.value_low += d & 0xffffff;
    }
  }
  for (int64_t i = 0; i < count; i += half_lanes) {
    const NarrowInt what = load<NarrowInt>(passing.what + i);
    const Long priced = longs((what << 1) > 0);
    const Double width = round_down(doubles(0x1p62) / widen(what) + doubles(0.5));  // see width_units
    const Double above = narrow ? Double{} : round_down(width * 0x1p-31);
    store_pairs(both, longs(load<NarrowInt>(advantages + i)), integer(width - above * 0x1p31) & priced);
    if (!narrow) store(high, integer(above) & priced);
    for (int k = 0; k < half_lanes; ++k) {
      const int64_t at = pairs[i + k];
      store(added.pairs + at, load<Pair>(added.pairs + at) + load<Pair>(both + 2 * k));
      if (!narrow) added.high[at / 2] += high[k];
    }
  }
  return open_points;
}

// Whether a point that plays has an other class that is none.
bool strange_other(const LabelledPoints& points, int32_t others) {
  for (int64_t i = 0; i < points.count; ++i)
    if (points.gain[i] == points.gain[i] && points.other[i] >= others) return true;
  return false;
}

// `counts`: as of count_labels, of few classes; or null.
template <bool few, bool narrow, bool counted>
Counts reduce_some(const LabelledPoints& points, int32_t others, const ClassBoxes& boxes, const PricedSums& added, Sums* sums,
                   const Passing& passing, const Undecided& undecided, int64_t* counts) {
  Passed passed;
  alignas(64) std::uint8_t bytes[counted ? counted_points + many : 1];
  const int bits = other_bits(others);
  const auto classes = static_cast<std::uint32_t>(boxes.classes);
  Bits most{};  // of the labels, and of the other classes
  Bytes most_other{};
  Counts all{0, 0};
  for (int64_t first = 0; first < points.count; first += sifted_points) {
    const int64_t here = points.count - first < sifted_points ? points.count - first : sifted_points;
    int32_t* const where = passing.where + all.passing;
    std::uint8_t* const codes = bytes + (counted ? first % counted_points : 0);
    int64_t found = 0;
    for_lanes(points.gain + first, points.correctness + first, points.label + first, points.other ? points.other + first : nullptr, here,
              [&](Float g, Float c, Int y, Bytes second, int64_t i) RAD_FAST_FORCED {
                const Int plays = g == g;
                const Bits at = (Bits)(y & plays);
                most = at > most ? at : most;
                most_other = second > most_other ? second : most_other;
                const Float d = (c * 2.0f - 1.0f) * g;
                const unsigned chosen = reaching(d, of_class<few>(boxes.low, few ? y : (Int)(at < classes ? at : Bits{})));
                if constexpr (counted) store(codes + i, bytes_of(plays & (2 * (y + 1) - (d > 0.0f))));
                pack(passed.gain + found, g, chosen);
                pack(passed.correctness + found, c, chosen);
                const Int key = (y << bits) | ints_of(second);
                pack(reinterpret_cast<float*>(where + found), (Float)((counting() + static_cast<int32_t>(first + i)) | (key << place_bits)),
                     chosen);
                found += __builtin_popcount(chosen);
              });
    if constexpr (counted) {
      const int64_t begun = first % counted_points;
      if (begun + sifted_points == counted_points || first + here == points.count) {
        __builtin_memset(bytes + begun + here, 255, many);
        count_bytes(bytes, begun + here, boxes.classes, counts);
      }
    }
    if (any((Int)(most >= classes)) || (any(ints_of(most_other) >= others) && strange_other(points, others))) return {-1, 0};
    all.undecided += add_up<few, narrow>(passed, found, others, boxes, added, sums, {passing.what + all.passing, where},
                                         {undecided.gain + all.undecided, undecided.correctness + all.undecided,
                                          undecided.label + all.undecided});
    all.passing += found;
  }
  return all;
}

Counts reduce(const LabelledPoints& points, int32_t others, const ClassBoxes& boxes, const PricedSums& added, Sums* sums,
              const Passing& passing, const Undecided& undecided, int64_t* counts) {
  const int32_t classes = boxes.classes;
  if (classes > few_classes) {
    if (counts && !count_some<false>(points.gain, points.correctness, points.label, points.count, classes, counts,
                                     counts + 2 * (classes + 1)))
      return {-1, 0};
    return (boxes.narrow ? reduce_some<false, true, false> : reduce_some<false, false, false>)(points, others, boxes, added, sums, passing,
                                                                                              undecided, nullptr);
  }
  const auto run = counts ? (boxes.narrow ? reduce_some<true, true, true> : reduce_some<true, false, true>)
                          : (boxes.narrow ? reduce_some<true, true, false> : reduce_some<true, false, false>);
  return run(points, others, boxes, added, sums, passing, undecided, counts);
}

RAD_FAST_INLINE Double smaller(Double a, Double b) {  // b where a is NaN
#if defined(__AVX512F__)
  return (Double)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__)
  return (Double)_mm256_min_pd((__m256d)a, (__m256d)b);
#else
  return choose(greater(b, a), a, b);
#endif
}

// What chance.hpp says of points of whom the first piece is taken and the second is not.
template <bool few>
int64_t settle_some(const Passing& passing, int64_t count, const Prices& prices, const std::uint64_t* undecided, int32_t* key,
                    std::uint64_t* unit) {
  const int bits = prices.other_bits;
  const double* const table = prices.of_class;
  const auto step = [&](NarrowInt what, NarrowInt where, int64_t i) RAD_FAST_FORCED {
    const NarrowInt at = where >> place_bits;
    const Double price = of_class<few>(table, at >> bits);
    const Double width = round_down(doubles(0x1p62) / widen(what & (undecided_point - 1)) + doubles(0.5));  // see width_units
    const Double priced = price * (width * 0x1p-38);  // saturated: infinite, or NaN
    store(key + i, at);
    store(unit + i, truncated_units(smaller(priced, doubles(1.0))));
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
  return prices.classes <= few_classes ? settle_some<true>(passing, count, prices, undecided, key, unit)
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
        pass<few>(gain + first, correctness + first, label + first, here, all.least, all.classes, passed, first, place + found);
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
