#include "core/launch/launch_script.h"

#include <cstdlib>
#include <string_view>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/hash.h"

namespace tera::launch {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::uint64_t kMaxSpecBytes = 1 << 20;

bool is_program(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
}

std::string replace_all(std::string text, const std::string& from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

// The identity of a script: a run directory has a new name each time, so its path does not count.
std::string hash_of(const LaunchScript& script, const std::string& run_path) {
  const auto neutral = [&](const std::string& text) {
    return replace_all(text, run_path, "{run}");
  };
  ordered_json document = {{"argv", ordered_json::array()},
                           {"environment", ordered_json::array()},
                           {"files", ordered_json::array()}};
  for (const std::string& word : script.argv)
    document["argv"].push_back(neutral(word));
  for (const auto& [name, value] : script.environment)
    document["environment"].push_back({name, neutral(value)});
  for (const auto& [path, text] : script.files)
    document["files"].push_back({path, neutral(text)});
  return sha256_hex(document.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
}

std::string argv_json(const LaunchScript& script) {
  ordered_json environment = ordered_json::object();
  for (const auto& [name, value] : script.environment)
    environment[name] = value;
  const ordered_json document = {{"schema", "teragpt.launch/1"},
                                 {"argv", script.argv},
                                 {"environment", environment},
                                 {"inherited", inherited_variables()},
                                 {"log", script.log}};
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

bool is_inherited(std::string_view name) {
  for (const std::string& allowed : inherited_variables()) {
    const std::string_view pattern = allowed;
    if (pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1))
                               : name == pattern) {
      return true;
    }
  }
  return false;
}

}  // namespace

const std::vector<std::string>& inherited_variables() {
  static const std::vector<std::string> kNames = {
      "PATH",   "HOME",  "USER",   "LOGNAME",       "LANG",
      "LC_*",   "TZ",    "TMPDIR", "XDG_DATA_HOME", "LD_LIBRARY_PATH",
      "TERA_*", "OMP_*", "CUDA_*", "NCCL_*"};
  return kNames;
}

std::string shell_quote(const std::string& word) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  return "'" + replace_all(word, "'", "'\\''") + "'";
}

std::string LaunchScript::command_line() const {
  std::string line;
  for (const auto& [name, value] : environment)
    line += (line.empty() ? "" : " ") + name + "=" + shell_quote(value);
  for (const std::string& word : argv)
    line += (line.empty() ? "" : " ") + shell_quote(word);
  return line;
}

Result<fs::path> find_program(const std::string& given) {
  if (!given.empty()) {
    std::error_code gone;  // the working directory
    const fs::path path = fs::absolute(given, gone).lexically_normal();
    if (!gone && is_program(path)) return path;
    return fail(ErrorCode::not_found,
                fmt::format("{} is not a program that can be run", path.string()));
  }
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  std::vector<fs::path> candidates;
  if (!error) {
    if (self.filename() == "teragpt") candidates.push_back(self);
    candidates.push_back(self.parent_path() / "teragpt");
    candidates.push_back(self.parent_path().parent_path() / "teragpt" / "teragpt");  // build tree
  }
  const char* path_variable = std::getenv("PATH");
  std::string_view rest = path_variable != nullptr ? path_variable : "";
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    const std::string_view dir = rest.substr(0, colon);
    if (dir.starts_with('/')) candidates.push_back(fs::path(dir) / "teragpt");
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
  }
  for (const fs::path& candidate : candidates) {
    if (is_program(candidate)) return candidate;
  }
  return fail(ErrorCode::not_found,
              "the program teragpt is neither beside this program nor on PATH",
              "install it, or put its folder on PATH");
}

Result<LaunchScript> render_local(const run::RunDirectory& dir, const LaunchOptions& options) {
  LaunchScript script;
  TERA_TRY(const fs::path program, find_program(options.program));
  TERA_TRY(const int last_attempt, dir.last_attempt());
  std::string spec_text = options.spec_text;
  if (spec_text.empty()) {
    TERA_TRY(spec_text, read_text(dir.vfs(), dir.spec_file(), kMaxSpecBytes));
  }
  script.attempt = last_attempt + 1;
  script.argv = {program.string(), "train", "--run", dir.path().string()};
  if (options.resume) script.argv.emplace_back("--resume");
  script.environment = {{run::kAttemptVariable, std::to_string(script.attempt)}};
  script.log = dir.log_file(script.attempt, 0).string();
  const fs::path launch_dir = dir.launch_dir(script.attempt).lexically_relative(dir.path());
  script.files = {{"spec.yaml", spec_text},
                  {(launch_dir / "argv.json").string(), argv_json(script)}};
  script.hash = hash_of(script, dir.path().string());
  return script;
}

std::vector<std::string> full_environment(const LaunchScript& script) {
  std::vector<std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [own, value] : script.environment)
      replaced = replaced || own == name;
    if (!replaced && is_inherited(name)) all.emplace_back(text);
  }
  for (const auto& [name, value] : script.environment)
    all.push_back(fmt::format("{}={}", name, value));
  return all;
}

}  // namespace tera::launch
