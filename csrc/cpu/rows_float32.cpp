// Scores of rows of float32.
#include "rows.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

RAD_FAST_ROWS(float32) { score_rows<float>(z, first, count, given, out, invalid); }

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
