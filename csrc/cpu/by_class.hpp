// A game a class on points in memory, from the points to the sample in one call: rad_fast/game/quotas.py and sampling.py,
// to the bit. Baseline code alone (see dispatch.hpp).
//
// A sample of each class gives its box; one pass over all points adds up what the boxes decide, class by class, and keeps the
// others, which are brought together by class and searched. Where many would be left none is decided beforehand: then all
// points are brought together, 8 bytes each. So are those of classes whose box was wrong, in one more pass.
#pragma once

#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "classes.hpp"
#include "passing.hpp"
#include "solve.hpp"

namespace rad_fast {

// Where 13 of 24 bytes a point are there already: points left take 24 each while they are brought together, those kept for
// the sample 8, with room for half as many more, those taken 4 and 8 for the index.
constexpr double room_left = 11.0, bytes_left = 24.0, bytes_kept = 12.0, bytes_taken = 12.0;
constexpr double room_expected = 8.0;  // where a sample alone says how many those will be
constexpr std::int64_t least_sampled = 64;  // of a class, for a box to be read off them
// One of so many points, or so many of a class, are sampled: more cost more than narrower boxes save.
constexpr std::int64_t sampled_part = 32, enough_sampled = 1000;
constexpr std::int64_t boxed_from = 4;      // a box pays from this part of the points on that a single game is searched without
constexpr std::int64_t own_threads = std::int64_t{1} << 18;  // points of a class that has all threads for itself

struct ClassStakes {
  std::int64_t classes, others;
  const std::int64_t* points;  // of each class that can be selected
  const double *budget, *mistakes;
};

struct ClassAnswers {
  std::vector<double> price, threshold, share, value;

  // A class without a budget: no point pays more than the threshold.
  explicit ClassAnswers(std::int64_t classes)
      : price(static_cast<std::size_t>(classes), 0.0), threshold(price.size(), 2.0), share(price), value(price) {}

  void set(std::int64_t k, const Answer& answer) {
    const auto at = static_cast<std::size_t>(k);
    price[at] = answer.price;
    threshold[at] = answer.threshold;
    share[at] = answer.share;
    value[at] = answer.value;
  }
  Equilibria view() const { return {price.data(), threshold.data(), share.data()}; }
};

struct SomePoints {
  Fresh<float> gain, correctness;
  Fresh<std::int32_t> label;

  explicit SomePoints(std::int64_t room)
      : gain(fresh<float>(room)), correctness(fresh<float>(room)), label(fresh<std::int32_t>(room)) {}
  LabelledPoints view(std::int64_t count) const { return {gain.get(), correctness.get(), label.get(), nullptr, count}; }
};

// Each class's points together; those of class k begin at begins[k].
struct Grouped {
  std::vector<std::int64_t> begins;
  Fresh<float> gain, correctness;

  Chunk of(std::int64_t k) const {
    const std::int64_t first = begins[static_cast<std::size_t>(k)];
    return {gain.get() + first, correctness.get() + first, begins[static_cast<std::size_t>(k + 1)] - first};
  }
};

class ByClass {
 public:
  ClassAnswers answers;

  ByClass(const std::vector<LabelledPoints>& chunks, const ClassStakes& stakes, const Steps& steps, const double* random,
          int threads)
      : answers(stakes.classes), chunks_(chunks), steps_(steps), random_(random), threads_(threads) {
    for (const LabelledPoints& chunk : chunks_) size_ += chunk.count;
    set(stakes);
  }

  // Of `size` points that are still to be scored, which are not kept but where they pass (one_pass.hpp); the stakes are those that a
  // sample lets expect.
  ByClass(std::int64_t size, const ClassStakes& expected, const Steps& steps, const double* random, int threads)
      : answers(expected.classes), steps_(steps), random_(random), threads_(threads), size_(size) {
    set(expected);
  }

  // Whether all games were solved; where points are alike they had better be counted, which is not done here.
  bool solve() {
    const std::int64_t wanted = sampled();
    if (wanted > 0 && boxes_from(peek(wanted).view(wanted), 1.0)) {
      set_boxes();
      for (std::size_t c = 0; c < chunks_.size(); ++c) cut(c, chunks_[c].count, parts_of(threads_, chunks_[c].count, keys()));
      reduce();
      play_within_boxes();
      for (const std::int64_t k : open_) boxes_[static_cast<std::size_t>(k)] = everywhere;
    }
    if (!open_.empty()) play_whole();
    if (!open_.empty()) Shelf::only().clear();
    return open_.empty();
  }

  // The same in steps. Whether boxes read off this sample, widened so many times, leave few points undecided; then the points are to
  // be handed to the parts, all of them, in blocks.
  bool expect(const LabelledPoints& sample, double widened) {
    if (sampled() == 0 || !boxes_from(sample, widened) || !keeps_) return false;
    if (bytes_left * undecided_ + bytes_kept * passing_ + bytes_taken * budget_ / static_cast<double>(size_) > room_expected) return false;
    set_boxes();
    cut(0, size_, parts_of(threads_ > 1 ? 4 * threads_ : 1, size_, keys()));
    return true;
  }
  std::vector<PassingPart>& parts() { return parts_; }
  bool take(PassingPart& part, const LabelledPoints& block, std::int64_t* counts) const {
    return part.take(block, boxes_of_, stakes_.others, counts);
  }
  // Whether all games were solved within their boxes, now that the stakes are known.
  bool conclude(const ClassStakes& stakes) {
    const std::vector<std::int64_t> expected = open_;
    const std::vector<bool> without = without_mistakes();
    set(stakes);
    const bool as_expected = open_ == expected && without_mistakes() == without;  // a game without has the price 1: another box
    if (as_expected) play_within_boxes();
    if (as_expected && open_.empty()) return true;
    parts_.clear();
    Shelf::only().clear();
    return false;
  }

  template <class Work>
  void in_parallel(std::int64_t tasks, std::int64_t bytes, const Work& work) const {
    for_each_task(threads_, tasks, bytes, work);
  }

  // What a scan along the keys takes, ascending; once, after `solve`.
  std::vector<Sampled> sample(std::uint64_t running) {
    return parts_.empty() ? sample_all(running) : sample_kept(running);
  }

 private:
  static constexpr Box everywhere{0.0, 1.0, -1.0, 1.0};

  void set(const ClassStakes& stakes) {
    stakes_ = stakes;
    budget_ = 0.0;
    open_.clear();
    boxes_.resize(static_cast<std::size_t>(stakes.classes), everywhere);
    for (std::int64_t k = 0; k < stakes.classes; ++k) {
      budget_ += stakes.budget[k];
      if (stakes.budget[k] > 0) open_.push_back(k);
    }
  }

  std::int64_t keys() const { return stakes_.classes * stakes_.others; }
  std::int64_t kept_keys() const { return stakes_.classes << other_bits(stakes_.others); }

  // From what each key's points add in each part to where the running sum starts there.
  static void accumulate(std::vector<std::uint64_t>& sums, std::int64_t keys, std::uint64_t running) {
    const auto all = static_cast<std::int64_t>(sums.size());
    for (std::int64_t key = 0; key < keys; ++key) {
      for (std::int64_t at = key; at < all; at += keys) {
        const std::uint64_t mass = sums[static_cast<std::size_t>(at)];
        sums[static_cast<std::size_t>(at)] = running;
        running += mass;
      }
    }
  }

  std::vector<Sampled> sample_kept(std::uint64_t running) {
    const Tables tables(answers.view(), stakes_.classes);
    const Prices prices{tables.view().of.price, static_cast<std::int32_t>(stakes_.classes), other_bits(stakes_.others)};
    const std::int64_t keys = kept_keys();
    std::vector<std::uint64_t> sums(parts_.size() * static_cast<std::size_t>(keys));
    const auto count = static_cast<std::int64_t>(parts_.size());
    in_parallel(count, size_ * 12, [&](std::int64_t part) {
      parts_[static_cast<std::size_t>(part)].settle(tables.view(), prices, sums.data() + part * keys);
    });
    accumulate(sums, keys, running);
    std::vector<std::int64_t> begins{0};
    for (const LabelledPoints& chunk : chunks_) begins.push_back(begins.back() + chunk.count);
    std::vector<Sampled> taken(parts_.size());
    in_parallel(count, size_ * 12, [&](std::int64_t number) {
      const auto part = static_cast<std::size_t>(number);
      const double share = static_cast<double>(parts_[part].points()) / static_cast<double>(size_);
      taken[part].begin = begins[chunk_of_[part]];
      taken[part].places.reserve(static_cast<std::size_t>(1.02 * share * budget_) + 64);
      parts_[part].sample(prices, sums.data() + number * keys, taken[part].places);
    });
    parts_.clear();
    return taken;
  }

  // The same where nothing was kept: the probabilities are computed twice.
  std::vector<Sampled> sample_all(std::uint64_t running) const {
    std::vector<std::int64_t> parts;
    for (const LabelledPoints& chunk : chunks_) parts.push_back(parts_of(threads_, chunk.count, keys()));
    const std::int64_t all = std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(all * keys()));
    std::uint64_t* at = sums.data();
    for (std::size_t c = 0; c < chunks_.size(); at += parts[c++] * keys())
      key_masses(threads_, chunks_[c], stakes_.classes, stakes_.others, parts[c], answers.view(), at);
    accumulate(sums, keys(), running);
    std::vector<Sampled> taken;
    std::int64_t begin = 0;
    at = sums.data();
    for (std::size_t c = 0; c < chunks_.size(); at += parts[c++] * keys()) {
      for (auto& places : key_samples(threads_, chunks_[c], stakes_.classes, stakes_.others, parts[c], answers.view(), at,
                                      budget_ / static_cast<double>(size_)))
        taken.push_back({begin, std::move(places)});
      begin += chunks_[c].count;
    }
    return taken;
  }

  std::vector<bool> without_mistakes() const {
    std::vector<bool> without;
    for (const std::int64_t k : open_) without.push_back(stakes_.mistakes[k] == 0);
    return without;
  }

  Stakes stakes_of(std::int64_t k) const { return Stakes(stakes_.budget[k], stakes_.mistakes[k], stakes_.points[k]); }

  // Of how many points boxes for large classes had better be read off; 0 where they would leave too many points undecided.
  std::int64_t sampled() {
    large_.clear();
    small_ = 0.0;
    for (const std::int64_t k : open_) {
      if (stakes_.points[k] > steps_.direct / boxed_from) large_.push_back(k);
      else small_ += static_cast<double>(stakes_.points[k]);
    }
    if (large_.empty() || small_ > room() / bytes_left) return 0;
    const auto games = static_cast<std::int64_t>(large_.size());
    return std::min({steps_.sample * games, size_ / 8, std::max(size_ / sampled_part, enough_sampled * games)});
  }

  double room() const { return room_left * static_cast<double>(size_) - bytes_taken * budget_; }

  // Reads the boxes off a sample; false where they would leave too many points undecided.
  bool boxes_from(const LabelledPoints& sample, double widened) {
    const Grouped grouped = group({sample}, sample.count, nullptr);
    const std::vector<std::int64_t>& large = large_;
    double left = small_;
    std::vector<double> parts(large.size(), 1.0), passing(large.size(), 1.0);
    in_parallel(static_cast<std::int64_t>(large.size()), sample.count * 64, [&](std::int64_t number) {
      const std::int64_t k = large[static_cast<std::size_t>(number)];
      const Chunk here = grouped.of(k);
      if (here.count < least_sampled) return;
      const double part = static_cast<double>(here.count) / static_cast<double>(stakes_.points[k]);
      const Solver::Around around = Solver(steps_, random_, stakes_of(k), 1).around(here, part, widened);
      if (around.box.threshold_low < 0) return;  // points of whom both pieces are taken are left to the search
      parts[static_cast<std::size_t>(number)] = around.undecided;
      passing[static_cast<std::size_t>(number)] = around.passing;
      boxes_[static_cast<std::size_t>(k)] = around.box;
    });
    double kept = left;
    for (std::size_t number = 0; number < large.size(); ++number) {
      left += parts[number] * static_cast<double>(stakes_.points[large[number]]);
      kept += passing[number] * static_cast<double>(stakes_.points[large[number]]);
    }
    passing_ = kept / static_cast<double>(size_);
    undecided_ = left / static_cast<double>(size_);
    keeps_ = bytes_left * left + bytes_kept * kept < room() && kept_keys() <= most_keys;
    if (left <= room() / bytes_left) return true;
    std::fill(boxes_.begin(), boxes_.end(), everywhere);
    return false;
  }

  // Points at places spread over all, one from each of as many equal stretches.
  SomePoints peek(std::int64_t count) const {
    SomePoints out(count);
    const double stretch = static_cast<double>(size_) / static_cast<double>(count);
    constexpr std::int64_t slice = 4096;
    in_parallel((count + slice - 1) / slice, count * 64, [&](std::int64_t number) {
      std::size_t chunk = 0;
      std::int64_t begin = 0;
      for (std::int64_t i = number * slice; i < std::min(count, (number + 1) * slice); ++i) {
        const double at = (static_cast<double>(i) + random_[i % steps_.most_sampled]) * stretch;
        const std::int64_t place = std::min(static_cast<std::int64_t>(at), size_ - 1);
        while (place >= begin + chunks_[chunk].count) begin += chunks_[chunk++].count;
        out.gain[i] = chunks_[chunk].gain[place - begin];
        out.correctness[i] = chunks_[chunk].correctness[place - begin];
        out.label[i] = chunks_[chunk].label[place - begin];
      }
    });
    return out;
  }

  // `counts`: how many points each class has, where that is known.
  Grouped group(const std::vector<LabelledPoints>& points, std::int64_t room, const std::int64_t* counts) const {
    std::vector<std::int64_t> counted(static_cast<std::size_t>(stakes_.classes));
    if (counts) std::copy(counts, counts + stakes_.classes, counted.begin());
    else
      for (const LabelledPoints& some : points) count_all(1, some, stakes_.classes, 1, counted.data());
    Grouped out{std::vector<std::int64_t>(counted.size() + 1), fresh<float>(room), fresh<float>(room)};
    std::partial_sum(counted.begin(), counted.end(), out.begins.begin() + 1);
    std::vector<std::int64_t> starts(out.begins.begin(), out.begins.end() - 1);
    for (const LabelledPoints& some : points)
      group_all(threads_, some, stakes_.classes, starts.data(), room, out.gain.get(), out.correctness.get());
    if (!std::equal(starts.begin(), starts.end(), out.begins.begin() + 1))
      throw std::invalid_argument("counts: expected how many points of each class are not left out, got other numbers");
    return out;
  }

  void set_boxes() {
    std::vector<double> low, high, price_low, price_high;
    boxes_of_.narrow = true;
    std::vector<bool> plays(boxes_.size());
    for (const std::int64_t k : open_) plays[static_cast<std::size_t>(k)] = true;
    for (std::size_t k = 0; k < boxes_.size(); ++k) {
      const Box& box = boxes_[k];
      const bool whole = box.threshold_low == everywhere.threshold_low;
      low.push_back(plays[k] ? box.threshold_low : 2.0);
      high.push_back(whole ? 2.0 : rounded_up(box.threshold_high));
      price_low.push_back(box.price_low);
      price_high.push_back(box.price_high);
      boxes_of_.narrow &= whole || box.price_high >= narrow_gain;
    }
    const std::vector<double>* const columns[] = {&low, &high, &price_low, &price_high};
    for (std::size_t k = 0; k < 4; ++k) tables_[k] = table_of<float>(columns[k]->data(), stakes_.classes);
    boxes_of_ = {tables_[0].data(), tables_[1].data(), tables_[2].data(), tables_[3].data(), static_cast<std::int32_t>(stakes_.classes),
                 boxes_of_.narrow};
  }

  // Cuts the points of a chunk into parts.
  void cut(std::size_t chunk, std::int64_t points, std::int64_t parts) {
    for (std::int64_t part = 0; part < parts; ++part) {
      parts_.emplace_back(part_begin(part, parts, points), part_begin(part + 1, parts, points), stakes_.classes, keeps_, passing_,
                          undecided_);
      chunk_of_.push_back(chunk);
    }
  }

  // Adds up what the boxes decide of points in memory.
  void reduce() {
    Stray stray;
    in_parallel(static_cast<std::int64_t>(parts_.size()), size_ * 12, [&](std::int64_t number) {
      const auto part = static_cast<std::size_t>(number);
      if (!parts_[part].take_all(chunks_[chunk_of_[part]], boxes_of_, stakes_.others)) stray.seen = true;
    });
    stray.check("label or other");
  }

  void play_within_boxes() {
    std::vector<Sums> sums(boxes_.size(), Sums{});
    for (PassingPart& part : parts_) {
      const std::vector<Sums>& decided = part.sums();
      for (std::size_t k = 0; k < decided.size(); ++k) add(sums[k], decided[k]);
    }
    std::vector<LabelledPoints> left;
    std::int64_t count = 0;
    for (const PassingPart& part : parts_) {
      left.push_back(part.undecided());
      count += left.back().count;
    }
    const Grouped grouped = group(left, count, nullptr);
    play([&](std::int64_t k) { return std::vector<Chunk>{grouped.of(k)}; }, count, sums.data());
    if (!keeps_ || !open_.empty()) parts_.clear();
  }

  void play_whole() {
    const std::int64_t playing = std::accumulate(stakes_.points, stakes_.points + stakes_.classes, std::int64_t{0});
    if (stakes_.points[open_[0]] == playing) {  // one class has them all
      std::vector<Chunk> all;
      for (const LabelledPoints& chunk : chunks_) all.push_back({chunk.gain, chunk.correctness, chunk.count});
      return play([&](std::int64_t) { return all; }, size_, nullptr);
    }
    const Grouped grouped = group(chunks_, playing, stakes_.points);
    play([&](std::int64_t k) { return std::vector<Chunk>{grouped.of(k)}; }, playing, nullptr);
  }

  // Plays the games that are open on the points of(k) of `count` in all; those that were not solved stay open. `sums`: over
  // points of each class that are decided.
  template <class Of>
  void play(const Of& of, std::int64_t count, const Sums* sums) {
    std::vector<std::optional<Answer>> found(open_.size());
    const auto game = [&](std::size_t number, int threads) {
      const std::int64_t k = open_[number];
      Known known;
      if (sums) known.add(sums[k]);
      found[number] = Solver(steps_, random_, stakes_of(k), threads).solve(of(k), known, boxes_[static_cast<std::size_t>(k)]);
    };
    std::vector<std::size_t> small;
    for (std::size_t number = 0; number < open_.size(); ++number) {
      std::int64_t points = 0;
      for (const Chunk& chunk : of(open_[number])) points += chunk.count;
      if (points > own_threads) game(number, threads_);
      else small.push_back(number);
    }
    in_parallel(static_cast<std::int64_t>(small.size()), count * 16,
                [&](std::int64_t number) { game(small[static_cast<std::size_t>(number)], 1); });
    std::vector<std::int64_t> open;
    for (std::size_t number = 0; number < open_.size(); ++number) {
      if (found[number]) answers.set(open_[number], *found[number]);
      else open.push_back(open_[number]);
    }
    open_ = open;
  }

  static double rounded_up(double x) {
    const auto nearest = static_cast<float>(x);
    return static_cast<double>(nearest) >= x ? nearest : std::nextafter(nearest, HUGE_VALF);
  }

  std::vector<LabelledPoints> chunks_;
  ClassStakes stakes_{};
  const Steps& steps_;
  const double* random_;
  int threads_;
  std::int64_t size_ = 0;
  double budget_ = 0.0;  // of all classes
  std::vector<Box> boxes_;          // where the answer of each class is looked for
  std::vector<std::int64_t> open_;  // classes whose games are not solved
  std::vector<std::int64_t> large_;  // of those the ones that get a box; `small_`: points of the others
  double small_ = 0.0;
  std::vector<float> tables_[4];
  ClassBoxes boxes_of_{};  // as kernels read them
  bool keeps_ = false;              // whether points that pass are kept for the sample
  double passing_ = 0.0, undecided_ = 0.0;  // which part of all points that will be, about
  std::vector<PassingPart> parts_;
  std::vector<std::size_t> chunk_of_;  // of each part
};

}  // namespace rad_fast
