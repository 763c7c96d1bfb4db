// The computers that share the ranks of a run, as mpirun reads them: a line `name slots=4` each.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"

namespace tera::launch {

struct HostSlots {
  std::string name;
  int slots = 0;  // ranks it takes at most
  bool operator==(const HostSlots&) const = default;
};

// Comments begin with #. Errors name file and line: no name, no slots, more than one name alike.
Result<std::vector<HostSlots>> read_hostfile(Vfs& vfs, const std::filesystem::path& file);
std::int64_t total_slots(const std::vector<HostSlots>& hosts);

}  // namespace tera::launch
