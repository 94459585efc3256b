// What lets one source serve nvcc's two passes and a plain C++ compiler: the arithmetic of kernels is written in functions
// marked RAD_FAST_BOTH, and tests/cuda runs those very functions on the CPU against kernels/reference.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define RAD_FAST_BOTH __host__ __device__ __forceinline__
#else
#define RAD_FAST_BOTH inline
#endif

namespace rad_fast {
namespace cuda {

__extension__ typedef unsigned __int128 uint128;
__extension__ typedef __int128 int128;

template <class To, class From>
RAD_FAST_BOTH To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "only the type changes");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// IEEE operations, each rounded once. A compiler may fuse a * b + c into one rounding (nvcc does by default); where a result
// has to have the same bits as NumPy's, these are used. On the host the same is had from -ffp-contract=off.
#if defined(__CUDA_ARCH__)
RAD_FAST_BOTH double ieee_multiply(double a, double b) { return __dmul_rn(a, b); }
RAD_FAST_BOTH double ieee_add(double a, double b) { return __dadd_rn(a, b); }
RAD_FAST_BOTH double ieee_divide(double a, double b) { return __ddiv_rn(a, b); }
RAD_FAST_BOTH double ieee_reciprocal(double a) { return __drcp_rn(a); }
RAD_FAST_BOTH float ieee_add(float a, float b) { return __fadd_rn(a, b); }
RAD_FAST_BOTH float ieee_divide(float a, float b) { return __fdiv_rn(a, b); }
#else
RAD_FAST_BOTH double ieee_multiply(double a, double b) { return a * b; }
RAD_FAST_BOTH double ieee_add(double a, double b) { return a + b; }
RAD_FAST_BOTH double ieee_divide(double a, double b) { return a / b; }
RAD_FAST_BOTH double ieee_reciprocal(double a) { return 1.0 / a; }
RAD_FAST_BOTH float ieee_add(float a, float b) { return a + b; }
RAD_FAST_BOTH float ieee_divide(float a, float b) { return a / b; }
#endif

template <class T>
RAD_FAST_BOTH T lesser(T a, T b) {
  return b < a ? b : a;
}
template <class T>
RAD_FAST_BOTH T greater(T a, T b) {
  return a < b ? b : a;
}

}  // namespace cuda
}  // namespace rad_fast
