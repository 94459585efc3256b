// Scoring and appraising, the solver, the sums of the game, probabilities and samples, games by class and decisions on
// arrival, on random input in buffers that end where the input ends: what `make sanitize` runs under AddressSanitizer,
// UndefinedBehaviorSanitizer and ThreadSanitizer. Compares the levels' sums and indices with one another and with one thread;
// whether they are right is for the tests in Python.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cpu/arrival.hpp"
#include "cpu/by_class.hpp"
#include "cpu/classes.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/evidence.hpp"
#include "cpu/game.hpp"
#include "cpu/one_game.hpp"
#include "cpu/one_pass.hpp"
#include "cpu/quotas.hpp"
#include "cpu/sample.hpp"
#include "cpu/score.hpp"
#include "cpu/search.hpp"
#include "cpu/solve.hpp"

using namespace rad_fast;

namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s: %s\n", level().name, what);
  std::exit(1);
}

std::mt19937_64 generator(20230501);

double uniform() { return std::uniform_real_distribution<double>(0, 1)(generator); }
std::int64_t whole(std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(generator);
}

struct Points {
  std::vector<float> gain, correctness;

  explicit Points(std::int64_t count) : gain(static_cast<std::size_t>(count)), correctness(gain.size()) {
    const double shape = uniform() < 0.5 ? 0.25 : 1.0, ties = uniform() < 0.3 ? 8.0 : 0.0, left_out = uniform() < 0.3 ? 0.1 : 0.0;
    for (std::size_t i = 0; i < gain.size(); ++i) {
      float margin = static_cast<float>(std::pow(uniform(), shape));
      if (ties > 0) margin = static_cast<float>(std::round(margin * ties) / ties);
      gain[i] = uniform() < left_out ? std::numeric_limits<float>::quiet_NaN() : 1.0f - margin;
      correctness[i] = static_cast<float>(ties > 0 ? std::round(uniform() * ties) / ties : uniform());
    }
  }
  std::int64_t size() const { return static_cast<std::int64_t>(gain.size()); }
  std::int64_t playing() const {
    std::int64_t count = 0;
    for (const float g : gain) count += g == g;
    return count;
  }
};

bool same(const Answer& a, const Answer& b) {
  return a.price == b.price && a.threshold == b.threshold && a.share == b.share && a.value == b.value;
}

// The solver, the sample and the probabilities of one game, at every level, with one thread and with several.
void play(std::int64_t count, const Steps& steps, const std::vector<double>& random) {
  const Points points(count);
  const std::int64_t playing = points.playing();
  if (playing == 0) return;
  const double budget = static_cast<double>(whole(1, playing)), mistakes = uniform() < 0.2 ? 0.0 : uniform() * 0.3 * count;
  const double on_grid = std::floor(mistakes * 0x1p25) * 0x1p-25;
  const std::int64_t half = count / 2;
  const std::vector<Chunk> chunks{{points.gain.data(), points.correctness.data(), half},
                                  {points.gain.data() + half, points.correctness.data() + half, count - half}};
  std::optional<Answer> first;
  std::vector<std::int64_t> taken;
  bool seen = false;
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    for (const int threads : {1, 3}) {
      const Stakes stakes(budget, on_grid, count);
      const std::optional<Answer> answer = Solver(steps, random.data(), stakes, threads).solve(chunks);
      require(!seen || answer.has_value() == first.has_value(), "levels differ in what they solve");
      if (answer) require(!seen || same(*answer, *first), "levels differ in the answer");
      first = answer;
      const Equilibrium at = answer ? Equilibrium{answer->price, answer->threshold, answer->share} : Equilibrium{0.5, 0.1, 0.5};
      std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
      const Position end =
          sample_all(threads, points.gain.data(), points.correctness.data(), count, at, std::uint64_t{1} << 61, indices.data());
      indices.resize(static_cast<std::size_t>(end.taken));
      require(!seen || indices == taken, "levels differ in the sample");
      std::vector<std::uint64_t> units(static_cast<std::size_t>(game_points + 16), ~std::uint64_t{0});
      std::vector<std::int32_t> places(units.size());
      Mass some;
      const std::int64_t found = candidate.sample->units(points.gain.data(), points.correctness.data(), std::min(game_points, count), at,
                                                         units.data(), places.data(), some);
      require(units[static_cast<std::size_t>(found)] == 0, "units past the last are not 0");
      const std::uint64_t mass = mass_all(threads, points.gain.data(), points.correctness.data(), count, at);
      require(mass + (std::uint64_t{1} << 61) == end.running, "the mass is not the sample's");
      taken = std::move(indices);
      std::vector<double> q(static_cast<std::size_t>(count));
      probabilities_all(threads, points.gain.data(), points.correctness.data(), count, at, q.data());
      for (const double x : q) require(x >= 0 && x <= 1, "a probability is none");
      seen = true;
    }
  }
}

// Quotients of wide numbers are the nearest float64, ties to even.
void divide() {
  const auto number = [](std::int64_t words) {  // of up to 32 words + 20 binary digits
    Wide x(0);
    for (; words > 0; --words) x = x.shifted(32) + Wide(whole(0, 0xffffffff));
    return x.shifted(static_cast<int>(whole(0, 20)));
  };
  for (int turn = 0; turn < 4000; ++turn) {
    const Wide d = number(whole(1, 3)) + Wide(1), n = turn % 4 == 0 ? d * Wide(whole(1, std::int64_t{1} << 55)) : number(whole(1, 5));
    if (n.length() == 0) continue;
    int exponent = 0;
    const auto digits = static_cast<std::int64_t>(std::ldexp(std::frexp(ratio(n, d, 0), &exponent), 53));
    exponent -= 53;
    const Wide unit = exponent > 0 ? d.shifted(exponent) : d;
    Wide off = (exponent > 0 ? n : n.shifted(-exponent)) - unit * Wide(digits);
    if (off.negative()) off = -off;
    const bool nearest = off.doubled() < unit || (off.doubled() == unit && digits % 2 == 0);
    require(nearest, "a quotient is not the nearest number");
  }
}

// Games by class and their sample, at every level, with one thread and with several.
void play_by_class(std::int64_t count, std::int64_t classes, const Steps& steps, const std::vector<double>& random) {
  const Points points(count);
  const std::int64_t others = classes <= 256 ? classes : 1, half = count / 3;
  std::vector<std::int32_t> label(static_cast<std::size_t>(count));
  std::vector<std::uint8_t> other(label.size());
  std::vector<std::int64_t> counts(static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < label.size(); ++i) {
    const bool plays = points.gain[i] == points.gain[i];
    label[i] = static_cast<std::int32_t>(!plays && uniform() < 0.5 ? -1 : whole(0, classes - 1));
    other[i] = static_cast<std::uint8_t>(whole(0, others - 1));
    if (plays) ++counts[static_cast<std::size_t>(label[i])];
  }
  const double part = std::pow(uniform(), 3.0), spoilt = uniform() < 0.2 ? 0.0 : 0.1 * uniform();
  std::vector<double> budgets(counts.size()), mistakes(counts.size());
  for (std::size_t k = 0; k < counts.size(); ++k) {
    budgets[k] = uniform() < 0.1 ? 0.0 : std::floor(part * static_cast<double>(counts[k]) * 0x1p20) * 0x1p-20;
    mistakes[k] = std::floor(spoilt * static_cast<double>(counts[k]) * 0x1p25) * 0x1p-25;
  }
  const std::uint8_t* const keys = others > 1 ? other.data() : nullptr;
  const std::vector<LabelledPoints> chunks{
      {points.gain.data(), points.correctness.data(), label.data(), keys, half},
      {points.gain.data() + half, points.correctness.data() + half, label.data() + half, keys ? keys + half : nullptr, count - half}};
  const ClassStakes stakes{classes, others, counts.data(), budgets.data(), mistakes.data()};
  std::optional<std::vector<std::int64_t>> taken;
  bool seen = false, solved = false;
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    for (const int threads : {1, 3}) {
      ByClass games(chunks, stakes, steps, random.data(), threads);
      const bool now = games.solve();
      require(!seen || now == solved, "levels differ in the games by class that they solve");
      seen = true;
      solved = now;
      const ClassAnswers& at = games.answers;
      std::vector<double> q(static_cast<std::size_t>(half));
      class_probabilities_all(threads, chunks[0], classes, at.view(), q.data());
      for (const double x : q) require(x >= 0 && x <= 1, "a probability in a game by class is none");
      if (!solved) continue;
      std::vector<std::int64_t> indices;
      for (const Sampled& some : games.sample(std::uint64_t{1} << 61))
        for (const std::uint32_t place : some.places) indices.push_back(some.begin + place);
      require(!taken || indices == *taken, "levels differ in the sample along keys");
      taken = std::move(indices);
    }
  }
}

// Shares of a budget: they add up to it, and no class gets more than its points.
void share(std::int64_t classes) {
  const auto all = static_cast<std::size_t>(classes);
  for (const std::int64_t most : {std::int64_t{1}, std::int64_t{20}, std::int64_t{1} << 30}) {
    std::vector<std::int64_t> points(all), positive(all), chosen(all);
    std::vector<double> weights(all), quotas(all);
    for (std::size_t k = 0; k < all; ++k) {
      points[k] = whole(0, most);
      positive[k] = whole(0, points[k]);
      chosen[k] = whole(0, most);
      weights[k] = whole(0, 2) == 0 ? 0.0 : uniform();
    }
    points[0] += 1;
    weights[0] += 1.0;
    const std::int64_t every = std::accumulate(points.begin(), points.end(), std::int64_t{0}), budget = whole(1, every);
    for (const std::int64_t* bound : {static_cast<const std::int64_t*>(nullptr), static_cast<const std::int64_t*>(positive.data())}) {
      share_out(weights.data(), all, points.data(), chosen.data(), budget, bound, quotas.data());
      require(std::accumulate(quotas.begin(), quotas.end(), 0.0) == static_cast<double>(budget), "quotas add up to the budget");
      for (std::size_t k = 0; k < all; ++k) require(quotas[k] <= static_cast<double>(points[k]), "no class gets more than its points");
    }
  }
}

void arrive(std::int64_t count, std::int64_t classes) {
  const Points points(count);
  std::vector<std::int32_t> label(static_cast<std::size_t>(count));
  for (std::int32_t& y : label) y = static_cast<std::int32_t>(whole(0, classes - 1));
  std::vector<double> price(static_cast<std::size_t>(classes)), phase(price), got(price), came(price), due(price);
  std::vector<double> threshold(price.size() * arrival_levels), share(threshold);
  for (std::vector<double>* numbers : {&price, &phase, &due, &threshold, &share})
    for (double& x : *numbers) x = uniform();
  for (std::int64_t k = 0; k < classes; ++k) std::sort(&threshold[k * arrival_levels], &threshold[k * arrival_levels] + arrival_levels, std::greater<>());
  const auto taken = std::make_unique<bool[]>(static_cast<std::size_t>(count));
  std::vector<std::int64_t> chosen(price.size());
  Standing standing{0, 0, 0, 0, phase.data(), got.data(), chosen.data()};
  const double budget = static_cast<double>(whole(1, count)), of = static_cast<double>(count);
  const Course course{price.data(), threshold.data(), share.data(), due.data(), classes};
  const Pace pace{budget, of, 5.0, budget, of};
  decide_all(points.gain.data(), points.correctness.data(), label.data(), count, course, pace, standing, taken.get());
  require(standing.seen == count && standing.taken <= static_cast<std::int64_t>(budget), "more points are taken than may be");
  require(std::accumulate(chosen.begin(), chosen.end(), std::int64_t{0}) == standing.taken, "labels of points taken are lost");
  reached_by(points.gain.data(), points.correctness.data(), label.data(), count, course, came.data());
  require(std::accumulate(came.begin(), came.end(), 0.0) == static_cast<double>(count), "points are lost");
}

// A value of a type of logits: any bits of 16-bit ones, inf and NaN among them.
template <class T>
std::vector<T> some_logits(std::int64_t count) {
  std::vector<T> logits(static_cast<std::size_t>(count));
  for (T& x : logits) {
    if constexpr (sizeof(T) == 2) x = static_cast<T>(whole(0, 0xffff));
    else x = static_cast<T>(uniform() < 0.001 ? INFINITY : 8 * uniform() - 4);
  }
  return logits;
}

template <class T>
void appraise_as(DType dtype, std::int64_t rows, std::int64_t classes) {
  const std::vector<T> teacher = some_logits<T>(rows * classes), student = some_logits<T>(rows * classes);
  std::vector<float> given(static_cast<std::size_t>(rows)), gain(given), correctness(given);
  for (float& x : given) x = static_cast<float>(uniform());
  const float thresholds[] = {0.1f, 0.5f, 0.8f}, values[] = {0.2f, 0.4f, 0.7f, 0.9f};
  std::vector<std::int32_t> label(gain.size());
  std::vector<std::uint8_t> other(gain.size());
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    for (int model = 0; model <= 4; ++model) {
      for (const bool both : {false, true}) {
        if (model == 4 && !both) continue;  // the logistic model reads a student
        Appraisal task{};
        task.teacher = {teacher.data(), dtype, rows, classes, classes};
        if (both) task.student = {student.data(), dtype, rows, classes, classes};
        task.correctness = {static_cast<CorrectnessModel>(model), 0.7f, given.data(), thresholds, values, 3, {0.1f, 0.5f, 0.3f, 0.2f},
                            {0.05f, 0.95f}};
        task.gain = gain.data();
        task.probability_correct = correctness.data();
        task.label = label.data();
        task.gain_of_label = both && model % 2 == 0;
        task.other = classes <= 256 ? other.data() : nullptr;
        Invalid invalid[] = {{0, -1}, {0, -1}};
        candidate.score->appraise(task, 0, rows, invalid[0], invalid[1]);
        for (std::size_t i = 0; i < gain.size(); ++i) {
          require(label[i] >= -1 && label[i] < classes, "an appraised label is none");
          require(!task.other || other[i] < classes, "another class is none");
          require((label[i] < 0) == (gain[i] != gain[i]), "a gain is there without a label, or a label without a gain");
        }
      }
    }
  }
}

// Scores of which nothing is kept.
Appraisal asked_of(const std::vector<float>& logits, std::int64_t rows, std::int64_t classes) {
  Appraisal task{};
  task.teacher = {logits.data(), DType::float32, rows, classes, classes};
  task.correctness.model = CorrectnessModel::confidence;
  return task;
}

// Rows that are scored and played for in one pass, whose points are kept or not, against stages of their own.
void play_at_once(std::int64_t rows, std::int64_t classes, const Steps& steps, const std::vector<double>& random) {
  const std::vector<float> logits = some_logits<float>(rows * classes);
  const std::int64_t others = 2 < classes && classes <= 256 ? classes : 1;
  std::vector<float> gain(static_cast<std::size_t>(rows)), correctness(gain);
  std::vector<std::int32_t> label(gain.size());
  std::vector<std::uint8_t> other(gain.size());
  const Appraisal bare = asked_of(logits, rows, classes);
  Appraisal task = bare;
  task.gain = gain.data();
  task.probability_correct = correctness.data();
  task.label = label.data();
  task.other = others > 1 ? other.data() : nullptr;
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    std::vector<Invalid> teacher{{0, -1}}, student = teacher;
    candidate.score->appraise(task, 0, rows, teacher[0], student[0]);
    const LabelledPoints points{gain.data(), correctness.data(), label.data(), task.other, rows};
    const LabelledPoints sample{gain.data(), correctness.data(), label.data(), nullptr, rows / 3};
    std::vector<std::int64_t> counts(static_cast<std::size_t>(classes)), expected(counts);
    count_all(1, points, classes, 1, counts.data());
    count_all(1, sample, classes, 1, expected.data());
    std::vector<double> budgets(counts.size()), mistakes(counts.size()), before(counts.size());
    for (std::size_t k = 0; k < counts.size(); ++k) {
      expected[k] *= 3;
      budgets[k] = 0.03 * static_cast<double>(std::min(counts[k], expected[k]));
      mistakes[k] = 0.02 * static_cast<double>(counts[k]);
      before[k] = budgets[k] * 1.01;
    }
    const ClassStakes stakes{classes, others, counts.data(), budgets.data(), mistakes.data()};
    const ClassStakes guessed{classes, others, expected.data(), before.data(), mistakes.data()};
    ByClass games({points}, stakes, steps, random.data(), 1);
    if (!games.solve()) continue;
    const auto indices_of = [](const std::vector<Sampled>& taken) {
      std::vector<std::int64_t> indices;
      for (const Sampled& some : taken)
        for (const std::uint32_t place : some.places) indices.push_back(some.begin + place);
      return indices;
    };
    const std::vector<std::int64_t> taken = indices_of(games.sample(std::uint64_t{1} << 61));
    for (const int threads : {1, 3}) {
      for (const Appraisal& asked : {task, bare}) {
        OnePass once(rows, guessed, steps, random.data(), threads);
        if (!once.expect(sample)) continue;
        once.run(asked, nullptr, others > 1, 4 * classes, teacher, student);
        require(once.counts == counts, "one pass counts other points");
        if (once.conclude(stakes)) require(indices_of(once.sample(std::uint64_t{1} << 61)) == taken, "one pass takes other points");
      }
    }
  }
}

// The same of one game, at random budgets and mistakes.
void play_alone(std::int64_t rows, std::int64_t classes, const Steps& steps, const std::vector<double>& random) {
  const std::vector<float> logits = some_logits<float>(rows * classes);
  std::vector<float> gain(static_cast<std::size_t>(rows)), correctness(gain);
  std::vector<std::int32_t> label(gain.size());
  const auto left_out = std::make_unique<bool[]>(gain.size());
  for (std::size_t i = 0; i < gain.size(); ++i) left_out[i] = uniform() < 0.1;
  const Appraisal bare = asked_of(logits, rows, classes);
  Appraisal task = bare;
  task.gain = gain.data();
  task.probability_correct = correctness.data();
  task.label = label.data();
  const double budget = 1 + std::floor(0.3 * uniform() * uniform() * static_cast<double>(rows));
  const double mistakes = uniform() < 0.3 ? 0.0 : 0.1 * uniform() * static_cast<double>(rows);
  const Stakes stakes(budget, mistakes, rows), guessed(budget * 1.01, mistakes * 1.01, rows);
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    std::vector<Invalid> teacher{{0, -1}}, student = teacher;
    candidate.score->appraise(task, 0, rows, teacher[0], student[0]);
    for (std::size_t i = 0; i < gain.size(); ++i)
      if (left_out[i]) gain[i] = NAN;
    const Chunk all{gain.data(), correctness.data(), rows};
    const std::optional<Answer> answer = Solver(steps, random.data(), stakes, 1).solve({all});
    if (!answer) continue;
    const Equilibrium at{answer->price, answer->threshold, answer->share};
    std::vector<std::int64_t> taken(gain.size());
    taken.resize(static_cast<std::size_t>(
        sample_all(2, gain.data(), correctness.data(), rows, at, std::uint64_t{1} << 61, taken.data()).taken));
    const std::vector<float> seen_gain(gain.begin(), gain.begin() + rows / 3), seen(correctness.begin(), correctness.begin() + rows / 3);
    for (const int threads : {1, 3}) {
      for (const Appraisal& asked : {task, bare}) {
        OneGame once(rows, guessed, steps, random.data(), threads);
        if (!once.expect({seen_gain.data(), seen.data(), rows / 3}, 24.0)) continue;
        once.run(asked, left_out.get(), 4 * classes, teacher, student);
        const std::optional<Answer> found = once.conclude(stakes);
        if (!found) continue;
        require(found->price == answer->price && found->threshold == answer->threshold && found->share == answer->share &&
                    found->value == answer->value,
                "one pass has another equilibrium");
        std::vector<std::int64_t> indices;
        for (const Sampled& some : once.sample(*found, std::uint64_t{1} << 61))
          for (const std::uint32_t place : some.places) indices.push_back(some.begin + place);
        require(indices == taken, "one pass takes other points of the game");
      }
    }
  }
}

// Rows that lie `stride` apart, which may be negative, or 0.
template <class T>
void score_as(DType dtype, std::int64_t rows, std::int64_t classes, std::int64_t stride) {
  const std::int64_t apart = std::abs(stride) * (rows - 1);
  const std::vector<T> logits = some_logits<T>(apart + classes);
  std::vector<float> margin(static_cast<std::size_t>(rows)), confidence(margin), given_probability(margin);
  std::vector<std::int32_t> label(margin.size()), given(margin.size());
  for (std::int32_t& y : given) y = static_cast<std::int32_t>(whole(-1, classes));
  const Logits z{logits.data() + (stride < 0 ? apart : 0), dtype, rows, classes, stride};
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    set_level(candidate.name);
    Invalid invalid{0, -1};
    candidate.score->score(z, 0, rows, given.data(),
                           Scores{margin.data(), confidence.data(), label.data(), given_probability.data(), nullptr}, invalid);
    for (const std::int32_t y : label) require(y >= -1 && y < classes, "a label is none");
  }
}

void add_up(std::int64_t count) {
  const std::vector<float> values = some_logits<float>(count);
  for (const Level& candidate : levels())
    if (candidate.supported) candidate.score->stream_sum(values.data(), count);
}

}  // namespace

int main(int count, char** arguments) {
  const int games = count > 1 ? std::atoi(arguments[1]) : 40;
  std::vector<double> random(20'000);
  for (double& x : random) x = uniform();
  const Steps usual{4'000, 10'000, 5'000, 20'000, 128, {4.0, 12.0}, 0.7};
  const Steps small{200, 300, 5'000, 20'000, 128, {1.0, 4.0}, 0.9};
  for (int game = 0; game < games; ++game) {
    play(whole(1, 200), usual, random);
    play(whole(1, 20'000), small, random);
  }
  play(400'000, usual, random);
  for (int game = 0; game < games / 4; ++game)
    for (const std::int64_t classes : {1, 2, 10, 16, 17, 300}) play_by_class(whole(classes, 60'000), classes, small, random);
  play_by_class(300'000, 10, usual, random);
  for (const std::int64_t classes : {2, 10, 16, 17, 300}) play_at_once(whole(20'000, 40'000), classes, small, random);
  for (int game = 0; game < games / 2; ++game) play_alone(whole(600, 60'000), 2 + game % 5, small, random);
  for (const std::int64_t classes : {1, 2, 32, 33, 5'000}) share(classes);
  for (const std::int64_t classes : {1, 7}) arrive(whole(1, 5'000), classes);
  add_up(whole(1, 5'000));
  for (const std::int64_t classes : {2, 3, 10, 31, 100, 113, 256, 700, 5'000}) {
    const std::int64_t rows = whole(1, 70);
    for (const std::int64_t stride : {classes, classes + 3, -classes, std::int64_t{0}}) {
      score_as<float>(DType::float32, rows, classes, stride);
      score_as<double>(DType::float64, rows, classes, stride);
      score_as<std::uint16_t>(DType::float16, rows, classes, stride);
      score_as<std::uint16_t>(DType::bfloat16, rows, classes, stride);
    }
    appraise_as<float>(DType::float32, rows, classes);
    appraise_as<double>(DType::float64, rows, classes);
    appraise_as<std::uint16_t>(DType::float16, rows, classes);
    appraise_as<std::uint16_t>(DType::bfloat16, rows, classes);
  }
  appraise_as<float>(DType::float32, 1'100, 10);  // more rows than are appraised in one go
  divide();
  std::puts("clean");
  return 0;
}
