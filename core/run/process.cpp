#include "core/run/process.h"

#include <fstream>
#include <sstream>
#include <vector>

#include <unistd.h>

namespace tera::run {

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

ProcessId this_process() {
  return find_process(getpid()).value_or(ProcessId{.pid = getpid(), .boot_id = boot_id()});
}

std::optional<ProcessId> find_process(std::int64_t pid) {
  if (pid <= 0) return std::nullopt;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // "pid (name) state ppid ...": the name may hold spaces and parentheses, so count from its end.
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  std::vector<std::string> words;
  for (std::string word; fields >> word;)
    words.push_back(std::move(word));
  constexpr std::size_t kState = 0;       // field 3 of proc(5)
  constexpr std::size_t kStarttime = 19;  // field 22
  if (words.size() <= kStarttime) return std::nullopt;
  if (words[kState] == "Z" || words[kState] == "X") return std::nullopt;
  ProcessId process{.pid = pid, .boot_id = boot_id()};
  std::istringstream(words[kStarttime]) >> process.starttime;
  return process;
}

bool is_alive(const ProcessId& process) {
  const std::optional<ProcessId> now = find_process(process.pid);
  return now && *now == process;
}

}  // namespace tera::run
