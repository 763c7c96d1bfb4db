// Plan equals reality for hundreds of pairs of a spec and a layout; TERA_PLANNED_SEED names the one
// to begin with.
#include <cstdlib>

#include "tests/core/train/planned_ranks.h"

namespace tera::train {
namespace {

TEST(PlannedRanks, OfHundredsOfSpecsAndLayouts) {
  const char* const seed = std::getenv("TERA_PLANNED_SEED");
  test::expect_random_pairs_as_planned(seed != nullptr
                                           ? static_cast<unsigned>(std::strtoul(seed, nullptr, 10))
                                           : std::random_device()(),
                                       240);
}

}  // namespace
}  // namespace tera::train
