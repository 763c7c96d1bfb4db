#include "core/infer/eval_corpus.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "core/base/vfs.h"
#include "core/data/data_plan.h"
#include "core/infer/generate.h"

namespace tera::infer {
namespace {

constexpr std::array<std::string_view, 3> kSplits = {"train", "valid", "test"};

// Sums of all windows so far.
struct Sums {
  double loss = 0;
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;

  void count(std::span<const std::int32_t> targets, const data::Tokenizer* tokenizer) {
    for (const std::int32_t target : targets) {
      if (target < 0) continue;
      ++tokens;
      if (tokenizer != nullptr && !tokenizer->is_special(target))
        bytes += std::ssize(tokenizer->token_bytes(target));
    }
  }
  CorpusLoss result(bool with_bytes) const {
    CorpusLoss result{.loss = loss / static_cast<double>(tokens), .tokens = tokens, .bytes = bytes};
    result.perplexity = std::exp(result.loss);
    if (with_bytes && bytes > 0)
      result.bits_per_byte = loss / static_cast<double>(bytes) / std::numbers::ln2;
    return result;
  }
};

Tensor upload(Backend& backend,
              std::span<const std::int32_t> values,
              std::initializer_list<std::int64_t> shape) {
  Tensor tensor = Tensor::empty(backend, shape, DType::i32, MemoryKind::workspace);
  std::copy(values.begin(), values.end(), tensor.data<std::int32_t>());
  return tensor;
}

double window_loss(nn::Model& model, const data::Sample& sample) {
  Backend& backend = model.backend();
  const auto length = static_cast<int>(sample.targets.size());
  std::vector<std::int32_t> positions;
  for (std::int32_t i = 0; i < length; ++i)
    positions.push_back(i - sample.first_key[static_cast<std::size_t>(i)]);
  const nn::Batch batch{
      .batch_size = 1,
      .seq_length = length,
      .tokens = upload(backend, std::span(sample.tokens).first(sample.targets.size()), {length}),
      .targets = upload(backend, sample.targets, {length}),
      .positions = upload(backend, positions, {length}),
      .first_key = upload(backend, sample.first_key, {1, length})};
  nn::Stash stash(backend);
  nn::Pass pass{.batch = batch, .stash = stash};
  return model.forward(pass, false);
}

// Token files with the split that is asked for.
struct Corpus {
  data::Manifest manifest;
  data::IndexedDataset files;
  std::int64_t begin = 0;  // tokens
  std::int64_t end = 0;
};

Result<Corpus> open_corpus(const CorpusOptions& options) {
  const auto split = std::find(kSplits.begin(), kSplits.end(), options.split);
  if (split == kSplits.end()) {
    return fail(ErrorCode::invalid_input, fmt::format("no split '{}'", options.split),
                "use train, valid or test");
  }
  const std::filesystem::path prefix(options.prefix);
  TERA_TRY(data::Manifest manifest, data::Manifest::load(data::with_suffix(prefix, ".tgd.json")));
  if (manifest.kind != data::ManifestKind::dataset) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: describes documents, not token files", options.prefix),
                "run `teragpt data tokenize` first, or score the texts with a task of format text");
  }
  if (options.tokenizer != nullptr && options.tokenizer->sha256() != manifest.tokenizer.sha256) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} was made with another tokenizer ({}) than the one given ({})",
                            options.prefix, manifest.tokenizer.sha256, options.tokenizer->sha256()),
                "name its tokenizer with --tokenizer, or tokenize the text again");
  }
  TERA_TRY(data::IndexedDataset files, data::IndexedDataset::open(prefix, &manifest));
  const data::SequenceRange range =
      manifest.splits[static_cast<std::size_t>(split - kSplits.begin())];
  Corpus corpus{.manifest = std::move(manifest), .files = std::move(files)};
  corpus.begin = corpus.files.sequence_start(range.first);
  corpus.end = corpus.files.sequence_start(range.last);
  if (corpus.end - corpus.begin < 2) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: its {} split has {} tokens, expected at least 2", options.prefix,
                            options.split, corpus.end - corpus.begin),
                "name another --split; `teragpt data tokenize` holds documents out with --valid "
                "and --test");
  }
  return corpus;
}

Result<void> check_sequence(std::span<const std::int32_t> tokens,
                            std::size_t number,
                            const spec::ModelConfig& model) {
  const auto length = std::ssize(tokens);
  if (length < 2 || length > model.max_position_embeddings) {
    return fail(ErrorCode::invalid_input,
                fmt::format("sequence {} has {} tokens, expected 2 to {}", number + 1, length,
                            model.max_position_embeddings),
                "the model predicts each token from those before it, within its context");
  }
  for (const std::int32_t token : tokens) {
    if (token >= 0 && token < model.vocab_size) continue;
    return fail(ErrorCode::invalid_input,
                fmt::format("sequence {} holds token {}, expected 0 to {}", number + 1, token,
                            model.vocab_size - 1),
                "the ids belong to another tokenizer");
  }
  return {};
}

}  // namespace

Result<CorpusLoss> corpus_loss(nn::Model& model, const CorpusOptions& options) {
  TERA_TRY(const Corpus corpus, open_corpus(options));
  const spec::ModelConfig& config = model.config();
  if (options.seq_length < 1 || options.seq_length > config.max_position_embeddings) {
    return fail(ErrorCode::invalid_input,
                fmt::format("windows of {} tokens, expected 1 to {}", options.seq_length,
                            config.max_position_embeddings),
                "choose another --seq");
  }
  const std::int64_t predicted = corpus.end - corpus.begin - 1;
  const std::int64_t all = (predicted + options.seq_length - 1) / options.seq_length;
  const std::int64_t windows = options.limit > 0 ? std::min(all, options.limit) : all;
  Sums sums;
  data::Sample sample;
  for (std::int64_t w = 0; w < windows; ++w) {
    if (options.on_progress && !options.on_progress(w, windows)) {
      return fail(ErrorCode::failed, fmt::format("the loss over {} was stopped", options.prefix),
                  "nothing is reported of a part of it");
    }
    const std::int64_t first = corpus.begin + w * options.seq_length;
    const std::int64_t length = std::min<std::int64_t>(options.seq_length, corpus.end - 1 - first);
    TERA_TRY_VOID(data::read_window(corpus.files, first,
                                    {.seq_length = static_cast<int>(length),
                                     .model_vocab = config.vocab_size,
                                     .cross_document_attention = options.cross_document_attention},
                                    sample));
    sums.loss += window_loss(model, sample);
    sums.count(sample.targets, options.tokenizer);
  }
  if (sums.tokens == 0) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: no token of the {} split has another of its document before it",
                            options.prefix, options.split),
                "the documents are too short to be predicted");
  }
  return sums.result(options.tokenizer != nullptr);
}

Result<CorpusLoss> sequence_loss(
    nn::Model& model,
    std::span<const std::vector<std::int32_t>> sequences,
    const data::Tokenizer* tokenizer,
    const std::function<Result<void>(const Tensor& logits)>& on_logits) {
  if (sequences.empty())
    return fail(ErrorCode::invalid_input, "there are no sequences", "write [[1, 2, 3], [4, 5]]");
  if (on_logits) TERA_TRY_VOID(check_can_decode(model.config()));
  for (std::size_t s = 0; s < sequences.size(); ++s)
    TERA_TRY_VOID(check_sequence(sequences[s], s, model.config()));
  Sums sums;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const std::vector<std::int32_t>& tokens = sequences[s];
    data::Sample sample;
    sample.tokens = tokens;
    sample.targets.assign(tokens.begin() + 1, tokens.end());
    sample.first_key.assign(sample.targets.size(), 0);
    sums.loss += window_loss(model, sample);
    sums.count(sample.targets, tokenizer);
    if (!on_logits) continue;
    nn::KvCache cache = model.make_cache(static_cast<int>(tokens.size()));
    TERA_TRY_VOID(on_logits(model.decode(tokens, cache)));
  }
  return sums.result(tokenizer != nullptr);
}

}  // namespace tera::infer
