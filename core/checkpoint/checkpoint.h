// Checkpoints: written whole or not at all, proven by checksums, named by box so that any layout
// can read them. FORMAT.md has the bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "kernels/dtype.h"

namespace tera::checkpoint {

struct TensorInfo {
  std::string name;  // of the ParamTable
  std::string role;  // "weight", "master", "exp_avg", "exp_avg_sq", "router_bias"
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::int64_t num_bytes() const;
  bool operator==(const TensorInfo&) const = default;
};
struct TensorSource {
  TensorInfo info;
  const void* data = nullptr;  // host memory, contiguous
};

struct CheckpointState {  // everything besides tensors, as JSON text; keys sorted
  std::int64_t step = 0;  // steps completed
  std::string json;  // trainer's own: data cursor, hash chain, spec hash, counters, fingerprint
};

struct SaveOptions {
  // A shard file ends before it would grow past this; larger tensors are cut along dim 0.
  std::uint64_t max_shard_bytes = std::uint64_t{16} << 30;
};

// Writes ckpt_dir/step-NNNNNNNNN: temp directory, files with checksums, fsync of files and
// directory, COMMIT, atomic rename, fsync of the parent. On any error the temp directory is
// removed, nothing visible has changed, and the error says what (disk full names need and free
// bytes). A damaged checkpoint of the same step is moved aside; a good one is never replaced.
Result<std::filesystem::path> save(Vfs& vfs,
                                   const std::filesystem::path& ckpt_dir,
                                   const CheckpointState& state,
                                   std::span<const TensorSource> tensors,
                                   const SaveOptions& options = {});

// The same for tensors that are made one by one: `load` returns the bytes of a tensor, which are
// used before its next call, and may return an error, which ends the save.
using TensorLoader = std::function<Result<std::span<const std::byte>>(const TensorInfo&)>;
Result<std::filesystem::path> save(Vfs& vfs,
                                   const std::filesystem::path& ckpt_dir,
                                   const CheckpointState& state,
                                   std::span<const TensorInfo> tensors,
                                   const TensorLoader& load,
                                   const SaveOptions& options = {});

// Elements of a tensor in row-major order, and where they go.
struct ElementRun {
  std::int64_t from = 0;  // in the tensor
  std::int64_t to = 0;    // in the destination
  std::int64_t count = 0;
};

struct Manifest;

class Reader {
 public:
  // Checks COMMIT, the manifest and the size of every file; tensor bytes are checked as they are
  // read.
  static Result<Reader> open(Vfs& vfs, const std::filesystem::path& step_dir);
  const CheckpointState& state() const { return state_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // Fills num_bytes at dst; name, role, dtype and shape must match (error says which differs).
  Result<void> read(const TensorInfo& wanted, void* dst) const;
  // The same of some elements: runs that ascend in the tensor without overlap. Of the files it
  // reads the blocks alone that hold them.
  Result<void> read(const TensorInfo& wanted, std::span<const ElementRun> runs, void* dst) const;
  // Reads and checks every byte of every file; the error names file, block, tensor and offset.
  Result<void> verify() const;
  std::uint64_t num_bytes() const { return num_bytes_; }  // of all files
  const std::filesystem::path& path() const { return dir_; }
  Vfs& vfs() const { return *vfs_; }
  // XXH3-128 over the hashes of all files, 32 hex digits: equal for equal tensors and state of the
  // same step, however often they are saved.
  std::string content_hash() const;

 private:
  Vfs* vfs_ = nullptr;
  std::filesystem::path dir_;
  CheckpointState state_;
  std::vector<TensorInfo> tensors_;
  std::shared_ptr<const Manifest> manifest_;
  std::uint64_t num_bytes_ = 0;
};

struct CheckpointInfo {
  std::int64_t step = 0;
  std::filesystem::path path;
};
// Complete checkpoints (final names), newest first; temp directories are not listed.
Result<std::vector<CheckpointInfo>> list(Vfs& vfs, const std::filesystem::path& ckpt_dir);
// Newest that opens and verifies; reasons for passing over newer ones go to `skipped`.
Result<Reader> open_latest_valid(Vfs& vfs,
                                 const std::filesystem::path& ckpt_dir,
                                 std::vector<std::string>& skipped);
// Keeps the newest keep_last (at least 2) and removes older ones, and whatever unfinished or
// damaged saves left behind. Only the process that may save into ckpt_dir may call it. Returns the
// steps removed.
Result<std::vector<std::int64_t>> prune_steps(Vfs& vfs,
                                              const std::filesystem::path& ckpt_dir,
                                              int keep_last);
Result<void> prune(Vfs& vfs, const std::filesystem::path& ckpt_dir, int keep_last);

}  // namespace tera::checkpoint
