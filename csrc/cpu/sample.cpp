// Inclusion probabilities and systematic sampling: kernels/reference/game.py, probabilities, and sample.py, bit for bit.
//
// Bytes per point: 8 read for a mass or for the indices, and 8 written for each index. The operations of a probability
// and their order are the reference's; nothing is contracted (-ffp-contract=off). The running sum is an integer, so that it
// does not matter where the blocks are cut.

#include "sample.hpp"

#include "chance.hpp"
#include "dispatch.hpp"
#include "sift.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {
namespace {

RAD_FAST_INLINE Answers everywhere(const Equilibrium& at) {
  return {doubles(at.price), doubles(at.threshold), doubles(at.share)};
}

void probabilities(const float* gain, const float* correctness, int64_t count, const Equilibrium& at, double* out) {
  for_points(gain, correctness, count, [&](const float* g, const float* c, int64_t i, int used) RAD_FAST_FORCED {
    const Double q = probability(terms(g, c), everywhere(at));
    if (used == half_lanes) store(out + i, q);
    else __builtin_memcpy(out + i, &q, static_cast<unsigned>(used) * sizeof(double));
  });
}

// A piece that pays less than the threshold is not taken, and a second piece pays no more than the first.
Mass mass(const float* gain, const float* correctness, int64_t count, const Equilibrium& at) {
  Sifted sifted;
  Double high{}, low{};  // 2^14 numbers of 31 bits: exact
  for (int64_t first = 0; first < count; first += sifted_points) {
    const int64_t left = sift(gain, correctness, first, count, at.threshold, sifted);
    for_points(sifted.gain, sifted.correctness, left,
               [&](const float* g, const float* c, int64_t, int) RAD_FAST_FORCED {
                 const Halves unit = halves(probability(terms(g, c), everywhere(at)));
                 high += unit.high;
                 low += unit.low;
               });
  }
  return {static_cast<int64_t>(sum(high)), static_cast<int64_t>(sum(low))};
}

int64_t units(const float* gain, const float* correctness, int64_t count, const Equilibrium& at, std::uint64_t* units,
              int32_t* place, Mass& mass) {
  Sifted sifted;
  Double high{}, low{};
  int64_t found = 0;
  for (int64_t first = 0; first < count; first += sifted_points) {
    const int64_t left = sift(gain, correctness, first, count, at.threshold, sifted);
    for_points(sifted.gain, sifted.correctness, left,
               [&](const float* g, const float* c, int64_t i, int) RAD_FAST_FORCED {
                 const Halves unit = halves(probability(terms(g, c), everywhere(at)));
                 high += unit.high;
                 low += unit.low;
                 store(units + found + i, (integer(unit.high) << 31) + integer(unit.low));
               });
    __builtin_memcpy(place + found, sifted.place, static_cast<std::uint64_t>(left) * sizeof(int32_t));
    found += left;
  }
  store(units + found, Long{});  // scan looks at whole vectors
  mass = {static_cast<int64_t>(sum(high)), static_cast<int64_t>(sum(low))};
  return found;
}

// Adds the steps of half_lanes points to the running sum; writes the points, `first` + place, where it passes a whole number
// and returns how many those are. May write half_lanes numbers: without branches, as who is taken cannot be foreseen.
// A step is at most 1: where a whole number is passed it is one, and bit 62, which counts them, flips.
#if defined(__AVX512F__)
typedef Long Running;  // in every lane: through a general register the way from one vector to the next would be twice as long
RAD_FAST_INLINE Running running_from(std::uint64_t start) { return (Long)_mm512_set1_epi64(static_cast<int64_t>(start)); }
RAD_FAST_INLINE int64_t scan_lanes(const std::uint64_t* steps, Running& running, int64_t first, const int32_t* place, int64_t* to) {
  const __m512i none = _mm512_setzero_si512(), step = (__m512i)load<Long>(steps);
  __m512i after = _mm512_add_epi64(step, _mm512_alignr_epi64(step, none, 7));
  after = _mm512_add_epi64(after, _mm512_alignr_epi64(after, none, 6));
  after = _mm512_add_epi64(after, _mm512_alignr_epi64(after, none, 4));
  after = _mm512_add_epi64(after, (__m512i)running);
  running = (Long)_mm512_permutexvar_epi64(_mm512_set1_epi64(half_lanes - 1), after);
  const __m512i flips = _mm512_xor_si512(after, _mm512_sub_epi64(after, step));
  const __mmask8 passed = _mm512_test_epi64_mask(flips, _mm512_set1_epi64(int64_t{1} << probability_bits));
  const __m512i index = _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_cvtepi32_epi64((__m256i)load<NarrowInt>(place)));
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi64(passed, index));
  return __builtin_popcount(passed);
}
#else
typedef std::uint64_t Running;
RAD_FAST_INLINE Running running_from(std::uint64_t start) { return start; }
RAD_FAST_INLINE int64_t scan_lanes(const std::uint64_t* steps, Running& running, int64_t first, const int32_t* place, int64_t* to) {
  // Of those that may be taken few are, mostly: then no whole number is passed. Looked at by twos, as four steps of 1 come to 2^64.
  std::uint64_t sum = running, flips = 0;
  for (int k = 0; k < half_lanes; k += 2) {
    const std::uint64_t after = running + (steps[k] + steps[k + 1]);
    flips |= after ^ running;
    running = after;
  }
  if (flips >> probability_bits == 0) return 0;
  int64_t found = 0;
  for (int k = 0; k < half_lanes; ++k) {
    const std::uint64_t after = sum + steps[k];
    to[found] = first + place[k];
    found += (after ^ sum) >> probability_bits & 1;
    sum = after;
  }
  return found;
}
#endif

int64_t scan(const std::uint64_t* units, const int32_t* place, int64_t count, std::uint64_t start, int64_t first, int64_t* out,
             int64_t room) {
  constexpr int64_t piece = 512;
  int64_t* const begin_of_all = out;
  int64_t indices[piece + half_lanes];  // what scan_lanes overshoots must not fall into the next block's part of `out`
  Running running = running_from(start);
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t end = count - begin < piece ? count : begin + piece;
    int64_t found = 0;
    for (int64_t i = begin; i < end; i += half_lanes)
      found += scan_lanes(units + i, running, first, place + i, indices + found);
    if (found > room) found = room;
    __builtin_memcpy(out, indices, static_cast<std::uint64_t>(found) * sizeof(int64_t));
    out += found;
    room -= found;
  }
  return out - begin_of_all;
}

typedef std::uint64_t Units __attribute__((vector_size(half_lanes * 8)));  // sums that may wrap

// What chance.hpp says of points of whom the first piece is taken and the second is not. Which points are undecided cannot be
// foreseen: they are looked for 64 at a time.
int64_t settle(const int32_t* what, int64_t count, double price, const std::uint64_t* undecided, std::uint64_t* units,
               std::uint64_t& total) {
  const Double one = doubles(1.0), at = doubles(price);
  Units sums{};
  int64_t met = 0;
  std::uint64_t added = 0;
  for (int64_t first = 0; first < count; first += 64) {
    const int64_t end = count - first < 64 ? count : first + 64;
    std::uint64_t open = 0;
    for (int64_t i = first; i < end; i += half_lanes) {
      const NarrowInt w = load<NarrowInt>(what + i);
      Long here = longs((w << 1) >= 0);
      if (end - i < half_lanes)
        for (int k = static_cast<int>(end - i); k < half_lanes; ++k) here[k] = 0;
      const Double width = round_down(doubles(0x1p62) / widen(w) + doubles(0.5));  // infinite: saturated
      const Double priced = at * (width * 0x1p-38);
      const Long unit = truncated_units(choose(greater(one, priced), priced, one));
      store(units + i, unit & here);
      sums += (Units)(unit & here);
      open |= std::uint64_t{undecided_lanes(w)} << (i - first);
    }
    if (end - first < 64) open &= (std::uint64_t{1} << (end - first)) - 1;
    for (; open; open &= open - 1) added += units[first + __builtin_ctzll(open)] = undecided[met++];
  }
  for (int k = 0; k < half_lanes; ++k) added += sums[k];
  total = added;
  return met;
}

}  // namespace

const SampleKernels sample_kernels = {probabilities, mass, units, scan, settle};

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
