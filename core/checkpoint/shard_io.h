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

// Puts the bytes of a box, which come in stored order and in pieces of any size, to their places in
// a tensor of this shape.
class BoxWriter {
 public:
  BoxWriter(const Box& box, const TensorInfo& info, std::byte* tensor);
  void append(std::span<const std::byte> piece);

 private:
  void next_run();

  const Box* box_;
  const TensorInfo* info_;
  std::byte* tensor_;
  std::size_t run_dim_;              // dims before it are stepped through, the rest is one run
  std::uint64_t run_bytes_;          // contiguous in the box and in the tensor
  std::vector<std::int64_t> index_;  // of the first element of the current run
  std::uint64_t run_begin_ = 0;      // byte of the tensor where the current run starts
  std::uint64_t run_done_ = 0;
};

}  // namespace tera::checkpoint
