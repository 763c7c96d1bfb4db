#include "app/teragpt/cli.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/spec_json.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/unfinished_file.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"

namespace tera::app {
namespace {

// Written by the signal handler: the globals of the program.
std::atomic<int> g_stop_requests{0};
std::atomic<int> g_impatience{0};

// A terminal that closes sends SIGHUP through the shell and by itself, and with it may come
// SIGTERM: only a person who asks twice wants to lose what was not saved.
void on_stop_signal(int number) {
  g_stop_requests.fetch_add(1);
  if (number == SIGHUP || number == SIGUSR1 || g_impatience.fetch_add(1) == 0) return;
  remove_unfinished_files();
  _exit(128 + SIGINT);
}

std::string_view severity_name(Severity severity) {
  switch (severity) {
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::error:
      return "error";
  }
  return "error";
}

// fputs: a terminal that is gone must not turn an error into another one.
void tell(const std::string& text) {
  std::fputs(text.c_str(), stderr);
}

}  // namespace

void Cli::fail(const Error& error) {
  Diagnostic told{.severity = Severity::error, .field = {}, .message = error.message, .hint = {}};
  told.hint = error.hint.empty() && error.code == ErrorCode::corrupt
                  ? "the file is damaged: restore it from a copy, or make it again"
                  : error.hint;
  tell(fmt::format("error: {}\n", printable(told.message)));
  if (!told.hint.empty()) tell(fmt::format("hint:  {}\n", printable(told.hint)));
  told_.push_back(std::move(told));
  switch (error.code) {
    case ErrorCode::invalid_input:
    case ErrorCode::not_found:
    case ErrorCode::unsupported:
      exit_code = exit_usage;
      break;
    case ErrorCode::io:
    case ErrorCode::corrupt:
    case ErrorCode::failed:
      exit_code = exit_no;
      break;
  }
}

void Cli::report(std::string_view file, const std::vector<Diagnostic>& diagnostics) {
  for (const Diagnostic& d : diagnostics) {
    std::string where(file);
    if (d.line > 0) where += fmt::format(":{}:{}", d.line, d.column);
    tell(fmt::format("{}: {}: {}{}{}\n", printable(where), severity_name(d.severity),
                     printable(d.field), d.field.empty() ? "" : ": ", printable(d.message)));
    if (!d.hint.empty()) tell(fmt::format("  hint: {}\n", printable(d.hint)));
  }
  file_ = file;
  told_.insert(told_.end(), diagnostics.begin(), diagnostics.end());
  if (has_errors(diagnostics)) exit_code = exit_usage;
}

void Cli::print_json(const nlohmann::ordered_json& document) {
  answered_ = true;
  const bool pretty = isatty(STDOUT_FILENO) != 0;
  const std::string text =
      document.dump(pretty ? 2 : -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

void Cli::print_json_line(const nlohmann::ordered_json& record) const {
  fmt::print("{}\n", record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  std::fflush(stdout);
}

void Cli::finish() {
  if (!json || answered_ || !has_errors(told_)) return;
  print_json({{"schema", "teragpt.error/1"},
              {"exit_code", exit_code},
              {"file", file_},
              {"diagnostics", to_json(told_)}});
}

std::string printable(std::string_view line) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto c = static_cast<unsigned char>(line[i]);
    // C1 controls in UTF-8 are C2 80 to C2 9F.
    const bool c1 = c == 0xC2 && i + 1 < line.size() &&
                    static_cast<unsigned char>(line[i + 1]) >= 0x80 &&
                    static_cast<unsigned char>(line[i + 1]) <= 0x9F;
    if (c1) ++i;
    if (!c1 && (c >= 0x20 || c == '\t') && c != 0x7F) text += line[i];
  }
  return text;
}

bool load_spec(Cli& cli,
               const std::string& path,
               const std::vector<std::string>& overrides,
               spec::RunSpec& spec) {
  spec::ParsedSpec parsed = spec::load_and_validate(path, overrides);
  cli.report(path, parsed.diagnostics);
  spec = std::move(parsed.spec);
  return !has_errors(parsed.diagnostics);
}

Result<void> write_new_file(const std::string& file, std::string_view text, bool force) {
  TERA_TRY_VOID(check_can_write(posix_vfs(), file));
  TERA_TRY(const bool exists, posix_vfs().exists(file));
  if (exists && !force) {
    return tera::fail(ErrorCode::invalid_input,
                      fmt::format("{} exists and was left as it is", file),
                      "choose another name with -o, or replace it with --force");
  }
  return write_file_atomic(posix_vfs(), file, text);
}

const std::atomic<int>& stop_requests() {
  return g_stop_requests;
}

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_stop_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGUSR1, &action, nullptr);  // of schedulers before they end a job, and of mpirun
  struct sigaction hangup = {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup means: go on
}

void outlive_readers() {
  std::signal(SIGPIPE, SIG_IGN);
}

void print_if_read(const std::string& text) {
  const bool printed = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (printed && std::fflush(stdout) == 0) return;
  if (errno != EPIPE && errno != EIO) return;  // a full disk is told at the end
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0) return;
  static_cast<void>(::dup2(nowhere, STDOUT_FILENO));
  ::close(nowhere);
  std::clearerr(stdout);
  spdlog::info("nobody reads standard output any more; the work goes on");
}

Result<void> check_stop(std::string_view verb, std::string_view hint) {
  if (g_stop_requests.load() == 0) return {};
  return tera::fail(ErrorCode::failed, fmt::format("{} was stopped", verb), std::string(hint));
}

Progress::Progress(std::string what, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_s_(monotonic_s()),
      last_s_(0) {}

Progress::~Progress() {
  if (printed_ && terminal_) fmt::print(stderr, "\n");
}

void Progress::update(std::int64_t done, std::int64_t total) {
  if (done == 0) return;
  const double now = monotonic_s();
  const bool last = total > 0 && done >= total;
  if (!last && now - last_s_ < (terminal_ ? 0.1 : 3.0)) return;
  last_s_ = now;
  const double rate = static_cast<double>(done) / std::max(1e-9, now - start_s_);
  const auto amount = [this](std::int64_t value) {
    return format_quantity(static_cast<double>(value), unit_);
  };
  const std::string speed = unit_ == "B" ? format_rate(rate, "B/s")
                            : rate < 1   ? format_seconds(1 / rate) + " each"
                                         : amount(static_cast<std::int64_t>(rate)) + "/s";
  const std::string text = fmt::format("{}: {}{} ({})", what_, amount(done),
                                       total > 0 ? " of " + amount(total) : "", speed);
  if (terminal_) {
    constexpr std::int64_t kWidth = 24;
    std::string bar;
    for (std::int64_t i = 0; total > 0 && i < kWidth; ++i)
      bar += i * total < done * kWidth ? "#" : "-";
    fmt::print(stderr, "\r\x1b[K{}{}{}", bar, bar.empty() ? "" : " ", text);
  } else {
    fmt::print(stderr, "{}\n", text);
  }
  std::fflush(stderr);
  printed_ = true;
}

}  // namespace tera::app
