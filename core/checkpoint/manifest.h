// Manifest: the catalog of a checkpoint, and COMMIT, the line that proves the manifest. Reading is
// strict: what FORMAT.md does not allow is refused by name, before a byte of it is used.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/checkpoint/checkpoint.h"

namespace tera::checkpoint {

inline constexpr std::string_view kFormat = "tgck/1";
inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr std::string_view kCommitName = "COMMIT";
inline constexpr std::uint64_t kMaxManifestBytes = std::uint64_t{64} << 20;
inline constexpr std::uint64_t kMaxCommitBytes = 256;

// A part of a tensor, stored contiguously, row-major: elements [offset, offset + size) of each dim.
struct Box {
  std::int64_t tensor = 0;  // index into Manifest::tensors
  std::vector<std::int64_t> offset, size;
  std::int64_t file = 0;  // index into Manifest::files
  std::uint64_t file_offset = 0;
  std::uint64_t num_bytes = 0;
};

struct FileEntry {
  std::string name;  // "shard-00000.safetensors"
  std::uint64_t num_bytes = 0;
  std::string whole_hex;              // XXH3-128
  std::vector<std::uint64_t> blocks;  // XXH3-64 of each block
};

struct Manifest {
  std::string save_id;  // 32 hex digits, new for every save
  CheckpointState state;
  std::vector<TensorInfo> tensors;
  std::vector<FileEntry> files;
  std::vector<Box> boxes;                           // by tensor
  std::vector<std::vector<std::int64_t>> boxes_of;  // box indices of each tensor
};

std::string to_json(const Manifest& manifest);
// Everything FORMAT.md demands holds afterwards: boxes lie inside their tensor and file, do not
// overlap and cover the tensor; names are unique and plain.
Result<Manifest> parse_manifest(std::string_view text);

struct Commit {
  std::string manifest_hex;  // XXH3-128 of manifest.json
  std::uint64_t manifest_bytes = 0;
  std::int64_t step = 0;
  std::string save_id;
};
std::string to_line(const Commit& commit);
Result<Commit> parse_commit(std::string_view line);

// Bytes of a tensor or box of this shape, or an error when a dim is negative or the product does
// not fit.
Result<std::int64_t> checked_bytes(const std::vector<std::int64_t>& shape, DType dtype);

}  // namespace tera::checkpoint
