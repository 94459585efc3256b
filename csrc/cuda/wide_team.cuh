// A cluster of blocks that sums over its points: what search.hpp asks of a team, for one game.
//
// Every warp has points of its own, in its block's shared memory where they fit, and drops those that a narrowing decides
// without asking any other. Sums alone travel: each warp writes its own to every block of the cluster, and when all have come
// every warp adds up what all have written. Of 10,000 points a lane then has 5, and a search takes 41 us on an H200, where one
// block of 512 threads took 218.
#pragma once

#include "cluster.cuh"
#include "collective.cuh"
#include "search.hpp"

namespace rad_fast {
namespace cuda {

// The sum over a warp, in every lane, of numbers within 2^52: two sums of 32 bits, of 27 of theirs and of the rest.
__device__ __forceinline__ std::int64_t warp_total(std::int64_t x) {
#if !defined(__CUDACC__) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800)
  constexpr int low_bits = 27;
  const unsigned low = __reduce_add_sync(all_lanes, static_cast<unsigned>(x) & ((1u << low_bits) - 1));
  const int high = __reduce_add_sync(all_lanes, static_cast<int>(x >> low_bits));
  return static_cast<std::int64_t>(high) * (std::int64_t{1} << low_bits) + low;
#else
  return warp_sum(x);
#endif
}

template <int parts_>
class WideTeam {
 public:
  static constexpr int parts = parts_, threads = parts == 1 ? 384 : 256;
  static constexpr int warps = threads / warp_lanes, all_warps = parts * warps;
  static constexpr std::int64_t narrow_above = 2 * threads * parts;  // fewer points cost next to nothing to sum
  static constexpr int room = 2048;                                   // points a block has shared memory for
  static constexpr int warp_room = room / warps;

  struct Scratch {
    Exchange<parts, all_warps, sums_fields> told;
    std::uint64_t widths[warps][warp_room];
    Point points[warps][warp_room];
  };

  // The warp's number among all warps of the team.
  static __device__ __forceinline__ int own_warp() {
    return static_cast<int>(blockIdx.x) % parts * warps + static_cast<int>(threadIdx.x) / warp_lanes;
  }
  // How many points each warp has of so many.
  static __device__ __forceinline__ std::int64_t share(std::int64_t size) { return (size + all_warps - 1) / all_warps; }

  // point(i): the i-th of `size` points. Those that do not fit into shared memory lie in `points` and `widths`.
  template <class PointAt>
  __device__ __forceinline__ WideTeam(Scratch& scratch, std::int64_t size, Point* points, std::uint64_t* widths,
                                      const PointAt& point)
      : scratch_(scratch), all_(size) {
    const std::int64_t each = share(size), begin = lesser(size, each * own_warp());
    const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
    points_ = each <= warp_room ? scratch.points[warp] : points + begin;
    widths_ = each <= warp_room ? scratch.widths[warp] : widths + begin;
    size_ = lesser(size, begin + each) - begin;
    std::int64_t present = 0;
    for (std::int64_t i = lane(); i < size_; i += warp_lanes) {
      const Point p = point(begin + i);
      points_[i] = p;
      widths_[i] = width_of_gain(p.gain);
      present += p.gain >= 0;
    }
    scratch_.told.begin();
    std::int64_t fields[1] = {present};
    add_up(fields);
    present_ = fields[0];
  }

  __device__ __forceinline__ std::int64_t size() const { return all_; }
  __device__ __forceinline__ std::int64_t present() const { return present_; }

  __device__ __forceinline__ Totals probe(const Cuts& cuts) {
    const PieceCuts pieces(cuts);
    std::int64_t count = 0, reaction = 0, width_low = 0, width_high = 0;
    for (std::int64_t i = lane(); i < size_; i += warp_lanes) {
      const Point p = points_[i];
      const std::uint64_t width = widths_[i];
      const Part part = pieces.part_of(p);
      if (part == Part::full || part == Part::saturated) ++count;
      if (part == Part::full) reaction += 1 << grid_bits;
      if (part == Part::full || part == Part::priced) reaction += p.advantage;
      if (part != Part::priced) continue;
      width_low += static_cast<std::int64_t>(width & 0xffffffff);
      width_high += static_cast<std::int64_t>(width >> 32);
    }
    std::int64_t fields[4] = {count, reaction, width_low, width_high};
    add_up(fields);
    return {fields[0], fields[1], joined(fields[2], fields[3])};
  }

  __device__ __forceinline__ Tied tied(std::int64_t floor, std::int64_t t) {
    std::int64_t fields[3] = {};
    for (std::int64_t i = lane(); i < size_; i += warp_lanes) {
      Tied own{};
      add_point(own, points_[i], floor, t, widths_[i]);
      fields[0] += own.whole;
      fields[1] += static_cast<std::int64_t>(static_cast<std::uint64_t>(own.width) & 0xffffffff);
      fields[2] += static_cast<std::int64_t>(own.width >> 32);
    }
    add_up(fields);
    return {fields[0], static_cast<int128>(joined(fields[1], fields[2]))};
  }

  // Adds up what the cuts decide and keeps the rest. In place: a point moves to where one of this step or before was read.
  __device__ __noinline__ Sums narrow(const Cuts& cuts) {
    Sums own{};
    std::int64_t kept = 0;
    for (std::int64_t first = 0; first < size_; first += warp_lanes) {
      const std::int64_t i = first + lane();
      Point p{-1, 0};
      std::uint64_t width = 0;
      if (i < size_) {
        p = points_[i];
        width = widths_[i];
      }
      const Part part = part_of(p, cuts);
      if (part == Part::priced) {
        ++own.present;
        own.advantage += p.advantage;
        own.width_low += width & 0xffffffff;
        own.width_high += width >> 32;
      } else {
        add_point(own, p, part);
      }
      const unsigned votes = __ballot_sync(all_lanes, part == Part::undecided);
      if (part == Part::undecided) {
        const std::int64_t to = kept + __popc(votes & ((1u << lane()) - 1));
        points_[to] = p;
        widths_[to] = width;
      }
      kept += __popc(votes);
    }
    __syncwarp();
    size_ = kept;
    std::int64_t fields[sums_fields];
    memcpy(fields, &own, sizeof fields);
    add_up(fields);
    memcpy(&own, fields, sizeof fields);
    all_ = own.undecided;
    return own;
  }

  // The standard error, over as many points again, of the sum of one or the other real number; one point more, so that mere
  // ties with the middle are in reach.
  template <class Number>
  __device__ __forceinline__ double spread(const Number& number) {
    double sum = 0.0, squares = 0.0;
    for (std::int64_t i = lane(); i < size_; i += warp_lanes) {
      const double x = number(points_[i], widths_[i]);
      sum += x;
      squares += x * x;
    }
    const std::int64_t bits[2] = {bits_as<std::int64_t>(warp_sum(sum)), bits_as<std::int64_t>(warp_sum(squares))};
    leave(bits);
    sum = warp_sum(left<double>(0));
    squares = warp_sum(left<double>(1));
    return sqrt(fmax(squares - sum * sum / static_cast<double>(greater(all_, std::int64_t{1})), 0.0)) + 1.0;
  }

 private:
  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % warp_lanes; }
  static __device__ __forceinline__ uint128 joined(std::int64_t low, std::int64_t high) {
    return static_cast<uint128>(static_cast<int128>(high) * (std::int64_t{1} << 32) + low);
  }

  // Each sum, over the whole team, in every thread. Sums stay within 2^52: of at most 2^17 points, in parts below 2^33.
  template <int n>
  __device__ __forceinline__ void add_up(std::int64_t (&own)[n]) {
#pragma unroll
    for (int k = 0; k < n; ++k) own[k] = warp_total(own[k]);
    leave(own);
#pragma unroll
    for (int k = 0; k < n; ++k) own[k] = warp_total(left<std::int64_t>(k));
  }

  // A warp's numbers to every block.
  template <int n>
  __device__ __forceinline__ void leave(const std::int64_t (&own)[n]) {
    scratch_.told.pass(++turn_, lane(), own_warp(), own);
  }

  // What the warps whose numbers are this lane's, modulo 32, have left.
  template <class T>
  __device__ __forceinline__ T left(int k) const {
    T sum{};
#pragma unroll
    for (int w = 0; w < all_warps; w += warp_lanes) {
      const int from = w + lane();
      if (from < all_warps) sum += bits_as<T>(scratch_.told.slots[turn_ & 1][k][from]);
    }
    return sum;
  }

  Scratch& scratch_;
  Point* points_;
  std::uint64_t* widths_;
  std::int64_t size_, all_, present_ = 0;
  int turn_ = -1;
};

}  // namespace cuda
}  // namespace rad_fast
