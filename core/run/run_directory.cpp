#include "core/run/run_directory.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <random>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/spec/yaml.h"

namespace tera::run {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxSpecBytes = 1 << 20;

fs::path environment_path(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? fs::path(value) : fs::path();
}

// Absolute without "." and ".."; also where the working directory is gone, and for an empty path.
fs::path absolute_path(const fs::path& path) {
  std::error_code error;
  const fs::path working_dir = fs::current_path(error);
  return (error ? path : working_dir / path).lexically_normal();
}

// The number in "<prefix>NNN<suffix>" (any number of digits); 0 when the name is another.
int attempt_in(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(suffix)) {
    return 0;
  }
  name = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  int attempt = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), attempt);
  return error == std::errc() && end == name.data() + name.size() ? std::max(attempt, 0) : 0;
}

Result<int> last_in(Vfs& vfs,
                    const fs::path& dir,
                    std::string_view prefix,
                    std::string_view suffix) {
  TERA_TRY(const bool present, vfs.exists(dir));
  if (!present) return 0;
  TERA_TRY(const std::vector<std::string> names, vfs.list(dir));
  int last = 0;
  for (const std::string& name : names)
    last = std::max(last, attempt_in(name, prefix, suffix));
  return last;
}

Result<void> fill(Vfs& vfs, const RunDirectory& dir, const spec::RunSpec& spec) {
  for (const char* name : {"metrics", "logs", "launch", "ckpt"}) {
    TERA_TRY_VOID(vfs.make_dir(dir.path() / name));
  }
  const std::string text = run_spec_text(spec);
  TERA_TRY_VOID(write_file_atomic(vfs, dir.spec_file(), text));
  const nlohmann::ordered_json document = {{"schema", "teragpt.run/1"},
                                           {"id", dir.id()},
                                           {"name", spec.name},
                                           {"created_s", wall_s()},
                                           {"spec_sha256", sha256_hex(text)},
                                           {"version", TERA_VERSION}};
  return write_file_atomic(vfs, dir.run_file(), document.dump(2) + "\n");
}

}  // namespace

fs::path default_runs_root() {
  if (fs::path root = environment_path("TERA_RUNS"); !root.empty()) return root;
  if (const fs::path data = environment_path("XDG_DATA_HOME"); !data.empty()) {
    return data / "teragpt" / "runs";
  }
  return environment_path("HOME") / ".local" / "share" / "teragpt" / "runs";
}

std::string run_spec_text(const spec::RunSpec& spec) {
  spec::RunSpec resolved = spec;
  const auto make_absolute = [](std::string& path) {
    if (!path.empty()) path = absolute_path(path).string();
  };
  for (spec::DatasetConfig& dataset : resolved.data.datasets)
    make_absolute(dataset.path);
  make_absolute(resolved.data.tokenizer);
  make_absolute(resolved.training.init_from);
  make_absolute(resolved.layout.schedule_file);
  return spec::to_yaml(resolved);
}

std::string make_run_id() {
  std::random_device random;
  const std::time_t now = std::time(nullptr);
  return fmt::format("{:%Y%m%d-%H%M%S}-{:08x}", fmt::gmtime(now), random());
}

RunDirectory RunDirectory::planned(Vfs& vfs, const fs::path& root, const std::string& id) {
  RunDirectory dir;
  dir.vfs_ = &vfs;
  dir.path_ = absolute_path(root) / id;
  return dir;
}

Result<RunDirectory> RunDirectory::create(Vfs& vfs,
                                          const fs::path& root,
                                          const spec::RunSpec& spec,
                                          const std::string& id) {
  const RunDirectory dir = planned(vfs, root, id.empty() ? make_run_id() : id);
  TERA_TRY_VOID(make_dirs(vfs, dir.path().parent_path()));
  TERA_TRY_VOID(vfs.make_dir(dir.path()));
  if (Result<void> filled = fill(vfs, dir, spec); !filled) {
    static_cast<void>(vfs.remove_all(dir.path()));  // the first error is the one to report
    return tl::unexpected<Error>(std::move(filled).error());
  }
  TERA_TRY_VOID(vfs.sync_dir(dir.path().parent_path()));
  return dir;
}

Result<RunDirectory> RunDirectory::open(Vfs& vfs,
                                        const std::string& path_or_id,
                                        const fs::path& root) {
  const auto is_run = [&vfs](const fs::path& path) { return vfs.exists(path / "spec.yaml"); };
  const char* hint = "`teragpt runs` lists the runs of this machine";
  if (path_or_id.empty()) {
    return fail(ErrorCode::invalid_input, "run: got an empty name, expected a path or an id", hint);
  }
  const fs::path direct = absolute_path(path_or_id);
  TERA_TRY(const bool direct_is_run, is_run(direct));
  if (direct_is_run) {
    const fs::path path = direct.filename().empty() ? direct.parent_path() : direct;
    return planned(vfs, path.parent_path(), path.filename().string());
  }
  if (path_or_id.find('/') != std::string::npos) {
    return fail(ErrorCode::not_found,
                fmt::format("{} is not a run directory: it has no spec.yaml", path_or_id), hint);
  }
  std::vector<std::string> matches;
  TERA_TRY(const bool root_present, vfs.exists(root));
  if (root_present) {
    TERA_TRY(const std::vector<std::string> names, vfs.list(root));
    for (const std::string& name : names) {
      if (!name.starts_with(path_or_id)) continue;
      TERA_TRY(const bool matches_run, is_run(root / name));
      if (matches_run) matches.push_back(name);
    }
  }
  if (matches.empty()) {
    return fail(ErrorCode::not_found,
                fmt::format("no run starts with \"{}\" in {}", path_or_id, root.string()), hint);
  }
  if (matches.size() > 1 && matches.front() != path_or_id) {
    return fail(ErrorCode::invalid_input,
                fmt::format("\"{}\" fits {} runs: {} to {}", path_or_id, matches.size(),
                            matches.front(), matches.back()),
                "write more of the id");
  }
  return planned(vfs, root, matches.front());
}

Result<spec::RunSpec> RunDirectory::spec() const {
  TERA_TRY(const std::string text, read_text(*vfs_, spec_file(), kMaxSpecBytes));
  spec::ParsedSpec parsed = spec::parse_run_spec(text);
  for (const Diagnostic& d : parsed.diagnostics) {
    if (d.severity != Severity::error) continue;
    return fail(
        ErrorCode::invalid_input,
        fmt::format("{}:{}:{}: {}: {}", spec_file().string(), d.line, d.column, d.field, d.message),
        d.hint);
  }
  return std::move(parsed.spec);
}

fs::path RunDirectory::metrics_file(int attempt) const {
  return metrics_dir() / fmt::format("run.a{:03}.jsonl", attempt);
}

fs::path RunDirectory::log_file(int attempt, int rank) const {
  return path_ / "logs" / fmt::format("a{:03}", attempt) / fmt::format("rank-{:05}.log", rank);
}

fs::path RunDirectory::launch_dir(int attempt) const {
  return path_ / "launch" / fmt::format("a{:03}", attempt);
}

Result<int> RunDirectory::last_attempt() const {
  TERA_TRY(const int metrics, last_in(*vfs_, metrics_dir(), "run.a", ".jsonl"));
  TERA_TRY(const int logs, last_in(*vfs_, path_ / "logs", "a", ""));
  TERA_TRY(const int launches, last_in(*vfs_, path_ / "launch", "a", ""));
  return std::max({metrics, logs, launches});
}

Result<int> RunDirectory::attempt_to_start() const {
  if (const char* text = std::getenv(kAttemptVariable); text != nullptr) {
    const int attempt = attempt_in(text, "", "");
    if (attempt > 0) {
      // Only for the run it was set for, and only once: the launcher left a directory for it.
      TERA_TRY(const bool prepared, vfs_->exists(launch_dir(attempt)));
      TERA_TRY(const bool used, vfs_->exists(metrics_file(attempt)));
      if (prepared && !used) return attempt;
    }
  }
  TERA_TRY(const int last, last_attempt());
  return last + 1;
}

}  // namespace tera::run
