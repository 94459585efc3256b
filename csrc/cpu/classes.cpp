// Probabilities where each class has a game of its own: kernels/reference/sample.py, units, bit for bit.
//
// Bytes per point: 12 read. Most points are not taken at all: for half_lanes of them at a time one comparison with their
// classes' thresholds says so, and the division by the gain is done for the others alone.

#include "classes.hpp"

#include "chance.hpp"
#include "dispatch.hpp"

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
               [&](const Terms& t, NarrowInt at, int64_t i, int used) __attribute__((always_inline)) {
                 const Answers answers{gather(all.price, at), gather(all.threshold, at), gather(all.share, at)};
                 const Double q = probability(t, answers);
                 if (used == half_lanes) store(out + i, q);
                 else __builtin_memcpy(out + i, &q, static_cast<unsigned>(used) * sizeof(double));
               });
}

int64_t units(const float* gain, const float* correctness, const int32_t* label, int64_t count, const Equilibria& all,
              int32_t* place, std::uint64_t* unit) {
  int64_t found = 0;
  for_labelled(gain, correctness, label, count,
               [&](const Terms& t, NarrowInt at, int64_t i, int) __attribute__((always_inline)) {
                 const Double threshold = gather(all.threshold, at);
                 // A second piece pays no more than the first.
                 if (!bits(either(greater(t.effective, threshold), equal(t.effective, threshold)))) return;
                 const Answers answers{gather(all.price, at), threshold, gather(all.share, at)};
                 const Halves both_halves = halves(probability(t, answers));
                 const Long steps = (integer(both_halves.high) << 31) + integer(both_halves.low);
                 for (int k = 0; k < half_lanes; ++k) {
                   place[found] = static_cast<int32_t>(i) + k;
                   unit[found] = static_cast<std::uint64_t>(steps[k]);
                   found += steps[k] != 0;
                 }
               });
  return found;
}

}  // namespace

const ClassKernels class_kernels = {probabilities, units};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
