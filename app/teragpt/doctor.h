// What teragpt doctor looks at.
#pragma once
#include <string>
#include <vector>

namespace tera::app {

struct Check {
  std::string name;
  std::string status;  // "ok", "optional" (works without), "missing" (something will fail)
  std::string found;
  std::string hint;
};

// What several ranks need of this computer; nothing in a build without the engine.
std::vector<Check> engine_checks();

}  // namespace tera::app
