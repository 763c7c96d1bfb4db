// Shards: safetensors files that anyone can read, written with checksums and read back block by
// block.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/checkpoint/manifest.h"

namespace tera::checkpoint {

// What one shard file will hold, known before a byte is written.
struct ShardPlan {
  std::string header;               // 8-byte length, JSON, padding: the file up to the first tensor
  std::vector<std::int64_t> boxes;  // indices into Manifest::boxes, in file order
  std::uint64_t num_bytes = 0;      // of the whole file
};

// Cuts tensors into boxes of at most max_shard_bytes (rows of dim 0; a single row may be larger),
// fills manifest.boxes and boxes_of with their places, and returns the files that hold them. The
// data of every box starts at a multiple of 4 KiB of its file.
std::vector<ShardPlan> plan_shards(Manifest& manifest, std::uint64_t max_shard_bytes);

// Writes and fsyncs one shard; data_of returns the bytes of a box, used before its next call.
Result<FileEntry> write_shard(
    Vfs& vfs,
    const std::filesystem::path& path,
    const ShardPlan& plan,
    const Manifest& manifest,
    const std::function<Result<std::span<const std::byte>>(const Box&)>& data_of);

// Reads bytes [begin, end) of a file in whole blocks and checks each block before any of it goes to
// `take`, piece by piece in order. The error names file, block and the tensors in it.
Result<void> read_checked(Vfs& vfs,
                          const std::filesystem::path& dir,
                          const Manifest& manifest,
                          std::int64_t file,
                          std::uint64_t begin,
                          std::uint64_t end,
                          const std::function<void(std::span<const std::byte>)>& take);

// Bytes [begin, end) of a box, and the byte of the destination they go to.
struct BoxPiece {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t to = 0;
  bool operator==(const BoxPiece&) const = default;
};
// What the box holds of the runs, which ascend in the tensor without overlap; ascending in the box.
std::vector<BoxPiece> pieces_of(const Box& box,
                                const TensorInfo& info,
                                std::span<const ElementRun> runs);

// Reads the pieces of a box, and of its file no block that holds none of them.
Result<void> read_pieces(Vfs& vfs,
                         const std::filesystem::path& dir,
                         const Manifest& manifest,
                         const Box& box,
                         std::span<const BoxPiece> pieces,
                         std::byte* destination);

}  // namespace tera::checkpoint
