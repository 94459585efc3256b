// Scratch memory of one allocation, cut into pieces.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rad_fast {
namespace cuda {

// The workspace in pieces at multiples of 256 bytes; with no memory, its size.
class Pieces {
 public:
  explicit Pieces(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(std::int64_t count) {
    T* here = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
    return here;
  }
  std::size_t used() const { return used_; }

 private:
  char* memory_;
  std::size_t used_ = 0;
};

}  // namespace cuda
}  // namespace rad_fast
