// Memory that is not set. Baseline code alone (see dispatch.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace rad_fast {

// Large pieces of memory, kept for the next call: the system clears every page before its first touch, which takes as long as
// what a game does with it. Nobody waits for the shelf: a process that forked while another thread held it would do so forever.
class Shelf {
 public:
  static constexpr std::size_t page = std::size_t{1} << 21, most = std::size_t{1} << 26, small_page = std::size_t{1} << 12;

  static Shelf& only() {
    static Shelf* const shelf = new Shelf;  // never destroyed: threads may end after it would be
    return *shelf;
  }

  // `bytes` is changed to what the piece has.
  void* take(std::size_t& bytes) {
    bytes = (bytes + small_page - 1) / small_page * small_page;
    if (void* const kept = kept_piece(bytes)) return kept;
    void* memory = nullptr;
    if (posix_memalign(&memory, page, bytes)) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    // A wish: where it is refused nothing is lost. Not for the end, which would have a whole page for a part of one.
    madvise(memory, bytes / page * page, MADV_HUGEPAGE);
#endif
    return memory;
  }

  void give(void* memory, std::size_t bytes) {
    if (!keep(memory, bytes)) std::free(memory);
  }

  // For work that goes on elsewhere, where nobody asks for these pieces.
  void clear() {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (lock) empty();
  }

 private:
  struct Piece {
    void* memory;
    std::size_t bytes;
  };

  // The smallest that is large enough.
  void* kept_piece(std::size_t& bytes) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock) return nullptr;
    std::size_t best = count_;
    for (std::size_t k = 0; k < count_; ++k)
      if (pieces_[k].bytes >= bytes && (best == count_ || pieces_[k].bytes < pieces_[best].bytes)) best = k;
    if (best == count_) {  // outgrown: what waits beside a larger piece would only add to the peak
      empty();
      return nullptr;
    }
    const Piece piece = pieces_[best];
    pieces_[best] = pieces_[--count_];
    kept_ -= piece.bytes;
    bytes = piece.bytes;
    return piece.memory;
  }

  void empty() {
    while (count_) std::free(pieces_[--count_].memory);
    kept_ = 0;
  }

  bool keep(void* memory, std::size_t bytes) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock || kept_ + bytes > most) return false;
    pieces_[count_++] = {memory, bytes};
    kept_ += bytes;
    return true;
  }

  std::mutex mutex_;
  Piece pieces_[2 * most / page];  // the smallest has half a page
  std::size_t count_ = 0, kept_ = 0;
};

struct Release {
  std::size_t bytes = 0;  // of a large piece
  void operator()(void* memory) const {
    if (bytes) Shelf::only().give(memory, bytes);
    else std::free(memory);
  }
};
template <class T>
using Fresh = std::unique_ptr<T[], Release>;

// Room for `count` numbers, of which only what is written is backed by the system.
template <class T>
Fresh<T> fresh(std::int64_t count) {
  std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
  if (bytes < Shelf::page / 2) {
    void* const memory = std::malloc(bytes + 1);
    if (!memory) throw std::bad_alloc();
    return Fresh<T>(static_cast<T*>(memory));
  }
  void* const memory = Shelf::only().take(bytes);
  return Fresh<T>(static_cast<T*>(memory), Release{bytes});
}

// Numbers that more are written behind.
template <class T>
class Growing {
 public:
  T* get() const { return numbers_.get(); }

  // Room for `more` behind the `used` ones.
  void reserve(std::int64_t used, std::int64_t more) {
    if (used + more <= room_) return;
    room_ = used + used / 2 + more;
    Fresh<T> larger = fresh<T>(room_);
    if (used) std::memcpy(larger.get(), numbers_.get(), static_cast<std::size_t>(used) * sizeof(T));
    numbers_ = std::move(larger);
  }

 private:
  Fresh<T> numbers_;
  std::int64_t room_ = 0;
};

}  // namespace rad_fast
