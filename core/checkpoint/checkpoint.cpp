#include "core/checkpoint/checkpoint.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/units.h"
#include "core/checkpoint/file_hasher.h"
#include "core/checkpoint/manifest.h"
#include "core/checkpoint/shard_io.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUseAnother = "use another checkpoint; `teragpt ckpt list` shows them";

std::string step_name(std::int64_t step) {
  return fmt::format("step-{:09}", step);
}

std::string make_save_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

Result<void> check_input(const CheckpointState& state, std::span<const TensorInfo> tensors) {
  if (state.step < 0) {
    return fail(ErrorCode::invalid_input, fmt::format("checkpoint: got step {}", state.step));
  }
  if (!nlohmann::json::accept(state.json)) {
    return fail(ErrorCode::invalid_input, "checkpoint: the state is not JSON");
  }
  std::set<std::pair<std::string_view, std::string_view>> names;
  for (const TensorInfo& info : tensors) {
    TERA_TRY_VOID(checked_bytes(info.shape, info.dtype));
    if (!names.emplace(info.role, info.name).second) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("checkpoint: {}/{} is given twice", info.role, info.name));
    }
  }
  return {};
}

// Refuses before anything is written when the disk cannot hold the save.
Result<void> check_space(Vfs& vfs,
                         const fs::path& dir,
                         const std::vector<ShardPlan>& plans,
                         const Manifest& manifest) {
  constexpr std::uint64_t kPerTensor = 512;  // manifest bytes, generously
  constexpr std::uint64_t kPerBlock = 20;
  std::uint64_t needed =
      2 * manifest.state.json.size() + manifest.boxes.size() * kPerTensor + 65536;
  for (const ShardPlan& plan : plans)
    needed += plan.num_bytes + (plan.num_bytes / kBlockBytes + 1) * kPerBlock;
  TERA_TRY(const std::uint64_t available, vfs.free_bytes(dir));
  if (available >= needed) return {};
  return fail(
      ErrorCode::io,
      fmt::format("cannot save the checkpoint of step {} in {}: needs {}, {} free",
                  manifest.state.step, dir.string(), format_bytes(static_cast<double>(needed)),
                  format_bytes(static_cast<double>(available))),
      "free space on this file system, or keep fewer checkpoints "
      "(training.keep_checkpoints)");
}

Result<void> write_durable(Vfs& vfs, const fs::path& path, std::string_view text) {
  TERA_TRY(const std::unique_ptr<WritableFile> file, vfs.open_write(path, Vfs::Mode::create_new));
  TERA_TRY_VOID(file->append(std::as_bytes(std::span(text.data(), text.size()))));
  TERA_TRY_VOID(file->sync());
  return file->close();
}

// Everything inside the temp directory: shards, manifest, COMMIT, each fsynced, then the names.
Result<void> write_contents(Vfs& vfs,
                            const fs::path& temp,
                            Manifest& manifest,
                            const std::vector<ShardPlan>& plans,
                            const TensorLoader& load) {
  std::int64_t loaded = -1;
  std::span<const std::byte> bytes;  // of the tensor that is loaded
  const auto data_of = [&](const Box& box) -> Result<std::span<const std::byte>> {
    if (loaded != box.tensor) {
      const TensorInfo& info = manifest.tensors[static_cast<std::size_t>(box.tensor)];
      TERA_TRY(bytes, load(info));
      TERA_CHECK(std::ssize(bytes) == info.num_bytes(),
                 "checkpoint: {} bytes for {}/{}, expected {}", bytes.size(), info.role, info.name,
                 info.num_bytes());
      loaded = box.tensor;
    }
    // Boxes are runs of rows of dim 0, so they lie contiguously in the tensor.
    const std::uint64_t rows_before =
        box.offset.empty() ? 0 : static_cast<std::uint64_t>(box.offset.front());
    const std::uint64_t row_bytes =
        box.size.empty() || box.size.front() == 0
            ? 0
            : box.num_bytes / static_cast<std::uint64_t>(box.size.front());
    return bytes.subspan(rows_before * row_bytes, box.num_bytes);
  };
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const fs::path path = temp / fmt::format("shard-{:05}.safetensors", i);
    TERA_TRY(FileEntry file, write_shard(vfs, path, plans[i], manifest, data_of));
    manifest.files.push_back(std::move(file));
  }
  const std::string text = to_json(manifest);
  if (text.size() > kMaxManifestBytes) {
    return fail(ErrorCode::unsupported,
                fmt::format("checkpoint: the manifest has {} bytes, the format allows {}",
                            text.size(), kMaxManifestBytes));
  }
  TERA_TRY_VOID(write_durable(vfs, temp / kManifestName, text));
  const Commit commit{.manifest_hex = to_hex(xxh3_128(text)),
                      .manifest_bytes = text.size(),
                      .step = manifest.state.step,
                      .save_id = manifest.save_id};
  TERA_TRY_VOID(write_durable(vfs, temp / kCommitName, to_line(commit)));
  return vfs.sync_dir(temp);
}

Result<void> publish(Vfs& vfs, const fs::path& temp, const fs::path& final_path) {
  TERA_TRY_VOID(vfs.rename(temp, final_path, true));
  if (Result<void> synced = vfs.sync_dir(final_path.parent_path()); !synced) {
    // The name may not survive a power cut, so it must not be seen either.
    static_cast<void>(vfs.rename(final_path, temp, true));
    return synced;
  }
  return {};
}

// Makes room for the final name: a damaged checkpoint moves aside, a good one stays and is an
// error.
Result<void> move_damaged_aside(Vfs& vfs, const fs::path& final_path, const std::string& save_id) {
  TERA_TRY(const bool present, vfs.exists(final_path));
  if (!present) return {};
  const Result<Reader> reader = Reader::open(vfs, final_path);
  if (reader && reader->verify()) {
    return fail(ErrorCode::failed,
                fmt::format("{} exists and is complete; it is never replaced", final_path.string()),
                "resume the run from it, or start a new run");
  }
  return vfs.rename(final_path, final_path.string() + ".damaged-" + save_id, true);
}

}  // namespace

std::int64_t TensorInfo::num_bytes() const {
  std::int64_t bytes = dtype_bytes(dtype);
  for (const std::int64_t dim : shape)
    bytes *= dim;
  return bytes;
}

Result<fs::path> save(Vfs& vfs,
                      const fs::path& ckpt_dir,
                      const CheckpointState& state,
                      std::span<const TensorSource> tensors,
                      const SaveOptions& options) {
  std::vector<TensorInfo> infos;
  std::map<std::pair<std::string_view, std::string_view>, const void*> data;
  for (const TensorSource& source : tensors) {
    TERA_TRY(const std::int64_t bytes, checked_bytes(source.info.shape, source.info.dtype));
    if (source.data == nullptr && bytes > 0) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("checkpoint: {}/{} has no data", source.info.role, source.info.name));
    }
    infos.push_back(source.info);
    data[{source.info.role, source.info.name}] = source.data;
  }
  const auto load = [&](const TensorInfo& info) -> Result<std::span<const std::byte>> {
    return std::span(static_cast<const std::byte*>(data.at({info.role, info.name})),
                     static_cast<std::size_t>(info.num_bytes()));
  };
  return save(vfs, ckpt_dir, state, infos, load, options);
}

Result<fs::path> save(Vfs& vfs,
                      const fs::path& ckpt_dir,
                      const CheckpointState& state,
                      std::span<const TensorInfo> tensors,
                      const TensorLoader& load,
                      const SaveOptions& options) {
  TERA_TRY_VOID(check_input(state, tensors));
  Manifest manifest;
  manifest.save_id = make_save_id();
  manifest.state = state;
  manifest.tensors.assign(tensors.begin(), tensors.end());
  const std::vector<ShardPlan> plans = plan_shards(manifest, options.max_shard_bytes);

  TERA_TRY_VOID(make_dirs(vfs, ckpt_dir));
  TERA_TRY_VOID(check_space(vfs, ckpt_dir, plans, manifest));
  const fs::path final_path = ckpt_dir / step_name(state.step);
  TERA_TRY_VOID(move_damaged_aside(vfs, final_path, manifest.save_id));

  const fs::path temp = final_path.string() + ".tmp-" + manifest.save_id;
  const auto write = [&]() -> Result<void> {
    TERA_TRY_VOID(vfs.make_dir(temp));
    TERA_TRY_VOID(write_contents(vfs, temp, manifest, plans, load));
    return publish(vfs, temp, final_path);
  };
  if (Result<void> written = write(); !written) {
    static_cast<void>(vfs.remove_all(temp));  // the first error is the one to report
    Error error = std::move(written).error();
    error.message = fmt::format("checkpoint of step {} not saved: {}", state.step, error.message);
    return tl::unexpected<Error>(std::move(error));
  }
  return final_path;
}

Result<Reader> Reader::open(Vfs& vfs, const fs::path& step_dir) {
  const auto in_dir = [&](Error error) {
    error.message = fmt::format("checkpoint {}: {}", step_dir.string(), error.message);
    if (error.code == ErrorCode::not_found && vfs.exists(step_dir).value_or(false))
      error.code = ErrorCode::corrupt;  // the checkpoint is there and lacks one of its files
    if (error.hint.empty()) error.hint = kUseAnother;
    return tl::unexpected<Error>(std::move(error));
  };
  const auto commit_text = read_text(vfs, step_dir / kCommitName, kMaxCommitBytes);
  if (!commit_text) return in_dir(commit_text.error());
  const Result<Commit> commit = parse_commit(*commit_text);
  if (!commit) return in_dir(commit.error());
  const auto text = read_text(vfs, step_dir / kManifestName, kMaxManifestBytes);
  if (!text) return in_dir(text.error());
  if (text->size() != commit->manifest_bytes || to_hex(xxh3_128(*text)) != commit->manifest_hex) {
    return in_dir({ErrorCode::corrupt,
                   fmt::format("manifest.json ({} bytes) is not the one COMMIT names ({} bytes)",
                               text->size(), commit->manifest_bytes),
                   kUseAnother});
  }
  Result<Manifest> manifest = parse_manifest(*text);
  if (!manifest) return in_dir(manifest.error());
  if (manifest->save_id != commit->save_id || manifest->state.step != commit->step) {
    return in_dir({ErrorCode::corrupt, "COMMIT and manifest.json name different saves", {}});
  }
  if (step_dir.filename() != step_name(commit->step)) {
    return in_dir(
        {ErrorCode::corrupt,
         fmt::format("holds step {}, expected the name {}", commit->step, step_name(commit->step)),
         {}});
  }
  Reader reader;
  reader.num_bytes_ = commit_text->size() + text->size();
  for (const FileEntry& file : manifest->files) {
    const Result<std::uint64_t> size = vfs.file_size(step_dir / file.name);
    if (!size) return in_dir(size.error());
    if (*size != file.num_bytes) {
      return in_dir({ErrorCode::corrupt,
                     fmt::format("{} has {} bytes, expected {}", file.name, *size, file.num_bytes),
                     kUseAnother});
    }
    reader.num_bytes_ += *size;
  }
  reader.vfs_ = &vfs;
  reader.dir_ = step_dir;
  reader.state_ = manifest->state;
  reader.tensors_ = manifest->tensors;
  reader.manifest_ = std::make_shared<const Manifest>(std::move(*manifest));
  return reader;
}

Result<void> Reader::read(const TensorInfo& wanted, void* dst) const {
  const ElementRun all{.count = wanted.num_bytes() / dtype_bytes(wanted.dtype)};
  return read(wanted, std::span(&all, 1), dst);
}

Result<void> Reader::read(const TensorInfo& wanted,
                          std::span<const ElementRun> runs,
                          void* dst) const {
  const auto at = std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorInfo& info) {
    return info.name == wanted.name && info.role == wanted.role;
  });
  if (at == tensors_.end()) {
    return fail(ErrorCode::not_found, fmt::format("checkpoint {} holds no {} of {}", dir_.string(),
                                                  wanted.role, wanted.name));
  }
  if (at->dtype != wanted.dtype || at->shape != wanted.shape) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("checkpoint {}: {}/{} is {} [{}], expected {} [{}]", dir_.string(), wanted.role,
                    wanted.name, dtype_name(at->dtype), fmt::join(at->shape, ", "),
                    dtype_name(wanted.dtype), fmt::join(wanted.shape, ", ")),
        "resume with the model and precision the checkpoint was written with");
  }
  const auto tensor = static_cast<std::size_t>(at - tensors_.begin());
  for (const std::int64_t index : manifest_->boxes_of[tensor]) {
    const Box& box = manifest_->boxes[static_cast<std::size_t>(index)];
    TERA_TRY_VOID(read_pieces(*vfs_, dir_, *manifest_, box, pieces_of(box, *at, runs),
                              static_cast<std::byte*>(dst)));
  }
  return {};
}

std::string Reader::content_hash() const {
  std::string hashes;
  for (const FileEntry& file : manifest_->files)
    hashes += file.whole_hex;
  return to_hex(xxh3_128(hashes));
}

Result<void> Reader::verify() const {
  for (std::size_t i = 0; i < manifest_->files.size(); ++i) {
    const FileEntry& file = manifest_->files[i];
    FileHasher hasher;
    TERA_TRY_VOID(read_checked(*vfs_, dir_, *manifest_, static_cast<std::int64_t>(i), 0,
                               file.num_bytes,
                               [&](std::span<const std::byte> piece) { hasher.update(piece); }));
    if (hasher.whole_hex() != file.whole_hex) {
      return fail(ErrorCode::corrupt,
                  fmt::format("{}: checksum {}, expected {}", (dir_ / file.name).string(),
                              hasher.whole_hex(), file.whole_hex));
    }
  }
  return {};
}

}  // namespace tera::checkpoint
