// safetensors files: a hardened reader for files from strangers and the one writer of headers.
// Format: u64 header length, JSON header, data without holes. Source: the README of
// github.com/huggingface/safetensors, "Format".
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "kernels/dtype.h"

namespace tera::checkpoint {

// One tensor of a file.
struct SafetensorsEntry {
  std::string name = {};
  std::string dtype = {};  // as the format calls it: "F32", "BF16", "F8_E4M3", ...
  std::vector<std::int64_t> shape = {};
  std::uint64_t begin = 0, end = 0;  // bytes, from the first byte behind the header
  std::uint64_t num_bytes() const { return end - begin; }
};

// The format's name of an element type, and back; nothing for types the engine has no use for.
std::string_view safetensors_dtype(DType dtype);
std::optional<DType> dtype_from_safetensors(std::string_view name);

using SafetensorsMetadata = std::map<std::string, std::string>;

// Length, JSON and padding: the file up to its first data byte, at a multiple of `alignment`.
// Entries stand in file order with their places filled in.
std::string make_safetensors_header(std::span<const SafetensorsEntry> entries,
                                    const SafetensorsMetadata& metadata,
                                    std::uint64_t alignment);

// Sorts entries as the reference writer does (wider element types first, then by name), gives each
// its place, and writes and fsyncs a new file. data_of returns the bytes of an entry; they are used
// before the next call.
Result<void> write_safetensors(
    Vfs& vfs,
    const std::filesystem::path& path,
    std::vector<SafetensorsEntry> entries,
    const SafetensorsMetadata& metadata,
    const std::function<Result<std::span<const std::byte>>(const SafetensorsEntry&)>& data_of);

// An opened file: its header has been checked whole, its data is read tensor by tensor.
class SafetensorsFile {
 public:
  // Errors (corrupt) name the file, the tensor and what of the format does not hold.
  static Result<SafetensorsFile> open(Vfs& vfs, const std::filesystem::path& path);

  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  // in file order
  const SafetensorsMetadata& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }
  Result<std::vector<std::byte>> read(const SafetensorsEntry& entry) const;

 private:
  Vfs* vfs_ = nullptr;
  std::filesystem::path path_;
  std::uint64_t data_begin_ = 0;
  std::vector<SafetensorsEntry> entries_;
  SafetensorsMetadata metadata_;
};

}  // namespace tera::checkpoint
