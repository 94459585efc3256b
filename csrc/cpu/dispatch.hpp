// The SIMD levels that one kernel source is compiled for, and the choice between them at run time.
//
// A kernel source (score.cpp, ...) is compiled once per level, with -march of that level and -DRAD_FAST_LEVEL=<namespace>;
// everything in it, inline functions and templates of its headers included, lives in rad_fast::<namespace>. Otherwise two
// translation units would define the same inline function for different processors, and the linker could keep the AVX-512
// copy for all. For the same reason kernel sources use no std:: templates: allocation and threads belong to the bindings,
// which are compiled for the baseline.
#pragma once

// X(namespace, name). Best first. CMakeLists.txt holds the same list with the compiler flags.
#if defined(__x86_64__)
#define RAD_FAST_LEVELS(X)     \
  X(x86_64_v4, "x86-64-v4")    \
  X(x86_64_v3, "x86-64-v3")    \
  X(x86_64_v2, "x86-64-v2")
#elif defined(__aarch64__)
#define RAD_FAST_LEVELS(X) X(neon, "neon")
#else
#define RAD_FAST_LEVELS(X) X(plain, "plain")
#endif

namespace rad_fast {
// One table of functions per stage and level; a further stage adds its line, and a member to Level below.
struct ScoreKernels;
struct GameKernels;
struct SampleKernels;
struct ClassKernels;
struct SearchKernels;
#define RAD_FAST_DECLARE(space, name)        \
  namespace space {                          \
  extern const ScoreKernels score_kernels;   \
  extern const GameKernels game_kernels;     \
  extern const SampleKernels sample_kernels; \
  extern const ClassKernels class_kernels;   \
  extern const SearchKernels search_kernels; \
  }
RAD_FAST_LEVELS(RAD_FAST_DECLARE)
#undef RAD_FAST_DECLARE
}  // namespace rad_fast

#if !defined(RAD_FAST_LEVEL)  // the rest is for the baseline translation units alone

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace rad_fast {

struct Level {
  const char* name;
  bool supported;
  const ScoreKernels* score;
  const GameKernels* game;
  const SampleKernels* sample;
  const ClassKernels* classes;
  const SearchKernels* search;
};

namespace detail {

#if defined(__x86_64__)
// The names of whole levels are known to GCC since 12 and to clang since 18; older compilers ask for single features.
#if (defined(__clang__) && __clang_major__ >= 18) || (!defined(__clang__) && __GNUC__ >= 12)
inline bool supports_x86_64_v2() { return __builtin_cpu_supports("x86-64-v2"); }
inline bool supports_x86_64_v3() { return __builtin_cpu_supports("x86-64-v3"); }
inline bool supports_x86_64_v4() { return __builtin_cpu_supports("x86-64-v4"); }
#else
inline bool supports_x86_64_v2() { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }
inline bool supports_x86_64_v3() {  // every processor with AVX2 and FMA has F16C, LZCNT and MOVBE
  return supports_x86_64_v2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
inline bool supports_x86_64_v4() {
  return supports_x86_64_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif
#else
inline bool supports_neon() { return true; }  // every aarch64 processor has it
inline bool supports_plain() { return true; }
#endif

}  // namespace detail

inline const std::vector<Level>& levels() {
  static const std::vector<Level> all = [] {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    return std::vector<Level>{
#define RAD_FAST_ENTRY(space, name) \
  Level{name,                         detail::supports_##space(), &space::score_kernels, &space::game_kernels, \
        &space::sample_kernels, &space::class_kernels, &space::search_kernels},
        RAD_FAST_LEVELS(RAD_FAST_ENTRY)
#undef RAD_FAST_ENTRY
    };
  }();
  return all;
}

// The level of that name, whole or short: x86-64-v3 or v3.
inline const Level* level_named(const char* argument, const std::string& name) {
  std::string usable;
  for (const Level& candidate : levels()) {
    if (!candidate.supported) continue;
    const std::string whole = candidate.name;
    if (name == whole || (!name.empty() && whole == "x86-64-" + name)) return &candidate;
    usable += (usable.empty() ? "" : ", ") + whole;
  }
  throw std::invalid_argument(std::string(argument) + ": expected one that this processor supports (" + usable + "), got \"" +
                              name + "\"");
}

// The level in use: the best that the processor supports, unless RAD_FAST_LEVEL or a test has set another.
inline std::atomic<const Level*>& current_level() {
  static std::atomic<const Level*> current = [] {
    const char* const asked = std::getenv("RAD_FAST_LEVEL");
    if (asked && *asked) return level_named("RAD_FAST_LEVEL", asked);
    for (const Level& level : levels())
      if (level.supported) return &level;
    return static_cast<const Level*>(nullptr);
  }();
  return current;
}

inline const Level& level() {
  const Level* chosen = current_level().load(std::memory_order_relaxed);
  if (!chosen) throw std::runtime_error("this processor lacks SSE4.2 (x86-64-v2); use backend=\"numba\" or \"reference\"");
  return *chosen;
}

inline void set_level(const std::string& name) {
  current_level().store(level_named("level", name), std::memory_order_relaxed);
}

}  // namespace rad_fast

#endif
