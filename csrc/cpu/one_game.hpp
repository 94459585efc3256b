// One game on rows that are scored in the same pass, as one_pass.hpp plays one a class: the points that may be taken are kept, 8
// bytes each, in the order of the rows. Baseline code alone (see dispatch.hpp).
//
// The box comes from points that were scored before, spread over all. Where the answer is not in it the game is played another way:
// that costs time, and changes no index.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "by_class.hpp"
#include "fresh.hpp"
#include "game.hpp"
#include "parallel.hpp"
#include "sample.hpp"
#include "scored_tiles.hpp"
#include "solve.hpp"

namespace rad_fast {

// One thread's part of the points of a game.
class GamePart {
 public:
  // Points first .. end - 1, of which about these parts will pass and be undecided.
  GamePart(std::int64_t first, std::int64_t end, double passing, double undecided)
      : first_(first), end_(end), passing_part_(passing), undecided_part_(undecided) {}

  std::int64_t first() const { return first_; }
  std::int64_t end() const { return end_; }
  const Sums& sums() const { return sums_; }
  Chunk undecided() const { return {gain_.get(), correctness_.get(), undecided_}; }

  // The next points, which are all in one block: as many as a kernel takes at most.
  void take(const float* gain, const float* correctness, std::int64_t count, const Box& box) {
    if (ends_.empty()) make_room(passing_part_, undecided_part_);
    make_room(0.0, 0.0);
    const auto place = static_cast<std::int32_t>(taken_ % game_points);
    if (place == 0) ends_.push_back({passing_, undecided_});
    const Counts counts = level().game->pass(gain, correctness, count, box, place, sums_, {what_.get() + passing_, where_.get() + passing_},
                                             gain_.get() + undecided_, correctness_.get() + undecided_);
    passing_ += counts.passing;
    undecided_ += counts.undecided;
    taken_ += count;
    ends_.back() = {passing_, undecided_};
  }

  // The probabilities of undecided points, now that the equilibrium is known.
  void settle(const Equilibrium& at) {
    const auto most = static_cast<std::size_t>(std::min(game_points, undecided_) + slack);
    const std::unique_ptr<std::int32_t[]> places(new std::int32_t[most]);
    const std::unique_ptr<std::uint64_t[]> units(new std::uint64_t[most]);
    units_.assign(static_cast<std::size_t>(undecided_), 0);
    Mass mass;
    for (std::int64_t begin = 0; begin < undecided_; begin += game_points) {
      const std::int64_t found = level().sample->units(gain_.get() + begin, correctness_.get() + begin,
                                                       std::min(game_points, undecided_ - begin), at, units.get(), places.get(), mass);
      for (std::int64_t k = 0; k < found; ++k) units_[static_cast<std::size_t>(begin + places[k])] = units[k];
    }
  }

  std::int64_t blocks() const { return static_cast<std::int64_t>(ends_.size()); }

  // The probabilities of a block's points that pass, and their sum modulo 2^64; returns how many these are.
  std::int64_t units(std::int64_t block, double price, std::uint64_t* units, std::uint64_t& sum) const {
    const End from = begin_of(block);
    const std::int64_t count = ends_[static_cast<std::size_t>(block)].passing - from.passing;
    level().sample->settle(what_.get() + from.passing, count, price, units_.data() + from.undecided, units, sum);
    return count;
  }

  // The indices that are taken of a block with these probabilities; returns how many.
  std::int64_t scan(std::int64_t block, const std::uint64_t* units, std::int64_t count, std::uint64_t running, std::int64_t* out) const {
    return level().sample->scan(units, where_.get() + begin_of(block).passing, count, running, first_ + block * game_points, out, count);
  }

 private:
  static constexpr std::int64_t slack = 16;  // what a kernel writes past the last

  struct End {
    std::int64_t passing, undecided;
  };

  End begin_of(std::int64_t block) const { return block ? ends_[static_cast<std::size_t>(block - 1)] : End{0, 0}; }

  // For a block behind what there is, or for these parts of the points.
  void make_room(double passing, double undecided) {
    const auto more = [&](double part) {
      return std::min(game_points, end_ - first_) + slack + static_cast<std::int64_t>(1.05 * part * static_cast<double>(end_ - first_));
    };
    what_.reserve(passing_, more(passing));
    where_.reserve(passing_, more(passing));
    gain_.reserve(undecided_, more(undecided));
    correctness_.reserve(undecided_, more(undecided));
  }

  std::int64_t first_, end_;
  double passing_part_, undecided_part_;
  Sums sums_{};
  Growing<std::int32_t> what_, where_;
  Growing<float> gain_, correctness_;
  std::int64_t passing_ = 0, undecided_ = 0, taken_ = 0;
  std::vector<End> ends_;             // of each block
  std::vector<std::uint64_t> units_;  // the probabilities of undecided points
};

class OneGame {
 public:
  OneGame(std::int64_t size, const Stakes& expected, const Steps& steps, const double* random, int threads)
      : size_(size), expected_(expected), steps_(steps), random_(random), threads_(threads) {}

  // False where a box read off this sample of all points would decide too little. `room`: bytes that each point may take.
  bool expect(const Chunk& sample, double room) {
    if (sample.count < least_sampled) return false;
    const double all = static_cast<double>(size_);
    const Solver::Around around =
        Solver(steps_, random_, expected_, 1).around(sample, static_cast<double>(sample.count) / all);
    box_ = around.box;
    if (box_.threshold_low < 0) return false;  // points of whom both pieces are taken are left to the search
    const double budget = static_cast<double>(expected_.budget) * 0x1p-62;
    if (bytes_left * around.undecided + bytes_kept * around.passing + bytes_taken * budget / all > room) return false;
    const std::int64_t blocks = game_blocks(size_), parts = useful_threads(threads_ > 1 ? 4 * threads_ : 1, blocks, 8 * size_);
    for (std::int64_t part = 0; part < parts; ++part)
      parts_.emplace_back(part_begin(part, parts, size_), part_begin(part + 1, parts, size_), around.passing, around.undecided);
    return true;
  }

  // Scores all rows; where the task has no outputs, nothing is kept but what passes. `left_out`: of each row whether it is, or null.
  // The invalid rows of teacher and student.
  void run(const Appraisal& task, const bool* left_out, std::int64_t row_bytes, std::vector<Invalid>& teacher,
           std::vector<Invalid>& student) {
    teacher.assign(parts_.size(), Invalid{0, -1});
    student = teacher;
    for_each_task(threads_, static_cast<std::int64_t>(parts_.size()), task.teacher.rows * row_bytes, [&](std::int64_t number) {
      const auto at = static_cast<std::size_t>(number);
      GamePart& part = parts_[at];
      for_scored_tiles(task, left_out, false, part.first(), part.end(), teacher[at], student[at],
                       [&](const LabelledPoints& tile) { part.take(tile.gain, tile.correctness, tile.count, box_); });
    });
  }

  // The equilibrium, now that the stakes are known; none where it is not in the box.
  std::optional<Answer> conclude(const Stakes& stakes) {
    std::optional<Answer> answer;
    if (stakes.without_mistakes == expected_.without_mistakes) {  // a game without mistakes has the price 1: another box
      Known known;
      std::vector<Chunk> left;
      for (const GamePart& part : parts_) {
        known.add(part.sums());
        left.push_back(part.undecided());
      }
      answer = Solver(steps_, random_, stakes, threads_).solve(left, known, box_);
    }
    if (!answer) {
      parts_.clear();
      Shelf::only().clear();
    }
    return answer;
  }

  // What a scan in the order of the points takes, ascending; once. A block's probabilities are found in any order, and scanned when
  // those before it have been summed.
  std::vector<Sampled> sample(const Answer& answer, std::uint64_t running) {
    const Equilibrium at{answer.price, answer.threshold, answer.share};
    struct Block {
      const GamePart* part;
      std::int64_t number;
    };
    std::vector<Block> blocks;
    for (const GamePart& part : parts_)
      for (std::int64_t number = 0; number < part.blocks(); ++number) blocks.push_back({&part, number});
    const auto count = static_cast<std::int64_t>(blocks.size());
    for_each_task(threads_, static_cast<std::int64_t>(parts_.size()), size_, [&](std::int64_t part) {
      parts_[static_cast<std::size_t>(part)].settle(at);
    });
    const int threads = useful_threads(threads_, count, size_ * 8);
    std::vector<Worker> workers(static_cast<std::size_t>(threads));
    std::vector<Sampled> taken(blocks.size());
    Caught caught;
    std::atomic<std::int64_t> turn{0};
    for_each_block(threads, count, [&](int thread, std::int64_t number) {
      Worker& worker = workers[static_cast<std::size_t>(thread)];
      const Block& block = blocks[static_cast<std::size_t>(number)];
      std::uint64_t sum = 0;
      const std::int64_t passing = block.part->units(block.number, at.price, worker.units.get(), sum);
      wait_for(turn, number);
      const std::uint64_t before = running;
      running += sum;
      turn.store(number + 1, std::memory_order_release);
      const std::int64_t found = block.part->scan(block.number, worker.units.get(), passing, before, worker.indices.get());
      caught.guard([&] { taken[static_cast<std::size_t>(number)] = {0, {worker.indices.get(), worker.indices.get() + found}}; });
    });
    caught.rethrow();
    parts_.clear();
    return taken;
  }

 private:
  struct Worker {
    std::unique_ptr<std::uint64_t[]> units{new std::uint64_t[game_points + 16]};
    std::unique_ptr<std::int64_t[]> indices{new std::int64_t[game_points + 16]};
  };

  std::int64_t size_;
  Stakes expected_;
  const Steps& steps_;
  const double* random_;
  int threads_;
  Box box_{};
  std::vector<GamePart> parts_;
};

}  // namespace rad_fast
