// What each class's equilibrium says of its points, for the samples along the keys.
#pragma once

#include <cuda_runtime.h>

#include "collective.cuh"
#include "kernels.hpp"
#include "points.cuh"

namespace rad_fast {
namespace cuda {

struct ClassRates {
  Rates rates;
  float screen;
};

// All blocks together; `answers` as solve_by_class writes them. No point of a class without a game pays more than the threshold.
__device__ __forceinline__ void rate(const double* answers, const Played& played, std::int64_t classes, ClassRates* out) {
  const std::int64_t step = std::int64_t{blockDim.x} * gridDim.x;
  for (std::int64_t k = std::int64_t{blockDim.x} * blockIdx.x + threadIdx.x; k < classes; k += step) {
    const std::int64_t game = played.place == nullptr ? k : played.place[k];
    Equilibrium answer{0.0, 2.0, 0.0, 0.0};
    if (game >= 0) answer = {answers[game], answers[played.games + game], answers[2 * played.games + game], 0.0};
    const Rates rates = rates_of(answer);
    out[k] = {rates, screen_of(rates.threshold)};
  }
}

}  // namespace cuda
}  // namespace rad_fast
