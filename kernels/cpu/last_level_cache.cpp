#include "kernels/cpu/last_level_cache.h"

#include <fstream>
#include <sstream>
#include <string>

namespace tera::kernels::cpu {
namespace {

// The first word of a file, empty where there is none.
std::string word_in(const std::filesystem::path& file) {
  std::string word;
  std::ifstream(file) >> word;
  return word;
}

// "32768K", the form of the kernel's cacheinfo; 0 of anything else.
std::int64_t bytes_of(const std::string& size) {
  std::istringstream text(size);
  std::int64_t kib = 0;
  char unit = 0;
  return text >> kib >> unit && unit == 'K' ? kib << 10 : 0;
}

// Processors in "0-1,4": ranges and single ones.
std::int64_t count_of(const std::string& list) {
  std::istringstream text(list);
  std::int64_t count = 0;
  for (std::string part; std::getline(text, part, ',');) {
    std::istringstream range(part);
    std::int64_t first = 0;
    std::int64_t last = 0;
    char dash = 0;
    if (!(range >> first)) return 0;
    if (!(range >> dash >> last)) last = first;
    count += last - first + 1;
  }
  return count;
}

}  // namespace

std::int64_t last_level_cache_share(const std::filesystem::path& folder) {
  std::int64_t share = 0;
  std::string highest;
  for (int index = 0;; ++index) {
    const std::filesystem::path cache = folder / ("index" + std::to_string(index));
    const std::string level = word_in(cache / "level");
    if (level.empty()) return share;
    if (word_in(cache / "type") == "Instruction" || level < highest) continue;
    const std::int64_t processors = count_of(word_in(cache / "shared_cpu_list"));
    highest = level;
    share = processors > 0 ? bytes_of(word_in(cache / "size")) / processors : 0;
  }
}

}  // namespace tera::kernels::cpu
