// Memory that is not set. Baseline code alone (see dispatch.hpp).
#pragma once

#include <cstdint>
#include <memory>

namespace rad_fast {

// Room for `count` numbers, of which only what is written is backed by the system.
template <class T>
std::unique_ptr<T[]> fresh(std::int64_t count) {
  return std::unique_ptr<T[]>(new T[static_cast<std::size_t>(count)]);
}

}  // namespace rad_fast
