// Carbon intensity of electricity by region: what the same run would emit elsewhere.
#pragma once
#include <span>
#include <string_view>

namespace tera::plan {

struct GridRegion {
  std::string_view name;
  double gco2_per_kwh = 0;  // of generation over its life cycle
  std::string_view source;
};
// From clean to dirty.
std::span<const GridRegion> grid_regions();

}  // namespace tera::plan
