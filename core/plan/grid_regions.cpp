#include "core/plan/grid_regions.h"

#include <array>

namespace tera::plan {
namespace {

constexpr std::string_view kSource =
    "Ember 2024 by Our World in Data, carbon intensity of electricity generation in 2023";
constexpr std::array<GridRegion, 12> kRegions = {{{"Norway", 30, kSource},
                                                  {"France", 56, kSource},
                                                  {"Finland", 79, kSource},
                                                  {"Brazil", 98, kSource},
                                                  {"Canada", 170, kSource},
                                                  {"Ireland", 291, kSource},
                                                  {"United States", 369, kSource},
                                                  {"Germany", 381, kSource},
                                                  {"world", 481, kSource},
                                                  {"Australia", 549, kSource},
                                                  {"China", 582, kSource},
                                                  {"India", 713, kSource}}};

}  // namespace

std::span<const GridRegion> grid_regions() {
  return kRegions;
}

}  // namespace tera::plan
