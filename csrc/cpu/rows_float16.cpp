// Scores of rows of float16.
#include "rows.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

RAD_FAST_ROWS(float16) { score_rows<float16>(z, first, count, given, out, invalid); }

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
