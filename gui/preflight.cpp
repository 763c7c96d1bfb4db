#include "gui/preflight.h"

#include <algorithm>
#include <fstream>

#include <unistd.h>

#include <QCoreApplication>
#include <QTemporaryDir>

#include "core/base/units.h"
#include "core/launch/launcher.h"
#include "core/run/run_state.h"
#include "core/spec/validate.h"
#include "gui/text.h"

namespace tera::gui {
namespace {

namespace fs = std::filesystem;

QString say(const char* text) {
  return QCoreApplication::translate("Preflight", text);
}

Check ok(const char* title, const QString& detail) {
  return {CheckState::Ok, say(title), detail, {}};
}

Check checkProgram(const std::string& program) {
  if (program.empty()) {
    return {CheckState::Failed, say("Program"), say("no teragpt beside this program or on PATH"),
            say("install the command line, or add its folder to PATH")};
  }
  return ok("Program", qs(program));
}

Check checkSpec(const spec::RunSpec& spec) {
  std::vector<Diagnostic> found = spec::validate(spec);
  for (Diagnostic& d : spec::validate_for_engine(spec))
    found.push_back(std::move(d));
  const auto first = std::find_if(found.begin(), found.end(), [](const Diagnostic& d) {
    return d.severity == Severity::error;
  });
  if (first == found.end()) return ok("Spec", say("valid, and this build can train it"));
  const auto errors = std::count_if(found.begin(), found.end(), [](const Diagnostic& d) {
    return d.severity == Severity::error;
  });
  QString detail = qs(first->field + ": " + first->message);
  if (errors > 1) detail += say(" (and %1 more)").arg(errors - 1);
  return {CheckState::Failed, say("Spec"), detail, qs(first->hint)};
}

Check checkData(const spec::RunSpec& spec) {
  if (spec.data.datasets.empty()) {
    return {
        CheckState::Failed, say("Data"), say("the spec names no token files"),
        say("prepare text with: teragpt data prepare, then name its prefix under data.datasets")};
  }
  double bytes = 0;
  for (const spec::DatasetConfig& dataset : spec.data.datasets) {
    for (const char* extension : {".bin", ".idx", ".tgd.json"}) {
      const fs::path file = dataset.path + extension;
      std::error_code problem;
      const auto size = fs::file_size(file, problem);
      if (problem) {
        return {CheckState::Failed, say("Data"),
                qs(file.string()) + QStringLiteral(": ") + qs(problem.message()),
                say("data.datasets holds the prefix of .bin, .idx and .tgd.json")};
      }
      if (extension == std::string_view(".bin")) bytes += static_cast<double>(size);
    }
  }
  const QString size = qs(format_bytes(bytes));
  const std::size_t count = spec.data.datasets.size();
  return ok("Data", count == 1 ? say("%1 of token ids").arg(size)
                               : say("%1 of token ids in %2 datasets").arg(size).arg(count));
}

// Memory the kernel could hand out now; 0 when it does not say.
double availableBytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string name; file >> name;) {
    double kib = 0;
    std::string unit;
    file >> kib >> unit;
    if (name == "MemAvailable:") return kib * 1024;
  }
  return 0;
}

Check checkMemory(const Result<plan::Estimate>& estimate) {
  if (!estimate)
    return {CheckState::Failed, say("Memory"), qs(estimate.error().message),
            qs(estimate.error().hint)};
  const double available = availableBytes();
  const QString needs =
      say("needs %1, %2 free")
          .arg(qs(format_bytes(estimate->worst_bytes)), qs(format_bytes(available)));
  if (available > 0 && estimate->worst_bytes > available) {
    return {CheckState::Failed, say("Memory"), needs,
            say("lower layout.micro_batch_size or the model, or close other programs")};
  }
  if (!estimate->fits) {
    return {CheckState::Warning, say("Memory"),
            say("%1 is over the planned device's %2")
                .arg(qs(format_bytes(estimate->worst_bytes)),
                     qs(format_bytes(estimate->capacity_bytes))),
            say("plan for this computer: cluster preset this-machine")};
  }
  return ok("Memory", needs);
}

Check checkDisk(const spec::RunSpec& spec, const fs::path& root) {
  std::error_code problem;
  fs::create_directories(root, problem);
  if (problem || access(root.c_str(), W_OK) != 0) {
    return {CheckState::Failed, say("Disk"), say("cannot write into %1").arg(qs(root.string())),
            say("set TERA_RUNS to a folder of yours")};
  }
  const Result<std::uint64_t> free = posix_vfs().free_bytes(root);
  if (!free) return {CheckState::Warning, say("Disk"), qs(free.error().message), {}};
  const double needs = checkpointBytes(spec);
  const QString detail = say("checkpoints need %1, %2 free in %3")
                             .arg(qs(format_bytes(needs)),
                                  qs(format_bytes(static_cast<double>(*free))), qs(root.string()));
  if (needs > static_cast<double>(*free)) {
    return {CheckState::Failed, say("Disk"), detail,
            say("free some space, or lower training.keep_checkpoints")};
  }
  return ok("Disk", detail);
}

Check checkOthers(const fs::path& root) {
  const Result<run::RunList> list = run::list_runs(posix_vfs(), root);
  if (!list) return {CheckState::Warning, say("Other runs"), qs(list.error().message), {}};
  for (const run::RunStatus& other : list->runs) {
    if (!other.alive) continue;
    return {
        CheckState::Warning, say("Other runs"),
        say("%1 is running (process %2): both would be slower").arg(qs(other.name)).arg(other.pid),
        say("press Launch to start anyway")};
  }
  return ok("Other runs", say("none on this computer"));
}

// The launcher is asked with a run directory of the same spec in a temporary folder; its path is
// then shown as the place the real one will have.
Result<std::string> exactCommand(const PreflightRequest& request) {
  const QTemporaryDir scratch;
  const fs::path root = ss(scratch.path());
  TERA_TRY(const run::RunDirectory dir, run::RunDirectory::create(posix_vfs(), root, request.spec));
  TERA_TRY(const launch::LaunchScript script,
           launch::make_local_launcher()->render(dir, {.program = request.program}));
  std::string command;
  for (const auto& [name, value] : script.environment)
    command += name + "=" + launch::shell_quote(value) + " \\\n";  // one line to a shell
  command += script.command_line();
  const std::string from = dir.path().string();
  const std::string to = (request.runsRoot / kRunIdPlaceholder).string();
  for (std::size_t at = command.find(from); at != std::string::npos;
       at = command.find(from, at + to.size()))
    command.replace(at, from.size(), to);
  return command;
}

}  // namespace

double checkpointBytes(const spec::RunSpec& spec) {
  const plan::EngineBytes bytes = plan::engine_bytes(spec);
  return static_cast<double>(bytes.weights + bytes.optimizer) *
         (spec.training.keep_checkpoints + 1);
}

bool PreflightReport::canLaunch() const {
  return std::none_of(checks.begin(), checks.end(),
                      [](const Check& check) { return check.state == CheckState::Failed; });
}

bool PreflightReport::allGreen() const {
  return std::all_of(checks.begin(), checks.end(),
                     [](const Check& check) { return check.state == CheckState::Ok; });
}

PreflightReport runPreflight(const PreflightRequest& request) {
  PreflightReport report;
  report.checks.push_back(checkSpec(request.spec));
  report.checks.push_back(checkProgram(request.program));
  report.checks.push_back(checkData(request.spec));
  const Result<plan::Estimate> estimate = plan::estimate(request.spec);
  report.checks.push_back(checkMemory(estimate));
  if (estimate) {
    report.expected_s = estimate->run_s;
    report.expected_usd = estimate->usd;
    report.checks.push_back(checkDisk(request.spec, request.runsRoot));
  }
  report.checks.push_back(checkOthers(request.runsRoot));
  if (report.checks.front().state == CheckState::Ok && !request.program.empty()) {
    if (Result<std::string> command = exactCommand(request)) {
      report.command = std::move(command).value();
    } else {
      report.checks.push_back({CheckState::Failed, say("Command"), qs(command.error().message),
                               qs(command.error().hint)});
    }
  }
  return report;
}

}  // namespace tera::gui
