#include "core/data/line_reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/hash.h"

namespace tera::data {

Result<LineReader> LineReader::open(const std::filesystem::path& path) {
  TERA_TRY(ReadFile file, ReadFile::open(path));
  return LineReader(std::move(file));
}

void LineReader::seek(std::int64_t offset) {
  buffer_.clear();
  begin_ = 0;
  read_offset_ = position_ = offset;
}

Result<bool> LineReader::next(std::string_view& line) {
  constexpr std::int64_t kChunk = 1 << 20;
  std::size_t searched = begin_;
  std::size_t newline = buffer_.find('\n', searched);
  while (newline == std::string::npos && read_offset_ < file_.size_bytes()) {
    if (std::ssize(buffer_) - static_cast<std::int64_t>(begin_) > kMaxLineBytes) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}:{}: a line of more than {} bytes", file_.path().string(),
                              line_number_ + 1, kMaxLineBytes),
                  "is it text? cut it into lines of documents");
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched = buffer_.size();
    const auto want = static_cast<std::size_t>(std::min(kChunk, file_.size_bytes() - read_offset_));
    buffer_.resize(searched + want);
    TERA_TRY_VOID(file_.read_at(
        read_offset_, std::as_writable_bytes(std::span(buffer_.data() + searched, want))));
    read_offset_ += static_cast<std::int64_t>(want);
    newline = buffer_.find('\n', searched);
  }
  if (begin_ == buffer_.size()) return false;
  const bool has_newline = newline != std::string::npos;
  const std::size_t end = has_newline ? newline : buffer_.size();
  line = std::string_view(buffer_).substr(begin_, end - begin_);
  line_offset_ = position_;
  ++line_number_;
  begin_ = has_newline ? end + 1 : end;
  position_ = line_offset_ + static_cast<std::int64_t>(line.size()) + (has_newline ? 1 : 0);
  return true;
}

}  // namespace tera::data
