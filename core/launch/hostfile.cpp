#include "core/launch/hostfile.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include <fmt/format.h>

namespace tera::launch {
namespace {

constexpr std::uint64_t kMaxBytes = 1 << 20;
constexpr std::string_view kSlots = "slots=";

// Of `words` behind the name; 0 where they are not one `slots=` with a positive number.
int slots_of(std::istringstream& words) {
  int slots = 0;
  std::string word;
  if (!(words >> word) || !word.starts_with(kSlots)) return 0;
  const char* end = word.data() + word.size();
  const auto parsed = std::from_chars(word.data() + kSlots.size(), end, slots);
  const bool number = parsed.ec == std::errc() && parsed.ptr == end && slots > 0;
  return number && !(words >> word) ? slots : 0;
}

}  // namespace

Result<std::vector<HostSlots>> read_hostfile(Vfs& vfs, const std::filesystem::path& file) {
  TERA_TRY(const std::string text, read_text(vfs, file, kMaxBytes));
  std::vector<HostSlots> hosts;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    HostSlots host;
    if (!(words >> host.name)) continue;
    host.slots = slots_of(words);
    const auto refuse = [&](std::string_view expected) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("{}:{}: got '{}', expected {}", file.string(), number, line, expected),
          "a line for each computer, such as `node7 slots=4`");
    };
    if (host.slots == 0) return refuse("a name and slots=N, the ranks it takes");
    const auto same = [&](const HostSlots& other) { return other.name == host.name; };
    if (std::any_of(hosts.begin(), hosts.end(), same)) return refuse("each computer once");
    hosts.push_back(std::move(host));
  }
  if (hosts.empty()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: names no computer, expected one line for each", file.string()),
                "a line for each computer, such as `node7 slots=4`");
  }
  return hosts;
}

std::int64_t total_slots(const std::vector<HostSlots>& hosts) {
  std::int64_t total = 0;
  for (const HostSlots& host : hosts)
    total += host.slots;
  return total;
}

}  // namespace tera::launch
