// The functions of which the correctness models (score.hpp) are made, for translation units compiled per SIMD level.
#pragma once

#include "exponential.hpp"
#include "score.hpp"
#include "simd.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

// log(p / (1 - p)): one logarithm, and exact near 1/2, where a difference of two would not be.
RAD_FAST_INLINE Float logit(Float p) {
  const Float low = broadcast(constants::logit_clip), high = broadcast(1.0f - constants::logit_clip);
  const Float x = minimum(high, maximum(low, p));
  return logarithm(x / (1.0f - x));
}

RAD_FAST_INLINE Float sigmoid(Float u) {  // exp of a number <= 0 alone, so that nothing overflows
  const Float e = exponential(u < 0.0f ? u : -u);
  return (u < 0.0f ? e : broadcast(1.0f)) / (1.0f + e);
}

// values[number of thresholds <= margin], by halving without a branch on the data.
RAD_FAST_INLINE float look_up(const Correctness& c, float margin) {
  const float* base = c.thresholds;
  int64_t left = c.steps;
  while (left > 0) {
    const int64_t half = (left + 1) / 2;
    base += base[half - 1] <= margin ? half : 0;
    left -= half;
  }
  return c.values[base - c.thresholds];
}

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
