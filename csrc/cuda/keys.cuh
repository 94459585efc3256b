// The sample along few keys, which order.cu turns to.
#pragma once

#include "kernels.hpp"

namespace rad_fast {
namespace cuda {

constexpr std::int64_t few_keys = 256;

std::size_t sample_along_few_workspace(std::int64_t points, std::int64_t classes, std::int64_t keys);
// As sample_by_class, of at most `few_keys` keys.
void sample_along_few(const Where& where, const Labelled& points, const Played& played, const double* answers, std::uint64_t running,
                      std::int64_t* indices, std::int64_t capacity, void* workspace, Drawn* drawn);

}  // namespace cuda
}  // namespace rad_fast
