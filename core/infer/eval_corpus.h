// Loss over token files: how well the model predicts text it may not have seen.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/data/tokenizer.h"
#include "core/nn/model.h"

namespace tera::infer {

struct CorpusLoss {
  double loss = 0;        // nats per token
  double perplexity = 0;  // exp(loss)
  // Of the text the tokens stand for; the ends of documents are predicted too and stand for none.
  std::optional<double> bits_per_byte = {};  // absent without a tokenizer
  std::int64_t tokens = 0;                   // predicted
  std::int64_t bytes = 0;
};

struct CorpusOptions {
  std::string prefix = {};      // of the token files
  std::string split = "valid";  // train, valid, test
  int seq_length = 0;           // tokens a window reads; windows do not overlap
  bool cross_document_attention = false;
  std::int64_t limit = 0;                      // windows; 0 = all
  const data::Tokenizer* tokenizer = nullptr;  // must be the files'
  // (done, total); false stops with an error.
  std::function<bool(std::int64_t, std::int64_t)> on_progress = {};
};

// Every token of the split is predicted once but the first, and the first of each document unless
// documents see each other. Windows are those of training's held-out loss, and what is left behind
// the last. Errors: no such files, another tokenizer, ids that the model lacks, an empty split.
Result<CorpusLoss> corpus_loss(nn::Model& model, const CorpusOptions& options);

// Loss of sequences of ids, each token but the first of each; logits [S, V] f32 of each in turn go
// to on_logits if it is there (they are a second pass, and large). Errors (invalid_input) name the
// sequence: shorter than 2 tokens, longer than the context, an id that the model lacks; logits of a
// model whose experts choose their tokens.
Result<CorpusLoss> sequence_loss(
    nn::Model& model,
    std::span<const std::vector<std::int32_t>> sequences,
    const data::Tokenizer* tokenizer,
    const std::function<Result<void>(const Tensor& logits)>& on_logits);

}  // namespace tera::infer
