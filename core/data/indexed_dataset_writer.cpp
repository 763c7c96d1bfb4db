#include <limits>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/data/indexed_dataset.h"

namespace tera::data {

// Hashes a file while it is written: the entry of the manifest costs no second reading.
class IndexedDatasetWriter::Hasher {
 public:
  void update(std::span<const std::byte> bytes) {
    sha256_.update(bytes);
    while (!bytes.empty()) {
      const auto room = static_cast<std::size_t>(entry_.block_bytes - in_block_);
      const auto piece = bytes.first(std::min(room, bytes.size()));
      block_.update(piece);
      in_block_ += std::ssize(piece);
      entry_.bytes += std::ssize(piece);
      if (in_block_ == entry_.block_bytes) end_block();
      bytes = bytes.subspan(piece.size());
    }
  }

  FileEntry finish(const std::filesystem::path& path) {
    if (in_block_ > 0) end_block();
    entry_.path = path.filename().string();
    entry_.sha256 = sha256_.hex();
    return entry_;
  }

 private:
  void end_block() {
    entry_.block_xxh3.push_back(block_.value());
    block_.reset();
    in_block_ = 0;
  }

  FileEntry entry_;
  Sha256 sha256_;
  Xxh3 block_;
  std::int64_t in_block_ = 0;
};

std::string index_bytes(TokenType type,
                        std::span<const std::int32_t> lengths,
                        std::span<const std::int64_t> document_sequences) {
  std::string bytes("MMIDIDX\0\0", 9);
  bytes.reserve(34 + lengths.size() * 12 + document_sequences.size() * 8);
  append_le(bytes, std::uint64_t{1});
  append_le(bytes, static_cast<std::uint8_t>(type));
  append_le(bytes, static_cast<std::uint64_t>(lengths.size()));
  append_le(bytes, static_cast<std::uint64_t>(document_sequences.size()));
  for (const std::int32_t length : lengths)
    append_le(bytes, length);
  std::int64_t pointer = 0;
  for (const std::int32_t length : lengths) {
    append_le(bytes, pointer);
    pointer += std::int64_t{length} * token_bytes(type);
  }
  for (const std::int64_t first : document_sequences)
    append_le(bytes, first);
  return bytes;
}

IndexedDatasetWriter::IndexedDatasetWriter(Vfs& vfs, std::filesystem::path prefix, TokenType type)
    : prefix_(std::move(prefix)),
      type_(type),
      bin_part_(vfs, with_suffix(prefix_, ".bin.part")),
      idx_part_(vfs, with_suffix(prefix_, ".idx.part")),
      hasher_(std::make_unique<Hasher>()) {}

IndexedDatasetWriter::~IndexedDatasetWriter() = default;

Result<std::unique_ptr<IndexedDatasetWriter>> IndexedDatasetWriter::create(
    Vfs& vfs, const std::filesystem::path& prefix, TokenType type) {
  std::unique_ptr<IndexedDatasetWriter> writer(new IndexedDatasetWriter(vfs, prefix, type));
  TERA_TRY(writer->bin_, writer->bin_part_.open());
  return writer;
}

Result<void> IndexedDatasetWriter::flush() {
  const std::span<const std::byte> bytes = as_bytes(buffer_);
  hasher_->update(bytes);
  TERA_TRY_VOID(bin_->append(bytes));
  buffer_.clear();
  return {};
}

Result<void> IndexedDatasetWriter::add_sequence(std::span<const std::int32_t> tokens) {
  if (std::ssize(tokens) > std::numeric_limits<std::int32_t>::max()) {
    return fail(ErrorCode::unsupported,
                fmt::format("a sequence of {} tokens, expected at most 2147483647", tokens.size()),
                "split the document");
  }
  const std::int32_t largest = type_ == TokenType::u16 ? std::numeric_limits<std::uint16_t>::max()
                                                       : std::numeric_limits<std::int32_t>::max();
  for (const std::int32_t id : tokens) {
    TERA_CHECK(id >= 0 && id <= largest, "token id {}, expected 0 to {}", id, largest);
    switch (type_) {
      case TokenType::u16:
        append_le(buffer_, static_cast<std::uint16_t>(id));
        break;
      case TokenType::i32:
        append_le(buffer_, id);
        break;
      case TokenType::i64:
        append_le(buffer_, std::int64_t{id});
        break;
    }
  }
  lengths_.push_back(static_cast<std::int32_t>(tokens.size()));
  num_tokens_ += std::ssize(tokens);
  constexpr std::size_t kFlushBytes = 4 << 20;
  return buffer_.size() >= kFlushBytes ? flush() : Result<void>{};
}

void IndexedDatasetWriter::end_document() {
  document_sequences_.push_back(num_sequences());
}

Result<IndexedDatasetWriter::Files> IndexedDatasetWriter::finish() {
  TERA_CHECK(document_sequences_.back() == num_sequences(),
             "{} sequences written, but the last document ends at {}", num_sequences(),
             document_sequences_.back());
  TERA_TRY_VOID(flush());
  TERA_TRY_VOID(bin_->sync());
  TERA_TRY_VOID(bin_->close());
  Files files{.bin = hasher_->finish(with_suffix(prefix_, ".bin")), .idx = {}};
  const std::string index = index_bytes(type_, lengths_, document_sequences_);
  Hasher hasher;
  hasher.update(as_bytes(index));
  files.idx = hasher.finish(with_suffix(prefix_, ".idx"));
  TERA_TRY_VOID(idx_part_.write(index));
  return files;
}

Result<void> IndexedDatasetWriter::publish() {
  TERA_TRY_VOID(bin_part_.publish(with_suffix(prefix_, ".bin")));
  return idx_part_.publish(with_suffix(prefix_, ".idx"));
}

}  // namespace tera::data
