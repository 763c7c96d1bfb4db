// Where a number is from, in falling order of how little was assumed: a number that rests on
// several kinds is of the last of them.
#pragma once
#include <cstdint>

#include "core/base/fields.h"

namespace tera::spec {

enum class Origin : std::uint8_t {
  analytic,    // follows from the spec, data sheets and formulas
  measured,    // rests on the device profile, or on own runs
  calibrated,  // rests on a value fitted to what others published
};

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::Origin> {
  static constexpr std::array<std::string_view, 3> value = {"analytic", "measured", "calibrated"};
};
}  // namespace tera
