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

struct Shape {
  std::int64_t blocks;
  int threads;
  int cluster = 1;
};

// kernel<<<...>>> through the runtime's function, so that the launch itself returns an error to check.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const Shape& shape, cudaStream_t stream,
            Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.stream = stream;
  cudaLaunchAttribute cluster{};
  if (shape.cluster > 1) {
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = static_cast<unsigned>(shape.cluster);
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    config.attrs = &cluster;
    config.numAttrs = 1;
  }
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
}

}  // namespace cuda
}  // namespace rad_fast
