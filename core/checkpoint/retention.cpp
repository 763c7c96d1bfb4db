// Which checkpoints there are, which one to start from, and which ones go.
#include <algorithm>
#include <charconv>
#include <optional>
#include <random>

#include <fmt/format.h>

#include "core/checkpoint/checkpoint.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kTrash = ".trash-";

// The step in "step-000000100"; absent for every other name, temp directories included.
std::optional<std::int64_t> step_of(std::string_view name) {
  constexpr std::size_t kMinDigits = 9;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size());
  if (digits.size() < kMinDigits || (digits.size() > kMinDigits && digits.front() == '0')) {
    return std::nullopt;
  }
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || end != digits.data() + digits.size() || step < 0) return std::nullopt;
  return step;
}

// What an unfinished or damaged save, or an unfinished removal, left behind.
bool is_left_over(std::string_view name) {
  return name.starts_with(kTrash) ||
         (name.starts_with(kPrefix) && (name.find(".tmp-") != std::string_view::npos ||
                                        name.find(".damaged-") != std::string_view::npos));
}

}  // namespace

Result<std::vector<CheckpointInfo>> list(Vfs& vfs, const fs::path& ckpt_dir) {
  std::vector<CheckpointInfo> found;
  TERA_TRY(const bool present, vfs.exists(ckpt_dir));
  if (!present) return found;
  TERA_TRY(const std::vector<std::string> names, vfs.list(ckpt_dir));
  for (const std::string& name : names) {
    if (const auto step = step_of(name)) found.push_back({*step, ckpt_dir / name});
  }
  std::sort(found.begin(), found.end(),
            [](const CheckpointInfo& a, const CheckpointInfo& b) { return a.step > b.step; });
  return found;
}

Result<Reader> open_latest_valid(Vfs& vfs,
                                 const fs::path& ckpt_dir,
                                 std::vector<std::string>& skipped) {
  TERA_TRY(const std::vector<CheckpointInfo> found, list(vfs, ckpt_dir));
  if (found.empty()) {
    return fail(ErrorCode::not_found, fmt::format("no checkpoint in {}", ckpt_dir.string()),
                "start the run from the beginning, without --resume");
  }
  for (const CheckpointInfo& info : found) {
    Result<Reader> reader = Reader::open(vfs, info.path);
    const Result<void> verified = reader ? reader->verify() : Result<void>();
    if (reader && verified) return reader;
    skipped.push_back(reader ? verified.error().message : reader.error().message);
  }
  return fail(ErrorCode::corrupt,
              fmt::format("none of the {} checkpoints in {} is valid; the newest: {}", found.size(),
                          ckpt_dir.string(), skipped.front()),
              "`teragpt ckpt verify` names what is damaged in each");
}

Result<std::vector<std::int64_t>> prune_steps(Vfs& vfs, const fs::path& ckpt_dir, int keep_last) {
  constexpr std::size_t kMinKept = 2;  // one may turn out damaged
  std::vector<std::int64_t> removed;
  TERA_TRY(const std::vector<CheckpointInfo> found, list(vfs, ckpt_dir));
  std::random_device random;
  // Only checkpoints that open count: damaged ones never push a good one out.
  const std::size_t keep = std::max(kMinKept, static_cast<std::size_t>(std::max(0, keep_last)));
  std::size_t num_kept = 0;
  for (const CheckpointInfo& info : found) {
    if (num_kept < keep) {
      if (Reader::open(vfs, info.path)) ++num_kept;
      continue;
    }
    // Renamed first: a removal that is cut off leaves no checkpoint with missing files.
    const fs::path trash = ckpt_dir / fmt::format("{}{:09}-{:08x}", kTrash, info.step, random());
    TERA_TRY_VOID(vfs.rename(info.path, trash, true));
    removed.push_back(info.step);
  }
  if (!removed.empty()) TERA_TRY_VOID(vfs.sync_dir(ckpt_dir));
  TERA_TRY(const bool present, vfs.exists(ckpt_dir));
  if (!present) return removed;
  TERA_TRY(const std::vector<std::string> names, vfs.list(ckpt_dir));
  for (const std::string& name : names) {
    if (is_left_over(name)) TERA_TRY_VOID(vfs.remove_all(ckpt_dir / name));
  }
  return removed;
}

Result<void> prune(Vfs& vfs, const fs::path& ckpt_dir, int keep_last) {
  TERA_TRY_VOID(prune_steps(vfs, ckpt_dir, keep_last));
  return {};
}

}  // namespace tera::checkpoint
