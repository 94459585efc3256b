// Memory that is not set. Baseline code alone (see dispatch.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace rad_fast {

// Room for `count` numbers, of which only what is written is backed by the system: in pages of 2 MiB where it is large and the
// system has such, as the first touch of small ones takes longer than what is done with them.
template <class T>
std::unique_ptr<T[]> fresh(std::int64_t count) {
  std::unique_ptr<T[]> numbers(new T[static_cast<std::size_t>(count)]);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t page = 4096, large = 4 << 20;
  const auto begin = reinterpret_cast<std::uintptr_t>(numbers.get()), end = begin + static_cast<std::size_t>(count) * sizeof(T);
  if (end - begin >= large) {
    const std::uintptr_t first = (begin + page - 1) / page * page;
    madvise(reinterpret_cast<void*>(first), end / page * page - first, MADV_HUGEPAGE);  // advice: it may fail
  }
#endif
  return numbers;
}

}  // namespace rad_fast
