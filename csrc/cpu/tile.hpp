// What the ways of rows.hpp through a row share. For translation units compiled per SIMD level.
#pragma once

#include "simd.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

// What remains of `lanes` rows once their logits have been read. Few classes (score_few, score_two) leave out lost, first and first_lost,
// or some of them: rows.hpp knows these.
struct Tile {
  alignas(64) float sum[lanes];     // of exp(z), relative (exponential.hpp); NaN: invalid
  alignas(64) float lost[lanes];    // what rounding took from that sum
  alignas(64) float first[lanes];   // exp(top1), relative as the sum
  alignas(64) float first_lost[lanes];
  alignas(64) float second[lanes];  // top2 - top1; of two classes its exponential
  alignas(64) float given[lanes];   // z[given label] - top1
  alignas(64) int32_t label[lanes];
  alignas(64) int32_t other[lanes];  // the likeliest class besides the label; of short rows alone, and where it is asked for
};

RAD_FAST_INLINE void store_first(const Sum& first, Tile& tile) {
  store(tile.first, first.sum);
  store(tile.first_lost, first.lost);
}

constexpr int32_t no_label = 0x3fffffff;  // above every label of a batch, and with room for a position to be added
constexpr float infinity = __builtin_inff();

// The two largest of two disjoint sets, from each one's two largest.
template <class V>
RAD_FAST_INLINE void merge_top(V& top1, V& top2, V other1, V other2) {
  top2 = maximum(minimum(top1, other1), maximum(top2, other2));
  top1 = maximum(top1, other1);
}

template <class V>
RAD_FAST_INLINE void include(V& top1, V& top2, V x) {
  top2 = maximum(top2, minimum(top1, x));
  top1 = maximum(top1, x);
}

template <class T>
RAD_FAST_INLINE float given_difference(const T* row, int64_t classes, int32_t given, typename Compared<T>::Scalar top1) {
  if (given < 0 || given >= classes) return -infinity;
  return static_cast<float>(scalar(row[given]) - top1);
}

// Asks for `count` elements to be brought into L1. Addresses past the array are harmless: a prefetch does not fault.
template <class T>
RAD_FAST_INLINE void prefetch(const T* from, int64_t count) {
  const char* address = reinterpret_cast<const char*>(from);
  for (int64_t i = 0; i < count * int64_t{sizeof(T)}; i += 64) __builtin_prefetch(address + i);
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
