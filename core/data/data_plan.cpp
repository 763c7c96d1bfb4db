#include "core/data/data_plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/vfs.h"
#include "core/data/tokenizer.h"

namespace tera::data {
namespace {

// Windows of L + 1 tokens that overlap by one.
std::int64_t num_windows(std::int64_t tokens, int seq_length) {
  return tokens > 0 ? (tokens - 1) / seq_length : 0;
}

Result<void> check_tokenizer(const spec::RunSpec& spec,
                             const std::vector<const Manifest*>& manifests) {
  for (std::size_t i = 0; i < manifests.size(); ++i) {
    const TokenizerEntry& entry = manifests[i]->tokenizer;
    if (entry.vocab > spec.model.vocab_size) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("model.vocab_size: {} is smaller than the vocabulary of {} ({} ids)",
                              spec.model.vocab_size, spec.data.datasets[i].path, entry.vocab),
                  fmt::format("set model.vocab_size to at least {}", entry.vocab));
    }
    if (entry.sha256 != manifests.front()->tokenizer.sha256) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("data.datasets: {} and {} were made with different tokenizers "
                              "({} and {})",
                              spec.data.datasets.front().path, spec.data.datasets[i].path,
                              manifests.front()->tokenizer.sha256, entry.sha256),
                  "tokenize them again with one tokenizer");
    }
  }
  if (spec.data.tokenizer.empty()) return {};
  TERA_TRY(const Tokenizer tokenizer, Tokenizer::load(spec.data.tokenizer));
  const std::string& expected = manifests.front()->tokenizer.sha256;
  if (tokenizer.sha256() != expected) {
    return fail(ErrorCode::invalid_input,
                fmt::format("data.tokenizer: {} has fingerprint {}, but {} was made with {}",
                            spec.data.tokenizer, tokenizer.sha256(),
                            spec.data.datasets.front().path, expected),
                "name the tokenizer.json that the token files were made with");
  }
  return {};
}

}  // namespace

Result<HashChain> HashChain::parse(std::string_view hex) {
  HashChain chain;
  if (hex.empty()) return chain;
  if (hex.size() != 32 || hex.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return fail(ErrorCode::invalid_input,
                fmt::format("hash chain \"{}\": expected 32 hex digits, or nothing at step 0", hex),
                "`teragpt data verify-order` prints one per step");
  }
  chain.value_.high = std::stoull(std::string(hex.substr(0, 16)), nullptr, 16);
  chain.value_.low = std::stoull(std::string(hex.substr(16)), nullptr, 16);
  return chain;
}

void HashChain::advance(std::string_view step_bytes) {
  value_ = xxh3_128(canonical_bytes(value_) + canonical_bytes(xxh3_128(step_bytes)));
}

Result<void> read_window(const IndexedDataset& files,
                         std::int64_t first,
                         const WindowOptions& options,
                         Sample& sample) {
  const auto length = static_cast<std::size_t>(options.seq_length);
  sample.tokens.resize(length + 1);
  TERA_TRY_VOID(files.read_tokens(first, sample.tokens));
  const auto largest = std::max_element(sample.tokens.begin(), sample.tokens.end());
  if (*largest >= options.model_vocab) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}.bin: token {} has id {}, expected below model.vocab_size = {}",
                            files.prefix().string(), first + (largest - sample.tokens.begin()),
                            *largest, options.model_vocab),
                "the token files belong to another tokenizer");
  }
  sample.first_key.assign(length, 0);
  sample.targets.assign(sample.tokens.begin() + 1, sample.tokens.end());
  sample.num_targets = options.seq_length;
  if (options.cross_document_attention) return {};
  const std::int64_t end = first + options.seq_length + 1;
  std::int64_t d = files.document_of_token(first) + 1;
  std::int64_t previous = first;
  for (; d < files.num_documents(); ++d) {
    const std::int64_t start = files.document_start(d);
    if (start >= end) break;
    if (start == previous) continue;  // an empty document
    const auto at = static_cast<std::size_t>(start - first);
    sample.targets[at - 1] = -1;
    --sample.num_targets;
    std::fill(sample.first_key.begin() + static_cast<std::ptrdiff_t>(std::min(at, length)),
              sample.first_key.end(), static_cast<std::int32_t>(at));
    previous = start;
  }
  return {};
}

Result<DataPlan::Opened> DataPlan::open_dataset(const spec::DatasetConfig& config, int seq_length) {
  const std::filesystem::path prefix(config.path);
  const std::filesystem::path manifest_file = with_suffix(prefix, ".tgd.json");
  TERA_TRY(const bool present, posix_vfs().exists(manifest_file));
  if (!present) {
    return fail(ErrorCode::not_found,
                fmt::format("data.datasets: no token files at {}: {} does not exist", config.path,
                            manifest_file.filename().string()),
                "make them with `teragpt data tokenize`, or name the prefix of files that exist");
  }
  TERA_TRY(Manifest manifest, Manifest::load(manifest_file));
  if (manifest.kind != ManifestKind::dataset) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: describes documents, not token files", config.path),
                "run `teragpt data tokenize` first");
  }
  const std::string id = manifest.id();
  if (!config.manifest.empty() && config.manifest != id) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("{}: manifest id is {}, the spec expects {}", config.path, id, config.manifest),
        "the dataset is another one: restore it, or accept it by changing the spec");
  }
  TERA_TRY(IndexedDataset files, IndexedDataset::open(prefix, &manifest));
  if (files.num_sequences() != manifest.sequences || files.num_tokens() != manifest.tokens) {
    return fail(
        ErrorCode::corrupt,
        fmt::format("{}: got {} sequences and {} tokens, expected {} and {} (from the manifest)",
                    config.path, files.num_sequences(), files.num_tokens(), manifest.sequences,
                    manifest.tokens));
  }
  Opened opened{.manifest = std::move(manifest), .id = id, .files = std::move(files)};
  const auto tokens_of = [&](const SequenceRange& range) {
    return opened.files.sequence_start(range.last) - opened.files.sequence_start(range.first);
  };
  const SequenceRange& train = opened.manifest.splits[0];
  const SequenceRange& valid = opened.manifest.splits[1];
  opened.train_begin = opened.files.sequence_start(train.first);
  opened.valid_begin = opened.files.sequence_start(valid.first);
  opened.train_windows = num_windows(tokens_of(train), seq_length);
  opened.valid_windows = num_windows(tokens_of(valid), seq_length);
  if (opened.train_windows < 1 && config.weight > 0) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("{}: the train split has {} tokens, expected at least {} for one sequence "
                    "of training.seq_length = {}",
                    config.path, tokens_of(train), seq_length + 1, seq_length),
        "use more text or a shorter training.seq_length");
  }
  return opened;
}

Result<DataPlan> DataPlan::open(const spec::RunSpec& spec) {
  if (spec.data.datasets.empty()) {
    return fail(ErrorCode::invalid_input, "data.datasets: got none, expected at least one dataset",
                "make one with `teragpt data tokenize`");
  }
  if (spec.training.seq_length < 1 || spec.training.global_batch_size < 1) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("training.seq_length is {} and training.global_batch_size {}, expected at "
                    "least 1",
                    spec.training.seq_length, spec.training.global_batch_size));
  }
  std::vector<Opened> datasets;
  std::vector<OrderDataset> in_order;
  std::vector<OrderStage> stages(1);
  std::vector<const Manifest*> manifests;
  for (const spec::DatasetConfig& config : spec.data.datasets) {
    TERA_TRY(Opened opened, open_dataset(config, spec.training.seq_length));
    in_order.push_back({opened.id, opened.train_windows});
    stages.front().weights.push_back(config.weight);
    datasets.push_back(std::move(opened));
  }
  manifests.reserve(datasets.size());
  for (const Opened& opened : datasets)
    manifests.push_back(&opened.manifest);
  TERA_TRY_VOID(check_tokenizer(spec, manifests));
  for (const spec::BlendStage& stage : spec.data.blend_stages) {
    stages.push_back({stage.from_sample, stage.weights});
  }
  TERA_TRY(TrainingOrder order,
           TrainingOrder::create(spec.seed, std::move(in_order), std::move(stages)));
  DataPlan plan(std::move(order));
  plan.vocab_size_ = static_cast<std::int32_t>(datasets.front().manifest.tokenizer.vocab);
  plan.datasets_ = std::move(datasets);
  plan.training_ = spec.training;
  plan.seq_length_ = spec.training.seq_length;
  plan.model_vocab_ = spec.model.vocab_size;
  plan.cross_document_attention_ = spec.data.cross_document_attention;
  return plan;
}

Result<void> DataPlan::read_window(const Opened& dataset,
                                   std::int64_t first_token,
                                   Sample& sample) const {
  return data::read_window(dataset.files, first_token,
                           {.seq_length = seq_length_,
                            .model_vocab = model_vocab_,
                            .cross_document_attention = cross_document_attention_},
                           sample);
}

Result<void> DataPlan::read_sample(std::int64_t g, BlockTable& table, Sample& sample) const {
  const SampleRef ref = order_.sample(g, table);
  const Opened& dataset = datasets_[static_cast<std::size_t>(ref.dataset)];
  return read_window(dataset, dataset.train_begin + ref.window * seq_length_, sample);
}

std::int64_t DataPlan::num_held_out() const {
  std::int64_t count = 0;
  for (const Opened& dataset : datasets_)
    count += dataset.valid_windows;
  return count;
}

Result<void> DataPlan::read_held_out(std::int64_t x, Sample& sample) const {
  TERA_CHECK(x >= 0 && x < num_held_out(), "held-out window {} of {}", x, num_held_out());
  // Round w takes window w of every dataset that has so many.
  for (std::int64_t round = 0;; ++round) {
    std::int64_t in_round = 0;
    for (const Opened& dataset : datasets_)
      in_round += dataset.valid_windows > round ? 1 : 0;
    if (x >= in_round) {
      x -= in_round;
      continue;
    }
    for (const Opened& dataset : datasets_) {
      if (dataset.valid_windows > round && x-- == 0) {
        return read_window(dataset, dataset.valid_begin + round * seq_length_, sample);
      }
    }
  }
}

std::string DataPlan::plan_hash() const {
  const std::string ramp =
      training_.has_batch_ramp()
          ? fmt::format("rampup {} {} {}\n", training_.rampup_batch_size,
                        training_.rampup_increment, training_.rampup_tokens)
          : std::string();
  return sha256_hex(fmt::format(
      "{}seq_length {}\nglobal_batch_size {}\n{}cross_document_attention {}\n",
      order_.description(), seq_length_, training_.global_batch_size, ramp,
      cross_document_attention_));
}

std::vector<std::string> DataPlan::notes() const {
  std::vector<std::string> notes;
  for (const Opened& dataset : datasets_) {
    if (!dataset.files.note().empty()) notes.push_back(dataset.files.note());
  }
  return notes;
}

}  // namespace tera::data
