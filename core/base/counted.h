// Counts with their nouns, for people.
#pragma once
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "core/base/units.h"

namespace tera {

// "1 device", "16,384 devices"; "es" for "2 batches".
inline std::string counted(std::int64_t count,
                           std::string_view noun,
                           std::string_view ending = "s") {
  return fmt::format("{} {}{}", format_integer(count), noun, count == 1 ? "" : ending);
}

}  // namespace tera
