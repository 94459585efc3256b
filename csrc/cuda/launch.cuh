// Calls into the CUDA runtime: every one checked, its error raised with the call's name and the error's text.
//
// cudart is linked statically, so that the module loads where there is no driver; the first call then says so here.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace rad_fast {
namespace cuda {

// Shared memory whose size the launch says, from a multiple of 16 bytes on.
#if defined(__CUDACC__)
#define RAD_FAST_DYNAMIC_SHARED(name)       \
  extern __shared__ uint4 rad_fast_dynamic[]; \
  char* name = reinterpret_cast<char*>(rad_fast_dynamic)
#else
#define RAD_FAST_DYNAMIC_SHARED(name) char* name = emulator::dynamic_shared()
#endif

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // a launch's error would be reported again by the next call of anyone
  const bool none = status == cudaErrorInsufficientDriver || status == cudaErrorNoDevice;
  throw std::runtime_error(std::string(none ? "no CUDA device: " : "") + call + ": " + cudaGetErrorString(status) + " (" +
                           cudaGetErrorName(status) + ")");
}
#define RAD_FAST_CHECK(call) ::rad_fast::cuda::check(call, #call)

// Makes a device current and puts the caller's back.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    RAD_FAST_CHECK(cudaGetDevice(&before_));
    if (device != before_) {
      RAD_FAST_CHECK(cudaSetDevice(device));
      changed_ = true;
    }
  }
  ~DeviceGuard() {
    if (changed_) (void)cudaSetDevice(before_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

inline int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  RAD_FAST_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

inline int multiprocessors(int device) { return attribute(cudaDevAttrMultiProcessorCount, device); }

// A kernel that is launched `early`, where the device does that, begins when all blocks of the one before it have called
// others_may_begin(). That one is at an end, and what it wrote is there, after others_at_end(), which every block has to call.
inline bool runs_early(int device) { return attribute(cudaDevAttrComputeCapabilityMajor, device) >= 9; }

__device__ __forceinline__ void others_may_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ __forceinline__ void others_at_end() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

struct Shape {
  std::int64_t blocks;
  int threads;
  int cluster = 1;
  std::size_t shared = 0;  // bytes of memory that the kernel is given beyond what it declares
  bool early = false;
};

// kernel<<<...>>> through the runtime's function, so that the launch itself returns an error to check.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const Shape& shape, cudaStream_t stream,
            Arguments&&... arguments) {
  if (shape.blocks > 0x7fffffff) throw std::invalid_argument(std::string(name) + ": more points than one launch can take");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = shape.shared;
  config.stream = stream;
  cudaLaunchAttribute attributes[2]{};
  config.attrs = attributes;
  config.numAttrs = 0;
  if (shape.cluster > 1) {
    cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = static_cast<unsigned>(shape.cluster);
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  }
#if defined(__CUDACC__)
  if (shape.early) {
    cudaLaunchAttribute& early = attributes[config.numAttrs++];
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
  }
#endif
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
}

}  // namespace cuda
}  // namespace rad_fast
