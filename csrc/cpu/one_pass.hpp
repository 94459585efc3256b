// Games by class on rows that are scored in the same pass: a tile's points are added up, or kept where they pass, while they are in
// the cache. Nothing else has to be kept of them, if the indices alone are wanted. Baseline code alone (see dispatch.hpp).
//
// The boxes come from points that were scored before, spread over all. From them, too, come the stakes that the boxes are read for;
// the true ones are known when all rows have been scored. Where an answer is not in its box, the games are played another way: that
// costs time, and changes no index.
#pragma once

#include <cstdint>
#include <vector>

#include "by_class.hpp"
#include "scored_tiles.hpp"

namespace rad_fast {

class OnePass {
 public:
  static constexpr double widened = 1.25;  // as many more standard errors: those of the classes' shares

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
      for_scored_tiles(task, left_out, with_other, part.first(), part.first() + part.points(), teacher[at], student[at],
                       [&](const LabelledPoints& block) {
                         if (!games_.take(part, block, table.data())) stray.seen = true;
                       });
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
  std::vector<Sampled> sample(std::uint64_t running) { return games_.sample(running); }

 private:
  ByClass games_;
};

}  // namespace rad_fast
