// What the stages of the games by class share (classes.cu).
#pragma once

#include "collective.cuh"
#include "equilibrium.cuh"
#include "kernels.hpp"
#include "points.cuh"

namespace rad_fast {
namespace cuda {
namespace {

constexpr std::int64_t direct_points = 1 << 14;   // a class of so many needs no box
constexpr std::int64_t wanted_sample = 1 << 13;   // of a larger one, at least a quarter of this
constexpr std::int64_t most_sample = 1 << 14;
constexpr std::int64_t least_sample = 256;        // of fewer points no box is made
constexpr int large_threads = 512;                // of a block that searches a class with a box; of others by how many there are
constexpr int estimate_threads = 128;             // blocks that wait for their decisions share a multiprocessor by fours
constexpr int few_threads = 512;                  // where there are no more blocks than multiprocessors
constexpr int pass_threads = 256;
constexpr int pass_warps = pass_threads / warp_lanes;
constexpr int pass_resident = 3;
constexpr std::int64_t most_copies = 64, most_sums = 1024;  // of the classes' sums, so that blocks meet less often
constexpr int few_classes = 48;                   // whose sums each warp has in shared memory
constexpr int few_pass_threads = 128;
constexpr int few_pass_warps = few_pass_threads / warp_lanes;
constexpr int few_pass_resident = 8;
constexpr std::size_t processor_shared = 227 << 10;  // shared memory of a multiprocessor
constexpr int rest_points = 128;                  // undecided points that a warp writes at once
constexpr std::int64_t few_sample = 2048;         // of a class, in shared memory
constexpr int again_threads = 256;
constexpr std::int64_t again_share = 8;           // room for one of so many of a class's points after a second box
constexpr int group_threads = 512;
constexpr std::int64_t grouped_locally = 8192;    // classes whose counts a block keeps in shared memory, 32 KiB
typedef WarpQueue<2, true> Queue;

// Of a class: what its box decides, in the pass over all points.
struct ClassCuts {
  Cuts cuts;
  float screen;
  std::int32_t slot;  // of its sums; -1: its box is everything, and decides nothing
};

struct Games {
  Labelled points;
  Played played;
  const ClassGame* game;
  const std::int32_t* large;  // the classes above direct_points that have a quota
  std::int64_t large_count;
  std::int64_t stride;        // one of so many points is looked at for the sample
  std::int64_t copies;
  Point* region;
  ClassCuts* cuts;            // null where no class has a box
  Counter* held;              // of each class's region
  Bounds* corner;             // large_count x corners
  Sums* sums;                 // copies x large_count
  // Of a second box, for classes of which the first left many points: as above, large_count each.
  Point* again_region;
  Counter* again_held;
  Bounds* again_corner;
  Sums* again_sums;
  double* answers;
};

__device__ __forceinline__ std::int32_t game_of(const Games& s, std::int32_t label) {
  return s.played.place == nullptr ? label : s.played.place[label];
}

// Whether a class, all of whose points have been passed, needs a second box.
__device__ __forceinline__ bool again(const Games& s, std::int64_t k) {
  return static_cast<std::int64_t>(s.held[k]) > direct_points;
}

__device__ __forceinline__ Exact sums_of(const Games& s, std::int64_t place) {
  Exact known;
  for (std::int64_t copy = 0; copy < s.copies; ++copy) known.add(s.sums[copy * s.large_count + place]);
  return known;
}

}  // namespace
}  // namespace cuda
}  // namespace rad_fast
