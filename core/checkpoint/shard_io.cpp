#include "core/checkpoint/shard_io.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/checkpoint/file_hasher.h"
#include "core/checkpoint/safetensors.h"

namespace tera::checkpoint {
namespace {

constexpr std::uint64_t kAlignment = 4096;
constexpr std::uint64_t kReadBlocks = 8;                        // blocks read at once
constexpr std::uint64_t kWriteBytes = std::uint64_t{16} << 20;  // appended at once

std::uint64_t align_up(std::uint64_t value) {
  return (value + kAlignment - 1) / kAlignment * kAlignment;
}

// "weight/layers.0.norm@0,128": unique in a checkpoint.
std::string entry_name(const TensorInfo& info, const Box& box) {
  return fmt::format("{}/{}@{}", info.role, info.name, fmt::join(box.offset, ","));
}

// The boxes of one tensor: all of it, or runs of rows that fit into a shard.
std::vector<Box> cut(const TensorInfo& info, std::int64_t tensor, std::uint64_t max_shard_bytes) {
  const auto total = static_cast<std::uint64_t>(info.num_bytes());
  Box whole{.tensor = tensor, .offset = {}, .size = info.shape, .num_bytes = total};
  whole.offset.assign(info.shape.size(), 0);
  if (total <= max_shard_bytes || info.shape.empty()) return {whole};
  const std::int64_t num_rows = info.shape.front();
  const std::uint64_t row_bytes = total / static_cast<std::uint64_t>(num_rows);
  const auto rows_per_box =
      static_cast<std::int64_t>(std::max<std::uint64_t>(1, max_shard_bytes / row_bytes));
  std::vector<Box> boxes;
  for (std::int64_t row = 0; row < num_rows; row += rows_per_box) {
    Box& box = boxes.emplace_back(whole);
    box.offset.front() = row;
    box.size.front() = std::min(rows_per_box, num_rows - row);
    box.num_bytes = row_bytes * static_cast<std::uint64_t>(box.size.front());
  }
  return boxes;
}

// Header of a safetensors file, padded with spaces so that the data starts aligned. The format
// wants no holes between entries, so the gaps before aligned boxes are entries too, of bytes that
// are zero.
std::string make_header(const Manifest& manifest, const ShardPlan& plan, std::uint64_t data_begin) {
  std::vector<SafetensorsEntry> entries;
  std::uint64_t end = data_begin;
  for (const std::int64_t index : plan.boxes) {
    const Box& box = manifest.boxes[static_cast<std::size_t>(index)];
    const TensorInfo& info = manifest.tensors[static_cast<std::size_t>(box.tensor)];
    if (box.file_offset > end) {
      entries.push_back({.name = fmt::format("padding/{}", end - data_begin),
                         .dtype = "U8",
                         .shape = {static_cast<std::int64_t>(box.file_offset - end)},
                         .begin = end - data_begin,
                         .end = box.file_offset - data_begin});
    }
    end = box.file_offset + box.num_bytes;
    entries.push_back({.name = entry_name(info, box),
                       .dtype = std::string(safetensors_dtype(info.dtype)),
                       .shape = box.size,
                       .begin = box.file_offset - data_begin,
                       .end = end - data_begin});
  }
  const SafetensorsMetadata metadata = {{"checkpoint", std::string(kFormat)},
                                        {"format", "pt"},  // what loaders of other projects ask for
                                        {"step", std::to_string(manifest.state.step)}};
  return make_safetensors_header(entries, metadata, kAlignment);
}

// Offsets in the header count from the data's begin, so its text depends only on relative places:
// boxes are placed from 0 first and moved behind the header when its size is known.
void finish_plan(Manifest& manifest, ShardPlan& plan) {
  plan.header = make_header(manifest, plan, 0);
  plan.num_bytes = plan.header.size();
  for (const std::int64_t index : plan.boxes) {
    Box& box = manifest.boxes[static_cast<std::size_t>(index)];
    box.file_offset += plan.header.size();
    plan.num_bytes = box.file_offset + box.num_bytes;
  }
}

class ShardWriter {
 public:
  explicit ShardWriter(std::unique_ptr<WritableFile> file) : file_(std::move(file)) {}

  Result<void> append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min<std::uint64_t>(bytes.size(), kWriteBytes));
      hasher_.update(piece);
      TERA_TRY_VOID(file_->append(piece));
      bytes = bytes.subspan(piece.size());
    }
    return {};
  }
  Result<void> pad_to(std::uint64_t offset) {
    static constexpr std::array<std::byte, kAlignment> kZeros{};
    return append(std::span(kZeros).first(offset - hasher_.num_bytes()));
  }
  Result<void> finish() {
    TERA_TRY_VOID(file_->sync());
    return file_->close();
  }
  const FileHasher& hasher() const { return hasher_; }

 private:
  std::unique_ptr<WritableFile> file_;
  FileHasher hasher_;
};

// What stands in bytes [begin, end) of a file, for messages.
std::string contents_of(const Manifest& manifest,
                        std::int64_t file,
                        std::uint64_t begin,
                        std::uint64_t end) {
  std::string names;
  int more = 0;
  for (const Box& box : manifest.boxes) {
    if (box.file != file || box.file_offset >= end || box.file_offset + box.num_bytes <= begin) {
      continue;
    }
    const TensorInfo& info = manifest.tensors[static_cast<std::size_t>(box.tensor)];
    if (names.size() > 200) {
      ++more;
    } else {
      names += fmt::format("{}{}/{} at {}", names.empty() ? "" : ", ", info.role, info.name,
                           box.file_offset);
    }
  }
  if (more > 0) names += fmt::format(" and {} more", more);
  return names.empty() ? "header or padding" : names;
}

}  // namespace

std::vector<ShardPlan> plan_shards(Manifest& manifest, std::uint64_t max_shard_bytes) {
  std::vector<ShardPlan> plans;
  manifest.boxes.clear();
  manifest.boxes_of.assign(manifest.tensors.size(), {});
  std::uint64_t end = 0;  // of the data in the shard that is being filled
  for (std::size_t tensor = 0; tensor < manifest.tensors.size(); ++tensor) {
    const TensorInfo& info = manifest.tensors[tensor];
    for (Box& box : cut(info, static_cast<std::int64_t>(tensor), max_shard_bytes)) {
      if (plans.empty() || (end > 0 && align_up(end) + box.num_bytes > max_shard_bytes)) {
        plans.emplace_back();
        end = 0;
      }
      const auto index = static_cast<std::int64_t>(manifest.boxes.size());
      box.file = static_cast<std::int64_t>(plans.size()) - 1;
      box.file_offset = align_up(end);
      end = box.file_offset + box.num_bytes;
      plans.back().boxes.push_back(index);
      manifest.boxes_of[tensor].push_back(index);
      manifest.boxes.push_back(std::move(box));
    }
  }
  for (ShardPlan& plan : plans)
    finish_plan(manifest, plan);
  return plans;
}

Result<FileEntry> write_shard(
    Vfs& vfs,
    const std::filesystem::path& path,
    const ShardPlan& plan,
    const Manifest& manifest,
    const std::function<Result<std::span<const std::byte>>(const Box&)>& data_of) {
  TERA_TRY(std::unique_ptr<WritableFile> file, vfs.open_write(path, Vfs::Mode::create_new));
  ShardWriter writer(std::move(file));
  TERA_TRY_VOID(writer.append(std::as_bytes(std::span(plan.header))));
  for (const std::int64_t index : plan.boxes) {
    const Box& box = manifest.boxes[static_cast<std::size_t>(index)];
    TERA_TRY(const std::span<const std::byte> data, data_of(box));
    TERA_CHECK(data.size() == box.num_bytes, "box has {} bytes, its data {}", box.num_bytes,
               data.size());
    TERA_TRY_VOID(writer.pad_to(box.file_offset));
    TERA_TRY_VOID(writer.append(data));
  }
  TERA_TRY_VOID(writer.finish());
  // Seen from outside: what the file system says must be what was written.
  TERA_TRY(const std::uint64_t size, vfs.file_size(path));
  if (size != plan.num_bytes || size != writer.hasher().num_bytes()) {
    return fail(ErrorCode::io, fmt::format("{}: has {} bytes after writing, expected {}",
                                           path.string(), size, plan.num_bytes));
  }
  return FileEntry{.name = path.filename().string(),
                   .num_bytes = size,
                   .whole_hex = writer.hasher().whole_hex(),
                   .blocks = writer.hasher().blocks()};
}

Result<void> read_checked(Vfs& vfs,
                          const std::filesystem::path& dir,
                          const Manifest& manifest,
                          std::int64_t file,
                          std::uint64_t begin,
                          std::uint64_t end,
                          const std::function<void(std::span<const std::byte>)>& take) {
  const FileEntry& entry = manifest.files[static_cast<std::size_t>(file)];
  std::uint64_t at = begin / kBlockBytes * kBlockBytes;
  while (at < end) {
    const std::uint64_t stop = std::min({at + kReadBlocks * kBlockBytes, entry.num_bytes,
                                         (end + kBlockBytes - 1) / kBlockBytes * kBlockBytes});
    TERA_TRY(const std::vector<std::byte> bytes, vfs.read(dir / entry.name, at, stop - at));
    const std::span<const std::byte> all(bytes);
    for (std::uint64_t block = at; block < stop; block += kBlockBytes) {
      const std::uint64_t size = std::min(kBlockBytes, stop - block);
      const std::uint64_t got = xxh3_64(all.subspan(block - at, size));
      const std::uint64_t expected = entry.blocks[block / kBlockBytes];
      if (got != expected) {
        return fail(
            ErrorCode::corrupt,
            fmt::format("{}: block {} (bytes {} to {}; {}) is damaged: checksum {:016x}, expected "
                        "{:016x}",
                        (dir / entry.name).string(), block / kBlockBytes, block, block + size,
                        contents_of(manifest, file, block, block + size), got, expected),
            "use another checkpoint; `teragpt ckpt list` shows them");
      }
    }
    const std::uint64_t first = std::max(at, begin);
    const std::uint64_t last = std::min(stop, end);
    take(all.subspan(first - at, last - first));
    at = stop;
  }
  return {};
}

std::vector<BoxPiece> pieces_of(const Box& box,
                                const TensorInfo& info,
                                std::span<const ElementRun> runs) {
  // The trailing dims that the box spans whole, and one more, are side by side in both.
  std::size_t outer = info.shape.size();  // dims before it are stepped through
  std::int64_t together = 1;
  while (outer > 0) {
    --outer;
    together *= box.size[outer];
    if (box.size[outer] != info.shape[outer]) break;
  }
  std::vector<BoxPiece> pieces;
  const auto width = static_cast<std::uint64_t>(dtype_bytes(info.dtype));
  const auto bytes = [width](std::int64_t elements) {
    return static_cast<std::uint64_t>(elements) * width;
  };
  const auto stored = static_cast<std::int64_t>(box.num_bytes / width);
  std::vector<std::int64_t> index = box.offset;
  for (std::int64_t done = 0; done < stored; done += together) {
    std::int64_t first = 0;  // element of the tensor
    for (std::size_t dim = 0; dim < index.size(); ++dim)
      first = first * info.shape[dim] + index[dim];
    auto run = std::upper_bound(
        runs.begin(), runs.end(), first,
        [](std::int64_t at, const ElementRun& of) { return at < of.from + of.count; });
    for (; run != runs.end() && run->from < first + together; ++run) {
      const std::int64_t from = std::max(first, run->from);
      const std::int64_t last = std::min(first + together, run->from + run->count);
      if (from < last) {
        pieces.push_back({bytes(done + from - first), bytes(done + last - first),
                          bytes(run->to + from - run->from)});
      }
    }
    for (std::size_t dim = outer; dim-- > 0;) {
      if (++index[dim] < box.offset[dim] + box.size[dim]) break;
      index[dim] = box.offset[dim];
    }
  }
  return pieces;
}

Result<void> read_pieces(Vfs& vfs,
                         const std::filesystem::path& dir,
                         const Manifest& manifest,
                         const Box& box,
                         std::span<const BoxPiece> pieces,
                         std::byte* destination) {
  const auto block_of = [&box](std::uint64_t byte) {
    return (box.file_offset + byte) / kBlockBytes;
  };
  while (!pieces.empty()) {
    std::size_t count = 1;  // in neighbouring blocks
    while (count < pieces.size() &&
           block_of(pieces[count].begin) <= block_of(pieces[count - 1].end - 1) + 1)
      ++count;
    auto piece = pieces.begin();
    const auto end = piece + static_cast<std::ptrdiff_t>(count);
    std::uint64_t at = piece->begin;
    TERA_TRY_VOID(read_checked(vfs, dir, manifest, box.file, box.file_offset + at,
                               box.file_offset + (end - 1)->end,
                               [&](std::span<const std::byte> bytes) {
                                 const std::uint64_t stop = at + bytes.size();
                                 for (; piece != end && piece->begin < stop; ++piece) {
                                   const std::uint64_t from = std::max(at, piece->begin);
                                   const std::uint64_t last = std::min(stop, piece->end);
                                   std::memcpy(destination + piece->to + (from - piece->begin),
                                               bytes.data() + (from - at), last - from);
                                   if (piece->end > stop) break;
                                 }
                                 at = stop;
                               }));
    pieces = pieces.subspan(count);
  }
  return {};
}

}  // namespace tera::checkpoint
