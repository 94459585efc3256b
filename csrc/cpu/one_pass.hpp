// Games by class on rows that are scored in the same pass: a tile's points are added up, or kept where they pass, while they are in
// the cache. Nothing else has to be kept of them, if the indices alone are wanted. Baseline code alone (see dispatch.hpp).
//
// The boxes come from points that were scored before, spread over all. From them, too, come the stakes that the boxes are read for;
// the true ones are known when all rows have been scored. Where an answer is not in its box, the games are played another way: that
// costs time, and changes no index.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "by_class.hpp"
#include "score.hpp"

namespace rad_fast {

class OnePass {
 public:
  static constexpr std::int64_t tile = 2048;  // rows
  static constexpr double widened = 1.25;     // as many more standard errors: those of the classes' shares

  std::vector<std::int64_t> counts, positive;  // points of each class that play, and those of them with a positive effective gain

  OnePass(std::int64_t size, const ClassStakes& expected, const Steps& steps, const double* random, int threads)
      : counts(static_cast<std::size_t>(expected.classes)), positive(counts.size()), games_(size, expected, steps, random, threads) {}

  // False where boxes read off this sample would decide too little.
  bool expect(const LabelledPoints& sample) { return games_.expect(sample, widened); }

  // Scores all rows; where the task has no outputs, nothing is kept but what passes. `left_out`: of each row whether it is, or null.
  // The invalid rows of teacher and student.
  void run(const Appraisal& task, const bool* left_out, bool with_other, std::int64_t row_bytes, std::vector<Invalid>& teacher,
           std::vector<Invalid>& student) {
    std::vector<PassingPart>& parts = games_.parts();
    teacher.assign(parts.size(), Invalid{0, -1});
    student = teacher;
    const std::size_t classes = counts.size();
    std::vector<std::vector<std::int64_t>> tables(parts.size());
    Stray stray;
    games_.in_parallel(static_cast<std::int64_t>(parts.size()), task.teacher.rows * row_bytes, [&](std::int64_t number) {
      const auto at = static_cast<std::size_t>(number);
      PassingPart& part = parts[at];
      std::vector<std::int64_t>& table = tables[at];
      table.resize(4 * (classes + 1));
      const Tile tiles(task, with_other);
      const std::int64_t end = part.first() + part.points();
      for (std::int64_t row = part.first(); row < end; row += tile) {
        const std::int64_t some = std::min(tile, end - row);
        const Appraisal mine = tiles.at(row);
        level().score->appraise(mine, row, some, teacher[at], student[at]);
        const std::int64_t from = row - mine.begin;
        if (left_out)
          for (std::int64_t i = 0; i < some; ++i)
            if (left_out[row + i]) mine.gain[from + i] = NAN;
        const LabelledPoints block{mine.gain + from, mine.probability_correct + from, mine.label + from,
                                   mine.other ? mine.other + from : nullptr, some};
        level().classes->count(block.gain, block.correctness, block.label, some, static_cast<std::int32_t>(classes), table.data(),
                               table.data() + 2 * (classes + 1));
        if (!games_.take(part, block)) stray.seen = true;
      }
    });
    stray.check("label or other");
    for (const std::vector<std::int64_t>& table : tables) {
      const std::int64_t *const even = table.data() + 2, *const odd = even + 2 * (classes + 1);
      for (std::size_t k = 0; k < classes; ++k) {
        const std::int64_t more = even[2 * k + 1] + odd[2 * k + 1];
        counts[k] += even[2 * k] + odd[2 * k] + more;
        positive[k] += more;
      }
    }
  }

  // Whether the games were solved; then `answers` and `sample` are theirs.
  bool conclude(const ClassStakes& stakes) { return games_.conclude(stakes); }
  const ClassAnswers& answers() const { return games_.answers; }
  std::vector<ByClass::Taken> sample(std::uint64_t running) { return games_.sample(running); }

 private:
  // Where a thread's tile of points goes: to their places, or to the same place again and again.
  class Tile {
   public:
    Tile(const Appraisal& task, bool with_other) : task_(task), kept_(task.gain != nullptr) {
      if (kept_) return;
      gain_.reset(new float[2 * tile]);
      label_.reset(new std::int32_t[tile]);
      other_.reset(new std::uint8_t[tile]);
      task_.gain = gain_.get();
      task_.probability_correct = gain_.get() + tile;
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

  ByClass games_;
};

}  // namespace rad_fast
