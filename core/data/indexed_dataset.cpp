#include "core/data/indexed_dataset.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "core/base/check.h"

namespace tera::data {
namespace {

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::string_view kOldMagic("TNTIDX\0\0", 8);
constexpr std::int64_t kHeaderBytes = 34;
constexpr std::int64_t kMaxSequences = std::int64_t{1} << 40;  // 20 TB of index: a damaged count

std::string type_refusal(int code) {
  if (code == 6 || code == 7) {
    return fmt::format(
        "dtype code {} is a float type (and Megatron-LM and GPT-NeoX disagree on which)", code);
  }
  return fmt::format("dtype code {}", code);
}

}  // namespace

int token_bytes(TokenType type) {
  switch (type) {
    case TokenType::u16:
      return 2;
    case TokenType::i32:
      return 4;
    case TokenType::i64:
      return 8;
  }
  return 0;
}

TokenType token_type_for_vocab(std::int64_t vocab_size) {
  return vocab_size < 65500 ? TokenType::u16 : TokenType::i32;
}

template <class T>
T IndexedDataset::load(std::int64_t offset) const {
  T value;  // the tables are not aligned: 34 + 4 S
  std::memcpy(&value, index_.bytes().data() + offset, sizeof value);
  return value;
}

Result<IndexedDataset> IndexedDataset::open(const std::filesystem::path& prefix,
                                            const Manifest* manifest,
                                            VerifyOnRead verify) {
  IndexedDataset dataset;
  dataset.prefix_ = prefix;
  TERA_TRY(dataset.index_, MappedFile::open(with_suffix(prefix, ".idx")));
  TERA_TRY(dataset.tokens_, ReadFile::open(with_suffix(prefix, ".bin")));
  if (manifest != nullptr) {
    const FileEntry* idx = manifest->file(".idx");
    const FileEntry* bin = manifest->file(".bin");
    if (idx == nullptr || bin == nullptr) {
      return fail(ErrorCode::corrupt,
                  fmt::format("{}.tgd.json: names no .bin and .idx file", prefix.string()));
    }
    if (bin->bytes != dataset.tokens_.size_bytes()) {
      return fail(ErrorCode::corrupt,
                  fmt::format("{}.bin: got {} bytes, expected {} (from the manifest)",
                              prefix.string(), dataset.tokens_.size_bytes(), bin->bytes),
                  "restore the file or tokenize again");
    }
    if (verify == VerifyOnRead::first) {
      FileEntry beside = *idx;
      beside.path = with_suffix(prefix, ".idx").filename().string();
      TERA_TRY_VOID(verify_file(prefix.parent_path(), beside, true));
      dataset.expected_ = *bin;
      dataset.block_verified_ = std::make_unique<std::atomic<bool>[]>(bin->block_xxh3.size());
    }
  }
  TERA_TRY_VOID(dataset.check_header());
  TERA_TRY_VOID(dataset.check_tables());
  return dataset;
}

Result<void> IndexedDataset::check_header() {
  const std::string path = with_suffix(prefix_, ".idx").string();
  const auto size = static_cast<std::int64_t>(index_.bytes().size());
  const std::string_view text = index_.text();
  if (text.starts_with(kOldMagic)) {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: is in the old lazy or cached format (magic TNTIDX)", path),
                "convert it with the framework that wrote it, or tokenize again");
  }
  if (size < kHeaderBytes || !text.starts_with(kMagic)) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: is not an index of token files: expected magic MMIDIDX and at "
                            "least {} bytes, got {} bytes",
                            path, kHeaderBytes, size));
  }
  if (const auto version = load<std::uint64_t>(9); version != 1) {
    return fail(ErrorCode::unsupported, fmt::format("{}: version {}, expected 1", path, version));
  }
  const int code = static_cast<int>(load<std::uint8_t>(17));
  if (code != 4 && code != 5 && code != 8) {
    return fail(ErrorCode::unsupported, fmt::format("{}: {}, expected 8 (u16), 4 (i32) or 5 (i64)",
                                                    path, type_refusal(code)));
  }
  type_ = static_cast<TokenType>(code);
  const auto sequences = load<std::uint64_t>(18);
  const auto documents = load<std::uint64_t>(26);
  if (sequences > kMaxSequences || documents > kMaxSequences) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {} sequences and {} document indices", path,
                                                sequences, documents));
  }
  num_sequences_ = static_cast<std::int64_t>(sequences);
  const auto indices = static_cast<std::int64_t>(documents);
  const std::int64_t want = kHeaderBytes + 12 * num_sequences_ + 8 * indices;
  if (size != want && size != want + num_sequences_) {  // one mode byte each when multimodal
    return fail(
        ErrorCode::corrupt,
        fmt::format("{}: got {} bytes, expected {} for {} sequences and {} document indices", path,
                    size, want, num_sequences_, indices));
  }
  if (indices == 0) {
    return fail(ErrorCode::corrupt, fmt::format("{}: no document indices", path));
  }
  if (indices == 1 && num_sequences_ > 0) {
    sequences_are_documents_ = true;
    note_ = fmt::format(
        "{}: has no document boundaries (as files merged by GPT-NeoX); each of the "
        "{} sequences is read as one document",
        path, num_sequences_);
  }
  num_documents_ = sequences_are_documents_ ? num_sequences_ : indices - 1;
  return {};
}

Result<void> IndexedDataset::check_tables() {
  const std::string path = with_suffix(prefix_, ".idx").string();
  const std::int64_t width = token_bytes(type_);
  std::int64_t expected = 0;
  for (std::int64_t s = 0; s < num_sequences_; ++s) {
    const auto length = load<std::int32_t>(kHeaderBytes + 4 * s);
    const auto pointer = load<std::int64_t>(kHeaderBytes + 4 * num_sequences_ + 8 * s);
    if (length < 0 || pointer != expected) {
      return fail(
          ErrorCode::corrupt,
          fmt::format("{}: sequence {}: length {} at byte {}, expected a length of 0 or more "
                      "at byte {}",
                      path, s, length, pointer, expected),
          pointer != expected ? "the pointers overflowed or the files do not belong together" : "");
    }
    expected += length * width;
  }
  if (expected != tokens_.size_bytes()) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: got {} bytes, expected {} from its index", tokens_.path().string(),
                            tokens_.size_bytes(), expected),
                "the file is incomplete or belongs to another index");
  }
  num_tokens_ = expected / width;
  if (sequences_are_documents_) return {};
  std::int64_t previous = 0;
  for (std::int64_t d = 0; d <= num_documents_; ++d) {
    const std::int64_t first = document_sequence(d);
    const bool ends_right =
        (d > 0 || first == 0) && (d < num_documents_ || first == num_sequences_);
    if (first < previous || first > num_sequences_ || !ends_right) {
      return fail(
          ErrorCode::corrupt,
          fmt::format("{}: document index {} is {}, expected between {} and {}, the first 0 "
                      "and the last {}",
                      path, d, first, previous, num_sequences_, num_sequences_));
    }
    previous = first;
  }
  return {};
}

std::int64_t IndexedDataset::sequence_start(std::int64_t s) const {
  TERA_DCHECK(s >= 0 && s <= num_sequences_, "sequence {} of {}", s, num_sequences_);
  if (s == num_sequences_) return num_tokens_;
  return load<std::int64_t>(kHeaderBytes + 4 * num_sequences_ + 8 * s) / token_bytes(type_);
}

std::int64_t IndexedDataset::document_sequence(std::int64_t d) const {
  TERA_DCHECK(d >= 0 && d <= num_documents_, "document {} of {}", d, num_documents_);
  if (sequences_are_documents_) return d;
  return load<std::int64_t>(kHeaderBytes + 12 * num_sequences_ + 8 * d);
}

std::int64_t IndexedDataset::document_of_token(std::int64_t token) const {
  TERA_CHECK(token >= 0 && token < num_tokens_, "token {} of {}", token, num_tokens_);
  std::int64_t low = 0;  // document_start(low) <= token < document_start(high)
  std::int64_t high = num_documents_;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (document_start(middle) <= token ? low : high) = middle;
  }
  return low;
}

Result<void> IndexedDataset::verify_blocks(std::int64_t first_byte, std::int64_t last_byte) const {
  if (block_verified_ == nullptr || first_byte == last_byte) return {};
  const std::int64_t size = expected_.block_bytes;
  for (std::int64_t block = first_byte / size; block <= (last_byte - 1) / size; ++block) {
    const auto slot = static_cast<std::size_t>(block);
    if (block_verified_[slot].load(std::memory_order_acquire)) continue;
    const std::int64_t begin = block * size;
    const std::int64_t end = std::min(begin + size, expected_.bytes);
    Xxh3 hash;
    std::vector<std::byte> buffer(1 << 20);
    for (std::int64_t at = begin; at < end;) {
      const std::span<std::byte> piece(buffer.data(),
                                       static_cast<std::size_t>(std::min<std::int64_t>(
                                           static_cast<std::int64_t>(buffer.size()), end - at)));
      TERA_TRY_VOID(tokens_.read_at(at, piece));
      hash.update(piece);
      at += std::ssize(piece);
    }
    if (hash.value() != expected_.block_xxh3[slot]) {
      return fail(ErrorCode::corrupt,
                  fmt::format("{}: block {} (bytes {} to {}): expected XXH3 {}, got {}",
                              tokens_.path().string(), block, begin, end,
                              to_hex(expected_.block_xxh3[slot]), to_hex(hash.value())),
                  "the file was changed or damaged: restore it or tokenize again");
    }
    block_verified_[slot].store(true, std::memory_order_release);
  }
  return {};
}

Result<void> IndexedDataset::read_tokens(std::int64_t first, std::span<std::int32_t> out) const {
  const std::int64_t count = std::ssize(out);
  TERA_CHECK(first >= 0 && first + count <= num_tokens_, "tokens {} to {} of {}", first,
             first + count, num_tokens_);
  const std::int64_t width = token_bytes(type_);
  TERA_TRY_VOID(verify_blocks(first * width, (first + count) * width));
  if (type_ == TokenType::i32) {
    return tokens_.read_at(first * width, std::as_writable_bytes(out));
  }
  if (type_ == TokenType::u16) {
    // Read into the upper half of the output and widen forwards: the reader stays ahead of the
    // writer.
    auto* raw = reinterpret_cast<std::byte*>(out.data()) + count * 2;
    TERA_TRY_VOID(tokens_.read_at(first * width, {raw, static_cast<std::size_t>(count) * 2}));
    for (std::int64_t i = 0; i < count; ++i) {
      std::uint16_t id;
      std::memcpy(&id, raw + 2 * i, sizeof id);
      out[static_cast<std::size_t>(i)] = id;
    }
    return {};
  }
  std::vector<std::int64_t> wide(out.size());
  TERA_TRY_VOID(tokens_.read_at(first * width, std::as_writable_bytes(std::span(wide))));
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if (wide[i] < 0 || wide[i] > std::numeric_limits<std::int32_t>::max()) {
      return fail(ErrorCode::corrupt, fmt::format("{}: token {} is {}, expected 0 to 2147483647",
                                                  tokens_.path().string(),
                                                  first + static_cast<std::int64_t>(i), wide[i]));
    }
    out[i] = static_cast<std::int32_t>(wide[i]);
  }
  return {};
}

}  // namespace tera::data
