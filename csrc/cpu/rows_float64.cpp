// Scores of rows of float64.
#include "rows.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

RAD_FAST_ROWS(float64) { score_rows<double>(z, first, count, given, out, invalid); }

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
