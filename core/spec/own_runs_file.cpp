// The file of own runs: read with every line judged by itself, written whole under a lock.
#include <cerrno>
#include <chrono>
#include <cmath>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/json_read.h"
#include "core/base/vfs.h"
#include "core/spec/own_runs.h"
#include "core/spec/this_machine.h"

namespace tera::spec {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostRuns = 100;
constexpr std::uint64_t kMaxBytes = 1 << 20;  // of a file of that many lines, by far

// A number that is at least `least`; the first problem is kept.
double number(const nlohmann::json& line, const char* key, double least, std::string& problem) {
  const auto found = line.find(key);
  const bool there = found != line.end() && found->is_number();
  const double value = there ? found->get<double>() : 0;
  if (there && std::isfinite(value) && value >= least) return value;
  if (problem.empty())
    problem = fmt::format("{}: got {}, expected a number of at least {:g}", key,
                          found == line.end() ? "nothing" : found->dump().substr(0, 40), least);
  return 0;
}

OwnRun parse_line(std::string_view line, std::string& problem) {
  OwnRun run;
  const Result<nlohmann::json> parsed =
      parse_json(line, {.max_bytes = kMaxBytes, .max_depth = 2, .unique_keys = true});
  if (!parsed || !parsed->is_object()) {
    problem = parsed ? "expected an object" : parsed.error().message;
    return run;
  }
  const JsonReader reader(*parsed, {}, problem);
  run.run = reader.text("run");
  run.name = reader.text("name");
  run.precision = reader.text("precision");
  run.figures = reader.text("figures");
  run.num_steps = reader.integer("num_steps", 1);
  constexpr double kShortest = 1e-9;  // a step
  run.time_s = number(*parsed, "time_s", 0, problem);
  run.planned_s = number(*parsed, "planned_s", kShortest, problem);
  run.step_s = number(*parsed, "step_s", kShortest, problem);
  run.spread = number(*parsed, "spread", 0, problem);
  return run;
}

std::string to_line(const OwnRun& run) {
  const nlohmann::ordered_json line = {
      {"run", run.run},       {"name", run.name},       {"precision", run.precision},
      {"time_s", run.time_s}, {"figures", run.figures}, {"planned_s", run.planned_s},
      {"step_s", run.step_s}, {"spread", run.spread},   {"num_steps", run.num_steps}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// Held by one writer at a time; waits for a moment, since others write for milliseconds.
class WriteLock {
 public:
  explicit WriteLock(const fs::path& file)
      : path_(file.string() + ".lock"),
        fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {}
  ~WriteLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;

  Result<void> take() const {
    if (fd_ < 0) return tl::unexpected<Error>(os_error("open", path_, errno));
    constexpr int kTries = 200;
    for (int i = 0; i < kTries; ++i) {
      if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return {};
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return fail(ErrorCode::io, fmt::format("{} is held by another process", path_.string()),
                "end it, or remove the file");
  }

 private:
  fs::path path_;
  int fd_;
};

}  // namespace

OwnRuns parse_own_runs(std::string_view text) {
  OwnRuns found;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    std::string problem;
    OwnRun run = parse_line(line, problem);
    if (problem.empty()) {
      found.runs.push_back(std::move(run));
    } else if (found.num_bad_lines++ == 0) {
      found.problem = fmt::format("line {}: {}", number, problem);
    }
  }
  return found;
}

std::string own_runs_text(const std::vector<OwnRun>& runs) {
  std::string text;
  for (const OwnRun& run : runs)
    text += to_line(run);
  return text;
}

fs::path own_runs_path() {
  const fs::path profile = device_profile_path();
  return profile.empty() ? fs::path() : profile.parent_path() / "own_runs.jsonl";
}

Result<std::string> read_own_runs_text(const fs::path& path) {
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored)) return std::string();
  return read_text(posix_vfs(), path, kMaxBytes);
}

Result<void> add_own_run(const fs::path& path, const OwnRun& run) {
  TERA_TRY_VOID(make_dirs(posix_vfs(), path.parent_path()));
  const WriteLock lock(path);
  TERA_TRY_VOID(lock.take());
  // What cannot be read has no use for anybody: it makes room.
  OwnRuns known = parse_own_runs(read_own_runs_text(path).value_or(""));
  known.runs.push_back(run);
  if (known.runs.size() > kMostRuns)
    known.runs.erase(known.runs.begin(), known.runs.end() - static_cast<std::ptrdiff_t>(kMostRuns));
  return write_file_atomic(posix_vfs(), path, own_runs_text(known.runs));
}

Result<void> clear_own_runs(const fs::path& path) {
  TERA_TRY(const bool there, posix_vfs().exists(path));
  if (!there) return {};
  const WriteLock lock(path);
  TERA_TRY_VOID(lock.take());
  return posix_vfs().remove_all(path);
}

}  // namespace tera::spec
