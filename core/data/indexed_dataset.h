// PREFIX.bin and PREFIX.idx: token ids back to back, and where each sequence and document begins.
// Byte-exact with the "mmap" format of Megatron-LM and GPT-NeoX; layout in FORMAT.md.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/base/result.h"
#include "core/base/unfinished_file.h"
#include "core/base/vfs.h"
#include "core/data/manifest.h"
#include "core/data/mapped_file.h"

namespace tera::data {

// dtype codes of the .idx header that token files use.
enum class TokenType : std::uint8_t { i32 = 4, i64 = 5, u16 = 8 };
int token_bytes(TokenType type);
// The type a vocabulary is written in: u16 below 65500 entries, else i32 (the rule of Megatron-LM).
TokenType token_type_for_vocab(std::int64_t vocab_size);

// When blocks of .bin are compared with the manifest: on first touch, or never.
enum class VerifyOnRead : std::uint8_t { first, off };

// Reader. Thread-safe. The .idx is mapped and every field of it checked when it is opened; .bin is
// read by position, so that a file cut short under a running job is an error and not a signal.
class IndexedDataset {
 public:
  // With a manifest, .idx is compared with its hashes at once and .bin block by block on first
  // touch.
  static Result<IndexedDataset> open(const std::filesystem::path& prefix,
                                     const Manifest* manifest = nullptr,
                                     VerifyOnRead verify = VerifyOnRead::first);

  std::int64_t num_sequences() const { return num_sequences_; }
  std::int64_t num_documents() const { return num_documents_; }
  std::int64_t num_tokens() const { return num_tokens_; }
  TokenType token_type() const { return type_; }
  // First token of sequence s; s = num_sequences gives num_tokens.
  std::int64_t sequence_start(std::int64_t s) const;
  // First sequence of document d; d = num_documents gives num_sequences.
  std::int64_t document_sequence(std::int64_t d) const;
  std::int64_t document_start(std::int64_t d) const { return sequence_start(document_sequence(d)); }
  // The document that holds a token (the last one that starts at or before it and is not empty).
  std::int64_t document_of_token(std::int64_t token) const;

  // Tokens [first, first + out.size()), widened.
  Result<void> read_tokens(std::int64_t first, std::span<std::int32_t> out) const;

  // Not empty when the file was read in a repaired way: what was wrong and how it was read.
  const std::string& note() const { return note_; }
  const std::filesystem::path& prefix() const { return prefix_; }

 private:
  IndexedDataset() = default;
  Result<void> check_header();
  Result<void> check_tables();
  Result<void> verify_blocks(std::int64_t first_byte, std::int64_t last_byte) const;
  template <class T>
  T load(std::int64_t offset) const;

  std::filesystem::path prefix_;
  MappedFile index_;
  ReadFile tokens_;
  TokenType type_ = TokenType::u16;
  std::int64_t num_sequences_ = 0;
  std::int64_t num_documents_ = 0;
  std::int64_t num_tokens_ = 0;
  bool sequences_are_documents_ = false;
  std::string note_;
  FileEntry expected_;  // of .bin; no blocks when not verified
  std::unique_ptr<std::atomic<bool>[]> block_verified_;
};

// Writer. Appends sequences to PREFIX.bin.part and keeps lengths; finish() writes the index, syncs
// and renames. Destroyed before that, it removes what it wrote.
class IndexedDatasetWriter {
 public:
  static Result<std::unique_ptr<IndexedDatasetWriter>> create(Vfs& vfs,
                                                              const std::filesystem::path& prefix,
                                                              TokenType type);
  ~IndexedDatasetWriter();

  // One sequence; ids must fit the type.
  Result<void> add_sequence(std::span<const std::int32_t> tokens);
  // Ends the document that the sequences since the last call make up.
  void end_document();
  std::int64_t num_sequences() const { return std::ssize(lengths_); }
  std::int64_t num_tokens() const { return num_tokens_; }

  // Writes and syncs both files under their .part names; publish() then renames them.
  struct Files {
    FileEntry bin;
    FileEntry idx;
  };
  Result<Files> finish();
  Result<void> publish();

 private:
  IndexedDatasetWriter(Vfs& vfs, std::filesystem::path prefix, TokenType type);
  Result<void> flush();

  std::filesystem::path prefix_;
  TokenType type_;
  UnfinishedFile bin_part_;
  UnfinishedFile idx_part_;
  std::unique_ptr<WritableFile> bin_;
  std::vector<std::int32_t> lengths_;
  std::vector<std::int64_t> document_sequences_{0};
  std::int64_t num_tokens_ = 0;
  std::string buffer_;
  class Hasher;
  std::unique_ptr<Hasher> hasher_;
};

// The bytes of an .idx: header, lengths, byte offsets, document indices.
std::string index_bytes(TokenType type,
                        std::span<const std::int32_t> lengths,
                        std::span<const std::int64_t> document_sequences);

}  // namespace tera::data
