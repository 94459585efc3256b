// A CUDA runtime on the CPU, just large enough to run the kernels of csrc/cuda in the tests of a machine without a GPU.
//
// Each thread of a block is a fiber with a stack of its own; barriers and warp shuffles are where fibers wait for one another.
// Between these the order of the fibers is shuffled, differently in every block (RAD_FAST_EMULATOR_SEED), so that a missing
// barrier shows as a result that moves. Blocks run one after another, in shuffled order, those of a cluster together: these must
// keep what they share in dynamic shared memory, of which each has its own. The device that this runtime reports has clusters
// where a test says so (emulated_capability). "Device memory" is host memory.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) uint2 {
  unsigned int x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

// How many kernels were launched, how often memory was filled, and the device's major compute capability: the tests' by these names.
extern "C" {
inline long emulated_launches = 0, emulated_fills = 0;
inline int emulated_capability = 8;
}

namespace emulator {

struct Warp {
  std::uint64_t value[2][32];
  int arrived = 0;
  unsigned generation = 0;
};

// A context starts a fiber; after that jumps switch, which, unlike swapcontext, ask nothing of the operating system.
struct Fiber {
  ucontext_t context;
  jmp_buf at;
  std::unique_ptr<char[]> stack;
  bool started, done;
};

struct Barrier {
  int running = 0, arrived = 0;
  unsigned generation = 0;
};

// A block, or all blocks of a cluster.
struct Block {
  ucontext_t origin;
  jmp_buf scheduler;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<Barrier> barriers;  // of each block
  Barrier whole;                  // of all of them
  unsigned threads = 0, first = 0;  // of a block; the first block's number
  std::size_t current = 0;
  std::uint64_t progress = 0;
  std::function<void()> body;
};

inline Block* block = nullptr;
inline std::mt19937 order{
    static_cast<unsigned>(std::getenv("RAD_FAST_EMULATOR_SEED") ? std::atoi(std::getenv("RAD_FAST_EMULATOR_SEED")) : 0)};

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulator: %s\n", what);
  std::abort();
}

inline void yield() {
  if (_setjmp(block->fibers[block->current].at) == 0) _longjmp(block->scheduler, 1);
}

inline void enter() {
  Block* mine = block;
  mine->body();
  mine->fibers[mine->current].done = true;
  --mine->whole.running;
  --mine->barriers[mine->current / mine->threads].running;
  ++mine->progress;
  _longjmp(mine->scheduler, 1);
}

inline void resume(Fiber& fiber) {
  if (_setjmp(block->scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.at, 1);
  fiber.started = true;
  swapcontext(&block->origin, &fiber.context);
}

inline void run_blocks(const std::function<void()>& body, unsigned first, unsigned blocks, unsigned block_threads) {
  const unsigned threads = blocks * block_threads;
  constexpr std::size_t stack_bytes = 96 << 10;
  static Block reused;  // its stacks are kept from block to block
  block = &reused;
  if (reused.fibers.size() < threads) reused.fibers.resize(threads);
  reused.warps.assign((threads + 31) / 32, Warp{});
  reused.whole = Barrier{static_cast<int>(threads), 0, 0};
  reused.barriers.assign(blocks, Barrier{static_cast<int>(block_threads), 0, 0});
  reused.threads = block_threads;
  reused.first = first;
  reused.body = body;
  std::vector<unsigned> turns(threads);
  for (unsigned t = 0; t < threads; ++t) {
    Fiber& fiber = reused.fibers[t];
    if (!fiber.stack) fiber.stack.reset(new char[stack_bytes]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = stack_bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    fiber.started = fiber.done = false;
    turns[t] = t;
  }
  for (unsigned i = threads; i > 1; --i) std::swap(turns[i - 1], turns[order() % i]);
  while (reused.whole.running > 0) {
    const std::uint64_t before = reused.progress;
    for (const unsigned t : turns) {
      if (reused.fibers[t].done) continue;
      reused.current = t;
      threadIdx = dim3(t % block_threads);
      blockIdx = dim3(first + t / block_threads);
      resume(reused.fibers[t]);
    }
    if (reused.progress == before) fail("threads wait for one another for ever");
  }
}

// What a launch asks for beyond what a kernel declares, filled anew for each block: what a kernel did not write shows.
inline auto* dynamic = new std::vector<std::vector<char>>;
inline char* dynamic_of(std::size_t part) {
  char* memory = (*dynamic)[part].data();
  return memory + (16 - reinterpret_cast<std::uintptr_t>(memory) % 16) % 16;
}
inline std::size_t own_part() { return block->current / block->threads; }
inline char* dynamic_shared() { return dynamic_of(own_part()); }

template <class T>
T* at_part(T* mine, int part) {
  if (static_cast<std::size_t>(part) >= block->barriers.size()) fail("shared memory of a block outside the cluster");
  return reinterpret_cast<T*>(dynamic_of(static_cast<std::size_t>(part)) + (reinterpret_cast<char*>(mine) - dynamic_shared()));
}

template <class Ready>
void wait(const Ready& ready) {
  while (!ready()) yield();
}

// Waits until all lanes of the warp have left a value; where these are.
template <class T>
const std::uint64_t* exchanged(T value) {
  static_assert(sizeof(T) <= 8, "as the hardware's");
  Block* mine = block;
  Warp& warp = mine->warps[mine->current / 32];
  const unsigned generation = warp.generation;
  std::uint64_t* left = warp.value[generation & 1];
  std::memcpy(&left[mine->current % 32], &value, sizeof value);
  if (++warp.arrived == 32) {
    warp.arrived = 0;
    ++warp.generation;
    ++mine->progress;
  } else {
    wait([&] { return warp.generation != generation; });
  }
  return left;
}

template <class T>
T exchange(T value, int from_lane) {
  T result;
  std::memcpy(&result, &exchanged(value)[from_lane], sizeof result);
  return result;
}

inline void arrive(Barrier& barrier) {
  const unsigned generation = barrier.generation;
  if (++barrier.arrived == barrier.running) {
    barrier.arrived = 0;
    ++barrier.generation;
    ++block->progress;
  } else {
    wait([&] { return barrier.generation != generation; });
  }
}

inline void cluster_sync() { arrive(block->whole); }

}  // namespace emulator

inline void __syncthreads() { emulator::arrive(emulator::block->barriers[emulator::own_part()]); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32) {
  if (mask != 0xffffffffu || lane_mask >= width) emulator::fail("a shuffle of part of a warp");
  return emulator::exchange(value, static_cast<int>(threadIdx.x % 32) ^ lane_mask);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
  if (mask != 0xffffffffu) emulator::fail("a shuffle of part of a warp");
  const int lane = static_cast<int>(threadIdx.x % 32), from = lane - static_cast<int>(distance);
  return emulator::exchange(value, from < 0 ? lane : from);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane) {
  if (mask != 0xffffffffu) emulator::fail("a shuffle of part of a warp");
  return emulator::exchange(value, lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  if (mask != 0xffffffffu) emulator::fail("a vote of part of a warp");
  const std::uint64_t* all = emulator::exchanged(static_cast<std::uint64_t>(predicate != 0));
  unsigned votes = 0;
  for (int lane = 0; lane < 32; ++lane) votes |= static_cast<unsigned>(all[lane]) << lane;
  return votes;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value) {
  if (mask != 0xffffffffu) emulator::fail("a match of part of a warp");
  const std::uint64_t* all = emulator::exchanged(value);
  unsigned peers = 0;
  for (int lane = 0; lane < 32; ++lane) peers |= static_cast<unsigned>(std::memcmp(&all[lane], &value, sizeof value) == 0) << lane;
  return peers;
}
template <class T>
T __reduce_add_sync(unsigned mask, T value) {
  if (mask != 0xffffffffu) emulator::fail("a sum over part of a warp");
  static_assert(sizeof(T) == 4, "as the hardware's");
  const std::uint64_t* all = emulator::exchanged(value);
  unsigned sum = 0;
  for (int lane = 0; lane < 32; ++lane) sum += static_cast<unsigned>(all[lane]);
  return static_cast<T>(sum);
}
inline void __syncwarp() { emulator::exchanged(0); }
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<std::uint64_t>(high) << 32 | low) >> (shift & 31));
}

template <class T>
T __ldg(const T* from) {
  if (reinterpret_cast<std::uintptr_t>(from) % alignof(T) != 0) emulator::fail("a misaligned load");
  return *from;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned atomicAdd(unsigned* to, unsigned x) {
  const unsigned before = *to;
  *to += x;
  return before;
}
inline unsigned long long atomicAdd(unsigned long long* to, unsigned long long x) {
  const unsigned long long before = *to;
  *to += x;
  return before;
}
inline unsigned long long atomicMax(unsigned long long* to, unsigned long long x) {
  const unsigned long long before = *to;
  if (x > before) *to = x;
  return before;
}

// ------------------------------------------------------------------------------------------------------------ the runtime

enum cudaError_t { cudaSuccess = 0, cudaErrorInsufficientDriver = 35, cudaErrorNoDevice = 100 };
typedef struct emulated_stream* cudaStream_t;
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount, cudaDevAttrComputeCapabilityMajor };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension };

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    dim3 clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  std::size_t totalGlobalMem;
};

inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
inline const char* cudaGetErrorName(cudaError_t) { return "emulated"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorNoDevice; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  *value = which == cudaDevAttrMultiProcessorCount ? 2 : emulated_capability;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulator", 8, 0, 2, std::size_t{1} << 30};
  return cudaSuccess;
}
typedef struct emulated_pool* cudaMemPool_t;
enum { cudaMemAllocationTypePinned, cudaMemLocationTypeDevice, cudaMemPoolAttrReleaseThreshold };
struct cudaMemPoolProps {
  int allocType;
  struct {
    int type, id;
  } location;
};
inline cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps*) {
  *pool = reinterpret_cast<cudaMemPool_t>(pool);  // any address but null
  return cudaSuccess;
}
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, int, void*) { return cudaSuccess; }
inline cudaError_t cudaMallocFromPoolAsync(void** memory, std::size_t bytes, cudaMemPool_t, cudaStream_t) {
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(*memory, 0xa5, bytes);  // poison
  return cudaSuccess;
}
enum { cudaHostAllocPortable = 1 };
inline cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  *memory = std::malloc(bytes);
  return cudaSuccess;
}
inline cudaError_t cudaFreeAsync(void* memory, cudaStream_t) {
  std::free(memory);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  ++emulated_fills;
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

struct cudaPointerAttributes {
  int device;
};
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void*) {
  attributes->device = 0;
  return cudaSuccess;
}
typedef struct emulated_event* cudaEvent_t;
enum { cudaEventDisableTiming = 2 };
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned) { return cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  ++emulated_launches;
  if (config->blockDim.x % 32 != 0) emulator::fail("a block of part of a warp");
  const unsigned parts = config->numAttrs == 0 ? 1 : config->attrs->val.clusterDim.x;
  if (parts > 1 && emulated_capability < 9) emulator::fail("a cluster on a device that has none");
  if (config->gridDim.x % parts != 0) emulator::fail("a part of a cluster");
  gridDim = config->gridDim;
  blockDim = config->blockDim;
  std::vector<unsigned> turns(gridDim.x / parts);
  for (unsigned b = 0; b < turns.size(); ++b) turns[b] = b * parts;
  for (std::size_t i = turns.size(); i > 1; --i) std::swap(turns[i - 1], turns[emulator::order() % i]);
  for (const unsigned b : turns) {
    emulator::dynamic->assign(parts, std::vector<char>(config->dynamicSmemBytes + 16, static_cast<char>(0xa5)));
    emulator::run_blocks([&] { kernel(arguments...); }, b, parts, config->blockDim.x);
  }
  return cudaSuccess;
}
