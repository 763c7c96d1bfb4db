#include "core/run/metric_stream.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/run/line_file.h"
#include "core/run/metric_catalog.h"

namespace tera::run {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTailBytes = 64;
constexpr std::size_t kMaxLineBytes = 4 << 20;  // 61 layers of 256 experts take about 0.2 MiB
constexpr std::size_t kMaxProblems = 100;       // of one poll; a file of rubbish stays readable

struct AttemptFile {
  int attempt = 0;
  fs::path path;
};

// The files run.aNNN.jsonl of a directory, by attempt.
Result<std::vector<AttemptFile>> attempt_files(const fs::path& dir) {
  constexpr std::string_view kPrefix = "run.a";
  constexpr std::string_view kSuffix = ".jsonl";
  std::vector<AttemptFile> files;
  TERA_TRY(const bool present, posix_vfs().exists(dir));
  if (!present) return files;
  TERA_TRY(const std::vector<std::string> names, posix_vfs().list(dir));
  for (const std::string& name : names) {
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const char* begin = name.data() + kPrefix.size();
    const char* end = name.data() + name.size() - kSuffix.size();
    int attempt = 0;
    const auto parsed = std::from_chars(begin, end, attempt);
    if (parsed.ec == std::errc() && parsed.ptr == end && attempt > 0) {
      files.push_back({attempt, dir / name});
    }
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.attempt < b.attempt; });
  return files;
}

Result<std::string> read_range(const fs::path& file, std::int64_t begin, std::int64_t end) {
  TERA_TRY(const std::vector<std::byte> bytes,
           posix_vfs().read(file, static_cast<std::uint64_t>(begin),
                            static_cast<std::uint64_t>(end - begin)));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void add_problem(MetricReader::Update& update, std::string text) {
  if (update.problems.size() < kMaxProblems) update.problems.push_back(std::move(text));
}

}  // namespace

Result<MetricWriter> MetricWriter::open(Vfs& vfs, const fs::path& file) {
  MetricWriter writer;
  TERA_TRY(writer.file_, open_line_file(vfs, file));
  return writer;
}

Result<void> MetricWriter::write(const MetricRecord& record) {
  for (const auto& [name, value] : record.values) {
    const MetricInfo* info = find_metric(name);
    TERA_CHECK(info != nullptr && !info->is_vector,
               "metric \"{}\" is not a scalar of the catalog (core/run/metric_catalog.cpp)", name);
  }
  TERA_CHECK(record.expert_layers.size() == record.expert_load.size(),
             "expert_load has {} rows, expert_layers {}", record.expert_load.size(),
             record.expert_layers.size());
  const std::string line = to_json_line(record);
  return file_->append(std::as_bytes(std::span(line.data(), line.size())));
}

Result<void> MetricWriter::sync() {
  return file_->sync();
}

MetricReader::MetricReader(fs::path metrics_dir) : dir_(std::move(metrics_dir)) {}

Result<MetricReader::Update> MetricReader::poll() {
  Update update;
  delivered_step_ = last_step_;
  // The list comes before the bytes: an attempt that has a successor in it grows no more.
  TERA_TRY(const std::vector<AttemptFile> files, attempt_files(dir_));
  for (const AttemptFile& file : files) {
    if (file.attempt >= cursor_.attempt)
      TERA_TRY_VOID(read_attempt(file.attempt, file.path, update));
  }
  return update;
}

Result<void> MetricReader::read_attempt(int attempt, const fs::path& file, Update& update) {
  if (attempt != cursor_.attempt) cursor_ = Cursor{.attempt = attempt};
  TERA_TRY(const std::uint64_t file_bytes, posix_vfs().file_size(file));
  const auto size = static_cast<std::int64_t>(file_bytes);
  if (size == cursor_.offset) return {};
  if (size < cursor_.offset) return start_over(file, update);
  const std::int64_t begin = cursor_.offset - static_cast<std::int64_t>(cursor_.tail.size());
  TERA_TRY(const std::string bytes, read_range(file, begin, size));
  if (!bytes.starts_with(cursor_.tail)) return start_over(file, update);

  std::string_view rest = std::string_view(bytes).substr(cursor_.tail.size());
  for (auto newline = rest.find('\n'); newline != std::string_view::npos;
       newline = rest.find('\n')) {
    ++cursor_.line;
    take_line(file, rest.substr(0, newline), update);
    rest.remove_prefix(newline + 1);
  }
  const std::size_t whole = bytes.size() - rest.size();
  cursor_.offset = begin + static_cast<std::int64_t>(whole);
  const std::size_t tail = std::min(whole, kTailBytes);
  cursor_.tail = bytes.substr(whole - tail, tail);
  return {};
}

// The file is not the one that was read before: everything is read again by the next poll.
Result<void> MetricReader::start_over(const fs::path& file, Update& update) {
  add_problem(update, fmt::format("{}: was cut or replaced while it was read; reading it again",
                                  file.string()));
  update.records.clear();
  update.replaced_from_step = 0;
  cursor_ = Cursor{};
  last_step_ = -1;
  delivered_step_ = -1;
  TERA_TRY(const std::vector<AttemptFile> files, attempt_files(dir_));
  for (const AttemptFile& each : files)
    TERA_TRY_VOID(read_attempt(each.attempt, each.path, update));
  return {};
}

void MetricReader::take_line(const fs::path& file, std::string_view line, Update& update) {
  if (line.empty()) return;
  Result<MetricRecord> record =
      line.size() <= kMaxLineBytes
          ? parse_json_line(line)
          : Result<MetricRecord>(
                fail(ErrorCode::corrupt,
                     fmt::format("got {} bytes, expected at most {}", line.size(), kMaxLineBytes)));
  if (!record) {
    add_problem(update,
                fmt::format("{}:{}: {}", file.string(), cursor_.line, record.error().message));
    return;
  }
  deliver(std::move(*record), update);
}

void MetricReader::deliver(MetricRecord record, Update& update) {
  if (record.step <= last_step_) {
    const auto replaced =
        std::find_if(update.records.begin(), update.records.end(),
                     [&](const MetricRecord& held) { return held.step >= record.step; });
    update.records.erase(replaced, update.records.end());
    if (record.step <= delivered_step_) {
      delivered_step_ = record.step - 1;
      update.replaced_from_step = record.step;
    }
  }
  last_step_ = record.step;
  update.records.push_back(std::move(record));
}

Result<std::optional<MetricRecord>> last_record(const fs::path& metrics_dir) {
  TERA_TRY(const std::vector<AttemptFile> files, attempt_files(metrics_dir));
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    TERA_TRY(const std::uint64_t file_bytes, posix_vfs().file_size(file->path));
    const auto size = static_cast<std::int64_t>(file_bytes);
    // Twice as much from the end until a whole record is in it.
    for (std::int64_t span = 64 << 10;; span *= 2) {
      const std::int64_t begin = std::max<std::int64_t>(0, size - span);
      TERA_TRY(const std::string bytes, read_range(file->path, begin, size));
      std::string_view rest = bytes;
      rest = rest.substr(0, rest.rfind('\n') + 1);  // without a torn last line; npos + 1 is 0
      while (!rest.empty()) {
        rest.remove_suffix(1);
        const auto before = rest.rfind('\n');
        if (before == std::string_view::npos && begin > 0) break;  // its begin is further back
        const std::string_view line =
            before == std::string_view::npos ? rest : rest.substr(before + 1);
        if (Result<MetricRecord> record = parse_json_line(line)) return std::move(*record);
        rest = before == std::string_view::npos ? std::string_view() : rest.substr(0, before + 1);
      }
      if (begin == 0 || span > static_cast<std::int64_t>(2 * kMaxLineBytes)) break;
    }
  }
  return std::nullopt;
}

}  // namespace tera::run
