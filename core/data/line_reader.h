// Lines of a text file, with their place; bounded, so that a file without newlines cannot eat
// memory.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/mapped_file.h"

namespace tera::data {

class LineReader {
 public:
  static constexpr std::int64_t kMaxLineBytes = 64 << 20;

  static Result<LineReader> open(const std::filesystem::path& path);
  // The next line without its newline, valid until the next call; false at the end of the file.
  Result<bool> next(std::string_view& line);
  std::int64_t line_number() const { return line_number_; }  // of the last line, from 1
  std::int64_t line_offset() const { return line_offset_; }  // of the last line, in bytes
  std::int64_t position() const { return position_; }        // bytes consumed
  std::int64_t size_bytes() const { return file_.size_bytes(); }
  // Continues at a byte that begins a line.
  void seek(std::int64_t offset);

 private:
  explicit LineReader(ReadFile file) : file_(std::move(file)) {}
  ReadFile file_;
  std::string buffer_;
  std::size_t begin_ = 0;         // of what is left in buffer_
  std::int64_t read_offset_ = 0;  // of the next byte to read from the file
  std::int64_t position_ = 0;
  std::int64_t line_number_ = 0;
  std::int64_t line_offset_ = 0;
};

}  // namespace tera::data
