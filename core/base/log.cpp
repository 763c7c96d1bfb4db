#include "core/base/log.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

namespace tera {
namespace {

void install(std::vector<spdlog::sink_ptr> sinks, int rank) {
  auto logger = std::make_shared<spdlog::logger>("teragpt", sinks.begin(), sinks.end());
  logger->set_pattern(rank >= 0 ? fmt::format("%Y-%m-%d %H:%M:%S.%e [{}] %^%l%$ %v", rank)
                                : std::string("%^%l%$ %v"));
  logger->flush_on(spdlog::level::info);
  // Told once: a disk that is full stays so for many lines.
  auto told = std::make_shared<std::atomic<bool>>(false);
  logger->set_error_handler([told](const std::string& what) {
    if (told->exchange(true)) return;
    fmt::print(stderr,
               "warning: lines of the log are lost: {}\n"
               "hint:    free space on its file system; the work goes on without them\n",
               what);
  });
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

void log_to_stderr(int rank) {
  install({std::make_shared<spdlog::sinks::stderr_color_sink_mt>()}, rank);
}

Result<void> log_to_file(const std::filesystem::path& path, int rank, bool also_stderr) {
  std::vector<spdlog::sink_ptr> sinks;
  try {
    sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string()));
  } catch (const spdlog::spdlog_ex& error) {
    return fail(ErrorCode::io,
                fmt::format("cannot open log file {}: {}", path.string(), error.what()),
                "check that the folder exists and is writable");
  }
  if (also_stderr) sinks.push_back(std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  install(std::move(sinks), rank);
  return {};
}

}  // namespace tera
