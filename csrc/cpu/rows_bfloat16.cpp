// Scores of rows of bfloat16.
#include "rows.hpp"

namespace rad_fast {
namespace RAD_FAST_LEVEL {

RAD_FAST_ROWS(bfloat16) { score_rows<bfloat16>(z, first, count, given, out, invalid); }

}  // namespace RAD_FAST_LEVEL
}  // namespace rad_fast
