// Rows that are scored a tile at a time, for work that wants their points while these are in the cache. Baseline code alone (see
// dispatch.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

#include "classes.hpp"
#include "score.hpp"

namespace rad_fast {

constexpr std::int64_t scored_tile = 2048;  // rows

// Where a thread's points go, tile by tile: to their places, or to the same place again and again.
class TilePlaces {
 public:
  TilePlaces(const Appraisal& task, bool with_other) : task_(task), kept_(task.gain != nullptr) {
    if (kept_) return;
    gain_.reset(new float[2 * scored_tile]);
    label_.reset(new std::int32_t[scored_tile]);
    other_.reset(new std::uint8_t[scored_tile]);
    task_.gain = gain_.get();
    task_.probability_correct = gain_.get() + scored_tile;
    task_.label = label_.get();
    if (with_other) task_.other = other_.get();
  }
  Appraisal at(std::int64_t row) const {
    Appraisal task = task_;
    if (!kept_) task.begin = row;
    return task;
  }

 private:
  Appraisal task_;
  bool kept_;
  std::unique_ptr<float[]> gain_;
  std::unique_ptr<std::int32_t[]> label_;
  std::unique_ptr<std::uint8_t[]> other_;
};

// Scores rows first .. end - 1 and calls work(points) for each tile of them, in their order. Where the task has no outputs nothing
// is kept. `left_out`: of each row whether it is, or null.
template <class Work>
void for_scored_tiles(const Appraisal& task, const bool* left_out, bool with_other, std::int64_t first, std::int64_t end,
                      Invalid& teacher, Invalid& student, const Work& work) {
  const TilePlaces places(task, with_other);
  for (std::int64_t row = first; row < end; row += scored_tile) {
    const std::int64_t some = std::min(scored_tile, end - row);
    const Appraisal mine = places.at(row);
    level().score->appraise(mine, row, some, teacher, student);
    const std::int64_t from = row - mine.begin;
    if (left_out)
      for (std::int64_t i = 0; i < some; ++i)
        if (left_out[row + i]) mine.gain[from + i] = NAN;
    work(LabelledPoints{mine.gain + from, mine.probability_correct + from, mine.label + from,
                        mine.other ? mine.other + from : nullptr, some});
  }
}

}  // namespace rad_fast
