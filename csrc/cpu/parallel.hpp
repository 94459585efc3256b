// Threads for one call: started when it begins, joined before it returns. Nothing lives between calls, so a process may
// fork at any time; a start costs some 20 microseconds, which small inputs avoid by running inline. Baseline code alone:
// not for translation units compiled per SIMD level (see dispatch.hpp).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace rad_fast {

// Below this many bytes of input a call runs in the caller's thread: 512 KiB are read in about the time of a thread's start.
constexpr std::int64_t inline_bytes = 512 << 10;

// Threads worth starting for `blocks` pieces of work that read `bytes` in all.
inline int useful_threads(int threads, std::int64_t blocks, std::int64_t bytes) {
  if (bytes < inline_bytes) return 1;
  return static_cast<int>(std::max<std::int64_t>(1, std::min<std::int64_t>(threads, blocks)));
}

// Calls work(thread, block) for every block in 0..blocks-1, once each, in any order, from `threads` threads (the caller is
// thread 0). Blocks are handed out one at a time: cores that are slower, or busy elsewhere, take fewer. `work` must not throw.
template <class Work>
void for_each_block(int threads, std::int64_t blocks, const Work& work) {
  std::atomic<std::int64_t> next{0};
  const auto run = [&](int thread) {
    for (std::int64_t block; (block = next.fetch_add(1, std::memory_order_relaxed)) < blocks;) work(thread, block);
  };
  threads = static_cast<int>(std::min<std::int64_t>(threads, blocks));  // a thread without work costs its start
  std::vector<std::thread> helpers;
  helpers.reserve(static_cast<std::size_t>(std::max(0, threads - 1)));
  for (int thread = 1; thread < threads; ++thread) {
    try {
      helpers.emplace_back(run, thread);
    } catch (const std::system_error&) {
      break;  // no more threads to be had: those that run share the work
    }
  }
  run(0);
  for (std::thread& helper : helpers) helper.join();
}

// The first exception of a thread's work, thrown again where all have ended.
class Caught {
 public:
  template <class Work>
  void guard(const Work& work) {
    try {
      work();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

// Calls work(task) for every task, which read `bytes` in all, in any order; what one of them throws is thrown again.
template <class Work>
void for_each_task(int threads, std::int64_t tasks, std::int64_t bytes, const Work& work) {
  Caught caught;
  for_each_block(useful_threads(threads, tasks, bytes), tasks, [&](int, std::int64_t task) { caught.guard([&] { work(task); }); });
  caught.rethrow();
}

}  // namespace rad_fast
