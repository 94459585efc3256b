// Devices and their memory, for arrays of no library. Everything is queued on the given stream; copy_out alone waits.

#include <cstring>
#include <mutex>
#include <vector>

#include "kernels.hpp"
#include "launch.cuh"

namespace rad_fast {
namespace cuda {

int device_count() {
  int count = 0;
  RAD_FAST_CHECK(cudaGetDeviceCount(&count));
  return count;
}

DeviceInfo device_info(int device) {
  cudaDeviceProp properties{};
  RAD_FAST_CHECK(cudaGetDeviceProperties(&properties, device));
  DeviceInfo info{};
  static_assert(sizeof info.name == sizeof properties.name, "as the runtime's");
  std::memcpy(info.name, properties.name, sizeof info.name);
  info.major = properties.major;
  info.minor = properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.memory = properties.totalGlobalMem;
  return info;
}

int device_of(const void* memory) {
  cudaPointerAttributes attributes{};
  RAD_FAST_CHECK(cudaPointerGetAttributes(&attributes, memory));
  return attributes.device;
}

void follow(const Where& where, void* before) {
  const DeviceGuard guard(where.device);
  cudaEvent_t event{};
  RAD_FAST_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  const cudaError_t recorded = cudaEventRecord(event, static_cast<cudaStream_t>(before));
  const cudaError_t waited = cudaStreamWaitEvent(static_cast<cudaStream_t>(where.stream), event, 0);
  (void)cudaEventDestroy(event);  // released once the streams are past it
  check(recorded, "cudaEventRecord");
  check(waited, "cudaStreamWaitEvent");
}

// From a pool of our own, that keeps what it is given back: the device's default pool gives it to the driver at every wait for
// the device, and would map and unmap 18 bytes a point for each selection.
cudaMemPool_t pool_of(int device) {
  constexpr int most_devices = 64;
  static std::mutex lock;
  static cudaMemPool_t pools[most_devices] = {};
  if (device >= most_devices) throw std::invalid_argument("device: expected 0 to 63, got " + std::to_string(device));
  const std::lock_guard<std::mutex> guard(lock);
  if (pools[device] == nullptr) {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    cudaMemPool_t pool{};
    RAD_FAST_CHECK(cudaMemPoolCreate(&pool, &properties));
    std::uint64_t kept = UINT64_MAX;
    RAD_FAST_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept));
    pools[device] = pool;
  }
  return pools[device];
}

void* allocate(const Where& where, std::size_t bytes) {
  const DeviceGuard guard(where.device);
  void* memory = nullptr;
  const auto stream = static_cast<cudaStream_t>(where.stream);
  RAD_FAST_CHECK(cudaMallocFromPoolAsync(&memory, bytes, pool_of(where.device), stream));
  return memory;
}

void release(const Where& where, void* memory) {
  const DeviceGuard guard(where.device);
  RAD_FAST_CHECK(cudaFreeAsync(memory, static_cast<cudaStream_t>(where.stream)));
}

// From pageable memory the runtime copies to its own before it returns: the caller may drop `from` at once.
void copy_in(const Where& where, void* to, const void* from, std::size_t bytes) {
  const DeviceGuard guard(where.device);
  RAD_FAST_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(where.stream)));
}

// Pinned memory for what a selection says of itself: into pageable memory the driver copies a second time, and waits itself.
// A thread takes a piece and puts it back; they are kept, as many as threads were ever in copy_out together.
class Pinned {
 public:
  static constexpr std::size_t bytes = 4096;
  Pinned() {
    {
      const std::lock_guard<std::mutex> guard(lock());
      if (!kept().empty()) {
        memory = kept().back();
        kept().pop_back();
        return;
      }
    }
    RAD_FAST_CHECK(cudaHostAlloc(&memory, bytes, cudaHostAllocPortable));
  }
  ~Pinned() {
    const std::lock_guard<std::mutex> guard(lock());
    kept().push_back(memory);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  void* memory = nullptr;

 private:
  static std::mutex& lock() {
    static std::mutex one;
    return one;
  }
  static std::vector<void*>& kept() {
    static std::vector<void*> all;
    return all;
  }
};

void copy_out(const Where& where, void* to, const void* from, std::size_t bytes) {
  const DeviceGuard guard(where.device);
  const auto stream = static_cast<cudaStream_t>(where.stream);
  if (bytes > Pinned::bytes) {
    RAD_FAST_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream));
    RAD_FAST_CHECK(cudaStreamSynchronize(stream));
    return;
  }
  const Pinned between;
  RAD_FAST_CHECK(cudaMemcpyAsync(between.memory, from, bytes, cudaMemcpyDeviceToHost, stream));
  RAD_FAST_CHECK(cudaStreamSynchronize(stream));
  std::memcpy(to, between.memory, bytes);
}

}  // namespace cuda
}  // namespace rad_fast
