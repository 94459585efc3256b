// A block of threads that sums over its points: what search.hpp asks of a team.
//
// A probe reads 8 bytes a point and 8 more of each whose width is summed, from L2 while there are many and from L1 once the
// search has narrowed them down, and adds up in 5 + 4 shuffles and one barrier.
#pragma once

#include "collective.cuh"
#include "search.hpp"

namespace rad_fast {
namespace cuda {

template <int team_threads>
struct TeamScratch {
  static constexpr int team_warps = team_threads / warp_lanes;
  std::int64_t count[2][team_warps], reaction[2][team_warps];
  uint128 width[2][team_warps];
  std::int64_t field[2][team_warps];
  std::int64_t fields[sums_fields][team_warps];
  int place[2][team_warps];
  double real[2][team_warps];
};

// Every collective below has one barrier and takes the other half of the scratch than the one before it, so that a thread
// that is late reading one is waited for before its half is written again.
// Points have their widths beside them, or no room for those: they are then computed where they are summed.
template <int team_threads, bool stored>
class Team {
 public:
  typedef TeamScratch<team_threads> Scratch;
  static constexpr int threads = team_threads, team_warps = Scratch::team_warps;
  static constexpr std::int64_t narrow_above = 256;

  __device__ __forceinline__ Team(Point* points, std::uint64_t* widths, std::int64_t size, Scratch& scratch)
      : points_(points), widths_(widths), size_(size), scratch_(scratch) {}

  __device__ __forceinline__ std::int64_t size() const { return size_; }

  __device__ __forceinline__ Totals probe(const Cuts& cuts) {
    Totals own{};
    for (std::int64_t i = threadIdx.x; i < size_; i += team_threads) {
      const Point p = points_[i];
      const Part part = part_of(p, cuts);
      add_point(own, p, part, part == Part::priced ? width_of(i, p) : 0);
    }
    return total(own);
  }

  __device__ __forceinline__ std::int64_t present() {
    std::int64_t own = 0;
    for (std::int64_t i = threadIdx.x; i < size_; i += team_threads) own += points_[i].gain >= 0;
    return block_sum<team_threads>(own, scratch_.field[turn()]);
  }

  __device__ __forceinline__ Tied tied(std::int64_t floor, std::int64_t t) {
    Tied own{};
    for (std::int64_t i = threadIdx.x; i < size_; i += team_threads) {
      const Point p = points_[i];
      add_point(own, p, floor, t, width_of(i, p));
    }
    const Totals all = total(Totals{own.whole, 0, static_cast<uint128>(own.width)});
    return {all.count, static_cast<int128>(all.width)};
  }

  // Adds up what the cuts decide and keeps the rest. In place: a point moves to where one of this step or before was read.
  __device__ __noinline__ Sums narrow(const Cuts& cuts) {
    Sums own{};
    std::int64_t kept = 0;
    for (std::int64_t first = 0; first < size_; first += team_threads) {
      const std::int64_t i = first + threadIdx.x;
      Point p{-1, 0};
      std::uint64_t width = 0;
      if (i < size_) {
        p = points_[i];
        if (stored) width = widths_[i];
      }
      const Part part = part_of(p, cuts);
      if (stored && part == Part::priced) {
        ++own.present;
        own.advantage += p.advantage;
        own.width_low += width & 0xffffffff;
        own.width_high += width >> 32;
      } else {
        add_point(own, p, part);
      }
      const bool keep = part == Part::undecided;
      int all;
      const int before = block_scan<team_threads>(static_cast<int>(keep), scratch_.place[turn()], all);
      if (keep) {
        points_[kept + before] = p;
        if (stored) widths_[kept + before] = width;
      }
      kept += all;
    }
    std::int64_t fields[sums_fields];
    memcpy(fields, &own, sizeof fields);
    const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
#pragma unroll
    for (int k = 0; k < sums_fields - 1; ++k) {
      const std::int64_t sum = warp_sum(fields[k]);
      if (lane == 0) scratch_.fields[k][warp] = sum;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < sums_fields - 1; ++k) {
      fields[k] = scratch_.fields[k][lane % team_warps];
#pragma unroll
      for (int mask = team_warps / 2; mask > 0; mask /= 2) fields[k] += from_xor(fields[k], mask);
    }
    __syncthreads();  // they are written again by the next narrowing
    memcpy(&own, fields, sizeof fields);
    size_ = kept;
    own.undecided = kept;
    return own;
  }

  // The sum, over all points, of one or the other real number, and of its square.
  template <class Number>
  __device__ __forceinline__ double spread(const Number& number) {
    double sum = 0.0, squares = 0.0;
    for (std::int64_t i = threadIdx.x; i < size_; i += team_threads) {
      const Point p = points_[i];
      const double x = number(p, width_of(i, p));
      sum += x;
      squares += x * x;
    }
    sum = block_sum<team_threads>(sum, scratch_.real[turn()]);
    squares = block_sum<team_threads>(squares, scratch_.real[turn()]);
    // Standard error of the sum over as many points again; one point more, so that mere ties with the middle are in reach.
    return sqrt(fmax(squares - sum * sum / static_cast<double>(greater(size_, std::int64_t{1})), 0.0)) + 1.0;
  }

 private:
  __device__ __forceinline__ std::uint64_t width_of(std::int64_t i, Point p) const {
    return stored ? widths_[i] : width_of_gain(p.gain);
  }

  __device__ __forceinline__ int turn() { return turn_ ^= 1; }

  __device__ __forceinline__ Totals total(Totals own) {
    const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
    own = {warp_sum(own.count), warp_sum(own.reaction), warp_sum(own.width)};
    const int half = turn();
    if (lane == 0) {
      scratch_.count[half][warp] = own.count;
      scratch_.reaction[half][warp] = own.reaction;
      scratch_.width[half][warp] = own.width;
    }
    __syncthreads();
    // A lane reads a warp's part, and the same shuffles add them: 4 steps instead of 16 reads.
    const int w = lane % team_warps;
    own = {scratch_.count[half][w], scratch_.reaction[half][w], scratch_.width[half][w]};
#pragma unroll
    for (int mask = team_warps / 2; mask > 0; mask /= 2) {
      own.count += from_xor(own.count, mask);
      own.reaction += from_xor(own.reaction, mask);
      own.width += from_xor(own.width, mask);
    }
    return own;
  }

  Point* points_;
  std::uint64_t* widths_;
  std::int64_t size_;
  Scratch& scratch_;
  int turn_ = 0;
};

}  // namespace cuda
}  // namespace rad_fast
