// Trains byte-level BPE: the merges that the `tokenizers` package would find, with 64-bit counts.
// The same text gives the same file for any number of threads.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/base/thread_pool.h"
#include "core/data/tokenizer_file.h"

namespace tera::data {

struct BpeTrainerOptions {
  std::int64_t vocab_size = 4096;  // special tokens and the 256 bytes included
  std::int64_t min_frequency = 2;  // of a pair that is merged
  PreTokenizerKind pre_tokenizer = PreTokenizerKind::llama3;
  std::vector<std::string> special_tokens = {"<|endoftext|>", "<|pad|>"};  // ids from 0
};

class BpeTrainer {
 public:
  // Errors: a vocabulary too small for the bytes, empty or repeated special tokens.
  static Result<BpeTrainer> create(BpeTrainerOptions options, ThreadPool& pool);
  ~BpeTrainer();
  BpeTrainer(BpeTrainer&&) noexcept;

  // Counts the pieces of the texts. May be called often; the order of calls does not matter.
  void add_texts(std::span<const std::string> texts);
  std::int64_t num_pieces() const;      // different ones
  std::int64_t num_piece_uses() const;  // all

  // Called every few merges with (merges done, merges wanted); returning false stops the training.
  using OnProgress = std::function<bool(std::int64_t, std::int64_t)>;
  // Merges the most frequent pair, ties to the lower (left id, right id), until the vocabulary is
  // full or no pair is frequent enough. A pair whose join spells a special token is never merged.
  Result<TokenizerFile> train(const OnProgress& on_progress = {});

 private:
  struct State;
  explicit BpeTrainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tera::data
