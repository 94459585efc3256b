// The stages' interface to the bindings: plain data and addresses in device memory. Nothing of CUDA's is named here, so that
// the bindings compile without its headers. Every function queues work on the caller's stream and returns at once; none
// allocates, none waits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "point.hpp"
#include "row.hpp"

namespace rad_fast {
namespace cuda {

typedef unsigned long long Counter;  // as CUDA's atomics name it

struct Where {
  int device;
  void* stream;  // cudaStream_t
};

// ---------------------------------------------------------------------------------------------------------------- score

enum class DType : int { float64 = 0, float32 = 1, float16 = 2, bfloat16 = 3 };  // as in csrc/cpu/score.hpp

struct Logits {
  const void* data;
  DType dtype;
  std::int64_t classes;
  std::int64_t row_stride, column_stride;  // in elements, of any sign
};

constexpr int most_looks = 16;  // rows of a matrix, LOOKED_AT of kernels/reference/score.py

// Of the rows that were looked at: those that are probabilities, those of them that are not 0 and 1 alone, and others.
struct Looked {
  Counter alike, fractions, others;
};

// What a look says of one row.
enum class Verdict : std::uint8_t { nothing = 0, other = 1, alike = 2, fractions = 3 };  // fractions: alike, too

// How many rows are wrong, and the bitwise complement of the first one's number (0: none, so that memory of zeros is a
// start, and the maximum is the first).
struct Wrong {
  Counter count, first;
};

// What scoring calls count, rows that are excluded not among them. Rows are numbered from `first_row` on.
struct Findings {
  Wrong teacher, student, given, gain;  // rows without a distribution; given correctness and gain outside [0, 1]
  Counter invalid;                      // rows of which the teacher's or the student's has no distribution
  Looked teacher_rows, student_rows;
  // Of the look that clears these, whose blocks cannot add to what another of them clears: each has a byte of its own.
  Verdict first_look[most_looks];
};

// Margin, confidence, label and, with `given`, the probability of those labels. given and probability may be null.
void score(const Where& where, const Logits& logits, std::int64_t rows, std::int64_t first_row, const std::int32_t* given,
           float* margin, float* confidence, std::int32_t* label, float* probability, Findings* findings);

// Gain, correctness, label and, of up to 256 classes, the likeliest class but the label. student.data, `other` and exclude, one
// byte a row, may be null. add: to what `findings` holds; else it is cleared, and `behind` counters behind it. look: how many rows
// are looked at for probabilities, whose sum may be `off` from 1, at most most_looks.
void appraise(const Where& where, const Logits& teacher, const Logits& student, std::int64_t rows, std::int64_t first_row,
              const Rule& rule, const std::uint8_t* exclude, float* gain, float* correctness, std::int32_t* label,
              std::uint8_t* other, Findings* findings, bool add, std::int64_t behind, int look,
              double off);

// ----------------------------------------------------------------------------------------------------------------- game

// Adds up the points that the cuts decide, and writes the others, in any order, `capacity` of them at most.
void reduce(const Where& where, const float* gain, const float* correctness, std::int64_t points, const Cuts& cuts, Sums* sums,
            float* undecided_gain, float* undecided_correctness, std::int64_t capacity);

// How the fused solver ended: solved; few, with fewer valid points than the budget; anything else is left to the solver on
// the host.
enum class Status : std::int64_t { unset = 0, solved = 1, outside = 2, too_many = 3, unfinished = 4, few = 5 };

struct Solution {
  Equilibrium equilibrium;
  Status status;
  std::int64_t undecided;  // points that the last step solved
  std::int64_t valid;      // points that are not left out
};

std::size_t solve_workspace(std::int64_t points);
// budget: points to select, at least 1. The mistakes are `mistakes` and `mistakes_each` for every valid point. The answer goes
// to `solution`.
void solve(const Where& where, const float* gain, const float* correctness, std::int64_t points, std::int64_t budget,
           double mistakes, double mistakes_each, void* workspace, std::size_t workspace_bytes, Solution* solution);

// --------------------------------------------------------------------------------------------------------------- sample

struct Drawn {
  std::uint64_t running;  // after the scan, modulo 2^64
  std::int64_t count;     // indices that it passes; more than `capacity` are not written
};

void probabilities(const Where& where, const float* gain, const float* correctness, std::int64_t points,
                   const Equilibrium& equilibrium, double* out);

std::size_t sample_workspace(std::int64_t points);
// The running sum of the units of all points, from `running` on. Where `solution` is not null the equilibrium is read from
// there, on the device. Indices are written where `indices` is not null, ascending, each plus `offset`.
void sample(const Where& where, const float* gain, const float* correctness, std::int64_t points,
            const Equilibrium& equilibrium, const Solution* solution, std::uint64_t running, std::int64_t offset,
            std::int64_t* indices, std::int64_t capacity, void* workspace, Drawn* drawn);

// ------------------------------------------------------------------------------------------------------- a game a class

// Points with their labels; a point's key is label x others + other, or its label where `other` is null.
struct Labelled {
  const float *gain, *correctness;
  const std::int32_t* label;
  const std::uint8_t* other;
  std::int64_t points, classes, others;
};

// Of a class: how much of the budget it has, the adversary's mistakes, and which part of a buffer of all points is for it.
struct ClassGame {
  double quota, mistakes;
  std::int64_t start, count;
};

// Which classes play. Of a vocabulary most have no points: the games are then those of `classes`, ascending, and place[k] is that
// of class k or -1. Where both are null every class has a game.
struct Played {
  const std::int32_t* classes;
  std::int32_t* place;
  std::int64_t games;
};

// To `tally`: the findings; how many points of each class play, how many of these have a positive effective gain, and how many
// have a byte in `chosen`. `chosen` and `findings` may be null. `tally` may be the findings themselves, with counters behind them
// that are 0.
void count_classes(const Where& where, const Labelled& points, const std::uint8_t* chosen, const Findings* findings,
                   Findings* tally);

std::int64_t class_games_direct();  // a class of more points is `large`
std::size_t class_games_workspace(std::int64_t points, std::int64_t games, std::int64_t large);  // no less with more of either
// The equilibrium of each game: price, threshold, share, value, status (of `Status`) and how many points the last step solved,
// played.games numbers each. Writes played.place.
// held: a 0 for each game, brought with them. large: the games of more than class_games_direct() points that have a quota; least:
// how many points the smallest of these has.
void solve_by_class(const Where& where, const Labelled& points, const Played& played, const ClassGame* games, Counter* held,
                    const std::int32_t* large, std::int64_t large_count, std::int64_t least, void* workspace,
                    std::size_t workspace_bytes, double* answers);

std::size_t sample_by_class_workspace(std::int64_t points, std::int64_t classes);
// The indices of a scan along the keys, ascending; of at most 2^32 points. A class without a game has none.
void sample_by_class(const Where& where, const Labelled& points, const Played& played, const double* answers, std::uint64_t running,
                     std::int64_t* indices, std::int64_t capacity, void* workspace, std::size_t workspace_bytes, Drawn* drawn);

std::size_t class_rates_bytes();
// `rates`: class_rates_bytes() for each class.
void class_probabilities(const Where& where, const Labelled& points, const double* answers, void* rates, double* out);

// ---------------------------------------------------------------------------------------------------------- device, memory

struct DeviceInfo {
  char name[256];
  int major, minor, multiprocessors;
  std::size_t memory;
};

int device_count();
DeviceInfo device_info(int device);
int device_of(const void* memory);
void follow(const Where& where, void* before);  // work queued on the stream from now on comes after what `before` holds
void* allocate(const Where& where, std::size_t bytes);
void release(const Where& where, void* memory);
void copy_in(const Where& where, void* to, const void* from, std::size_t bytes);   // host to device
void copy_out(const Where& where, void* to, const void* from, std::size_t bytes);  // device to host, and waits for it

}  // namespace cuda
}  // namespace rad_fast
