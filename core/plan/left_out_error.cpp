#include "core/plan/left_out_error.h"

#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/base/csv.h"
#include "core/base/resources.h"
#include "core/base/vfs.h"
#include "core/spec/scalars.h"

namespace tera::plan {
namespace {

constexpr const char* kFile = "validation/left_out.csv";
constexpr const char* kHint = "write it anew: teragpt validate CSV --calibrate CSV --left-out FILE";

// As summarize() names them.
constexpr std::string_view kDense = "dense, determined";
constexpr std::string_view kExperts = "experts";

tl::unexpected<Error> wrong(int line, std::string_view got, std::string_view expected) {
  return fail(ErrorCode::corrupt,
              fmt::format("{}:{}: got '{}', expected {}", kFile, line, got.substr(0, 32), expected),
              kHint);
}

Result<double> number(const CsvCell& cell) {
  double value = 0;
  const Result<void> read = spec::assign_scalar(Field{.name = "error", .min = 0}, cell.text, value);
  if (!read) return wrong(cell.line, cell.text, "a number of at least 0");
  return value;
}

}  // namespace

Result<LeftOutError> read_left_out_error(std::string_view text, bool has_experts) {
  const auto records = parse_csv(text);
  if (!records)
    return fail(ErrorCode::corrupt,
                fmt::format("{}:{}: {}", kFile, records.error().line, records.error().message),
                kHint);
  const std::string_view wanted = has_experts ? kExperts : kDense;
  for (const CsvRecord& record : *records) {
    if (record.front().text != wanted) continue;
    if (record.size() != 4)
      return wrong(record.front().line, fmt::format("{} cells", record.size()),
                   "kind, rows, mean and median");
    TERA_TRY(const double rows, number(record[1]));
    TERA_TRY(const double mean, number(record[2]));
    TERA_TRY(const double median, number(record[3]));
    return LeftOutError{static_cast<int>(rows), mean, median};
  }
  return fail(ErrorCode::corrupt, fmt::format("{}: no row '{}'", kFile, wanted), kHint);
}

Result<LeftOutError> left_out_error(bool has_experts) {
  TERA_TRY(const auto path, resource_path(kFile));
  constexpr std::uint64_t kMaxBytes = 1 << 16;
  TERA_TRY(const std::string text, read_text(posix_vfs(), path, kMaxBytes));
  return read_left_out_error(text, has_experts);
}

std::string left_out_text(const ValidationReport& report) {
  std::string text = "kind,rows,mean_error,median_error\n";
  for (const ValidationSummary& s : report.classes) {
    if (s.name != kDense && s.name != kExperts) continue;
    text += fmt::format("\"{}\",{},{:.4f},{:.4f}\n", s.name, s.time.count, s.time.mean_absolute,
                        s.time.median_absolute);
  }
  return text;
}

}  // namespace tera::plan
