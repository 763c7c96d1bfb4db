#include "core/run/rank_errors.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tera::run {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kPrefix = "error-";
constexpr std::uint64_t kMaxBytes = 1 << 20;
constexpr int kLastCode = static_cast<int>(ErrorCode::failed);

std::optional<RankError> read_one(const RunDirectory& dir, const std::filesystem::path& file) {
  const Result<std::string> text = read_text(dir.vfs(), file, kMaxBytes);
  if (!text) return std::nullopt;
  const json document = json::parse(*text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  try {
    const auto code = std::clamp(document.at("code").get<int>(), 0, kLastCode);
    return RankError{.rank = document.at("rank").get<int>(),
                     .error = {.code = static_cast<ErrorCode>(code),
                               .message = document.at("message").get<std::string>(),
                               .hint = document.at("hint").get<std::string>()},
                     .time_s = document.at("time_s").get<double>()};
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

Result<void> note_rank_error(const RunDirectory& dir, int attempt, const RankError& error) {
  const ordered_json document = {
      {"schema", "teragpt.rank_error/1"}, {"rank", error.rank},
      {"time_s", error.time_s},           {"code", static_cast<int>(error.error.code)},
      {"message", error.error.message},   {"hint", error.error.hint}};
  const std::string name = error.rank < 0 ? fmt::format("{}start.json", kPrefix)
                                          : fmt::format("{}{:05}.json", kPrefix, error.rank);
  TERA_TRY_VOID(make_dirs(dir.vfs(), dir.launch_dir(attempt)));
  return write_file_atomic(
      dir.vfs(), dir.launch_dir(attempt) / name,
      document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

std::optional<RankError> first_rank_error(const RunDirectory& dir, int attempt) {
  const Result<std::vector<std::string>> names = dir.vfs().list(dir.launch_dir(attempt));
  if (!names) return std::nullopt;
  std::vector<RankError> errors;
  for (const std::string& name : *names) {
    if (!name.starts_with(kPrefix)) continue;
    if (std::optional<RankError> error = read_one(dir, dir.launch_dir(attempt) / name))
      errors.push_back(std::move(*error));
  }
  if (errors.empty()) return std::nullopt;
  std::stable_sort(errors.begin(), errors.end(),
                   [](const RankError& a, const RankError& b) { return a.time_s < b.time_s; });
  const auto says_more = [&](const RankError& other) {
    return other.error.message == errors.front().error.message && !other.error.hint.empty();
  };
  const auto found = std::find_if(errors.begin(), errors.end(), says_more);
  return found == errors.end() ? errors.front() : *found;
}

}  // namespace tera::run
