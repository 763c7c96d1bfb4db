#include "core/data/tokenize.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "core/base/hash.h"
#include "core/base/unfinished_file.h"
#include "core/data/document.h"
#include "core/data/indexed_dataset.h"
#include "core/data/line_reader.h"
#include "core/data/output_files.h"
#include "core/data/provenance.h"
#include "core/data/tokenizer.h"
#include "core/data/unicode_class.h"

namespace tera::data {
namespace {

constexpr std::int64_t kBatchBytes = 16 << 20;  // of lines that are tokenized at once
constexpr std::array<std::string_view, 4> kSuffixes = {".bin", ".idx", ".prov", ".tgd.json"};

struct Line {
  std::string text;
  std::int64_t number = 0;
  std::int64_t offset = 0;
};

// What one line became.
struct Encoded {
  std::optional<Error> error;
  int split = 0;
  ProvenanceRecord record;
  std::int64_t utf8_bytes = 0;
  std::vector<std::int32_t> tokens;
};

int split_of(std::string_view text, const TokenizeOptions& options) {
  std::string key;
  append_le(key, options.split_seed);
  append_le(key, xxh3_64(text));
  constexpr double kScale = 1.0 / 9007199254740992.0;  // 2^-53
  const double u = static_cast<double>(xxh3_64(key) >> 11) * kScale;
  if (u < options.valid_share) return 1;
  return u < options.valid_share + options.test_share ? 2 : 0;
}

// The manifest of the documents, or what can be said of a file without one.
Result<Manifest> documents_manifest(const std::filesystem::path& documents) {
  std::filesystem::path beside = documents;
  beside.replace_extension(".docs.json");
  std::error_code ignored;
  if (std::filesystem::exists(beside, ignored)) {
    TERA_TRY(Manifest manifest, Manifest::load(beside));
    const FileEntry* entry = manifest.file(".jsonl");
    if (manifest.kind != ManifestKind::documents || entry == nullptr) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: does not describe documents", beside.string()),
                  "make both again with `teragpt data prepare`, or move it away");
    }
    FileEntry renamed = *entry;
    renamed.path = documents.filename().string();
    TERA_TRY_VOID(verify_file(documents.parent_path(), renamed, true));
    return manifest;
  }
  TERA_TRY(FileEntry entry, describe_file(documents));
  Manifest manifest;
  manifest.kind = ManifestKind::documents;
  Source source;
  source.id = source.title = source.origin_ref = entry.path;
  source.origin_kind = "file";
  source.inputs.push_back({entry.path, entry.sha256, entry.bytes});
  manifest.sources.push_back(std::move(source));
  manifest.files.push_back(std::move(entry));
  return manifest;
}

class Run {
 public:
  Run(Vfs& vfs,
      ThreadPool& pool,
      const TokenizeOptions& options,
      Tokenizer tokenizer,
      Manifest documents)
      : vfs_(vfs),
        pool_(pool),
        options_(options),
        tokenizer_(std::move(tokenizer)),
        documents_(std::move(documents)) {}

  Result<Manifest> execute() {
    TERA_TRY(writer_, IndexedDatasetWriter::create(vfs_, options_.prefix,
                                                   token_type_for_vocab(tokenizer_.vocab_size())));
    TERA_TRY(LineReader lines, LineReader::open(options_.documents));
    TERA_TRY_VOID(write_train(lines));
    ends_[0] = writer_->num_sequences();
    for (int split = 1; split <= 2; ++split) {
      TERA_TRY_VOID(write_held_out(lines, split));
      ends_[static_cast<std::size_t>(split)] = writer_->num_sequences();
    }
    if (writer_->num_sequences() == 0) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: holds no documents", options_.documents.string()),
                  "expected one JSON object per line, as `teragpt data prepare` writes them");
    }
    return publish();
  }

 private:
  // Reads lines up to the size of a batch; empty at the end of the file.
  Result<std::vector<Line>> read_batch(LineReader& lines) {
    std::vector<Line> batch;
    std::int64_t bytes = 0;
    for (std::string_view line; bytes < kBatchBytes;) {
      TERA_TRY(const bool more, lines.next(line));
      if (!more) break;
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      batch.push_back({std::string(line), lines.line_number(), lines.line_offset()});
      bytes += std::ssize(line);
    }
    return batch;
  }

  Encoded encode(const Line& line, bool only_train) const {
    Encoded out;
    Result<Document> document =
        parse_document(line.text, "text", line.number - 1, std::ssize(documents_.sources));
    if (!document) {
      out.error = document.error();
      out.error->message =
          fmt::format("{}:{}: {}", options_.documents.string(), line.number, out.error->message);
      out.error->hint = "expected one JSON object with \"text\" per line";
      return out;
    }
    const std::string& text = document->text;
    out.split = split_of(text, options_);
    out.utf8_bytes = std::ssize(text);
    out.record = {static_cast<std::uint32_t>(document->source),
                  static_cast<std::uint32_t>(out.split),
                  static_cast<std::uint64_t>(document->ordinal), xxh3_64(text)};
    if (only_train && out.split != 0) return out;
    out.tokens = tokenizer_.encode(text);
    out.tokens.push_back(tokenizer_.eod_id());
    return out;
  }

  Result<std::vector<Encoded>> encode_batch(const std::vector<Line>& batch, bool only_train) {
    std::vector<Encoded> encoded(batch.size());
    pool_.parallel_for(std::ssize(batch), [&](std::int64_t task, int) {
      const auto i = static_cast<std::size_t>(task);
      encoded[i] = encode(batch[i], only_train);
    });
    for (const Encoded& one : encoded) {
      if (one.error) return tl::unexpected<Error>(*one.error);
    }
    return encoded;
  }

  Result<void> write(const Encoded& one) {
    TERA_TRY_VOID(writer_->add_sequence(one.tokens));
    writer_->end_document();
    records_.push_back(one.record);
    utf8_bytes_ += one.utf8_bytes;
    return {};
  }

  Result<void> report() {
    if (options_.on_progress &&
        !options_.on_progress(writer_->num_sequences(), documents_.documents)) {
      return fail(ErrorCode::failed, "data tokenize was stopped", "nothing was left behind");
    }
    return {};
  }

  // The first pass: writes train documents and notes where the others are.
  Result<void> write_train(LineReader& lines) {
    while (true) {
      TERA_TRY(const std::vector<Line> batch, read_batch(lines));
      if (batch.empty()) return {};
      TERA_TRY(const std::vector<Encoded> encoded, encode_batch(batch, true));
      for (std::size_t i = 0; i < batch.size(); ++i) {
        if (encoded[i].split == 0) {
          TERA_TRY_VOID(write(encoded[i]));
        } else {
          held_out_[static_cast<std::size_t>(encoded[i].split - 1)].push_back(batch[i].offset);
        }
      }
      TERA_TRY_VOID(report());
    }
  }

  Result<void> write_held_out(LineReader& lines, int split) {
    const std::vector<std::int64_t>& offsets = held_out_[static_cast<std::size_t>(split - 1)];
    for (std::size_t at = 0; at < offsets.size();) {
      std::vector<Line> batch;
      for (std::int64_t bytes = 0; at < offsets.size() && bytes < kBatchBytes; ++at) {
        lines.seek(offsets[at]);
        std::string_view line;
        TERA_TRY([[maybe_unused]] const bool more, lines.next(line));
        batch.push_back({std::string(line), lines.line_number(), offsets[at]});
        bytes += std::ssize(line);
      }
      TERA_TRY(const std::vector<Encoded> encoded, encode_batch(batch, false));
      for (const Encoded& one : encoded)
        TERA_TRY_VOID(write(one));
      TERA_TRY_VOID(report());
    }
    return {};
  }

  Result<Manifest> publish() {
    TERA_TRY(const IndexedDatasetWriter::Files files, writer_->finish());
    Manifest manifest = describe(files);
    const auto name = [&](std::string_view suffix) { return with_suffix(options_.prefix, suffix); };
    UnfinishedFile prov(vfs_, name(".prov.part"));
    TERA_TRY_VOID(prov.write(provenance_bytes(records_)));
    TERA_TRY(FileEntry prov_entry, describe_file(prov.path()));
    prov_entry.path = name(".prov").filename().string();
    manifest.files.push_back(std::move(prov_entry));
    UnfinishedFile described(vfs_, name(".tgd.json.part"));
    TERA_TRY_VOID(described.write(manifest.to_json()));
    // From here nothing needs space: what is replaced goes only when the new is whole on the disk,
    // and without a manifest the other files are no dataset.
    TERA_TRY_VOID(vfs_.remove_all(name(".tgd.json")));
    TERA_TRY_VOID(prov.publish(name(".prov")));
    TERA_TRY_VOID(writer_->publish());
    TERA_TRY_VOID(vfs_.sync_dir(folder_of(options_.prefix)));
    TERA_TRY_VOID(described.publish(name(".tgd.json")));
    TERA_TRY_VOID(vfs_.sync_dir(folder_of(options_.prefix)));
    return manifest;
  }

  Manifest describe(const IndexedDatasetWriter::Files& files) const {
    Manifest manifest;
    manifest.name = options_.prefix.filename().string();
    manifest.created = now_rfc3339();
    manifest.tool_version = options_.tool_version;
    manifest.tokenizer.sha256 = tokenizer_.sha256();
    manifest.tokenizer.name = options_.tokenizer.filename().string();
    manifest.tokenizer.vocab = tokenizer_.vocab_size();
    manifest.tokenizer.eod_id = tokenizer_.eod_id();
    manifest.tokenizer.unicode = unicode_version();
    manifest.documents = manifest.sequences = manifest.eod_tokens = writer_->num_sequences();
    manifest.tokens = writer_->num_tokens();
    manifest.utf8_bytes = utf8_bytes_;
    manifest.files = {files.bin, files.idx};
    manifest.sources = documents_.sources;
    manifest.steps = documents_.steps;
    manifest.datasheet = documents_.datasheet;
    manifest.splits = {SequenceRange{0, ends_[0]}, SequenceRange{ends_[0], ends_[1]},
                       SequenceRange{ends_[1], ends_[2]}};
    for (std::size_t i = 0; i < manifest.sources.size() && documents_.steps.empty(); ++i) {
      manifest.sources[i].documents = manifest.documents;
      manifest.sources[i].utf8_bytes = manifest.utf8_bytes;
    }
    ProcessingStep step;
    step.name = "tokenize";
    step.options = {{"eod", "append"},
                    {"valid_share", fmt::format("{}", options_.valid_share)},
                    {"test_share", fmt::format("{}", options_.test_share)},
                    {"split_by", "hash of seed and text"}};
    step.seed = options_.split_seed;
    step.in = {documents_.files.front().sha256};
    step.out = {files.bin.sha256, files.idx.sha256};
    step.kept = manifest.documents;
    manifest.steps.push_back(std::move(step));
    return manifest;
  }

  Vfs& vfs_;
  ThreadPool& pool_;
  const TokenizeOptions& options_;
  const Tokenizer tokenizer_;
  const Manifest documents_;
  std::unique_ptr<IndexedDatasetWriter> writer_;
  std::array<std::vector<std::int64_t>, 2> held_out_;  // byte offsets of valid and test lines
  std::array<std::int64_t, 3> ends_{};                 // last sequence of each split
  std::vector<ProvenanceRecord> records_;
  std::int64_t utf8_bytes_ = 0;
};

}  // namespace

Result<Manifest> tokenize(Vfs& vfs, ThreadPool& pool, const TokenizeOptions& options) {
  const bool shares_fit = options.valid_share >= 0 && options.test_share >= 0 &&
                          options.valid_share + options.test_share < 1;
  if (!shares_fit) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("data tokenize: {} of the documents for validation and {} for test, expected "
                    "less than 1 together",
                    options.valid_share, options.test_share),
        "hold out less, for example 0.01 and 0.01");
  }
  TERA_TRY_VOID(check_output_files(vfs, options.prefix, kSuffixes, options.overwrite));
  TERA_TRY(Tokenizer tokenizer, Tokenizer::load(options.tokenizer));
  if (tokenizer.eod_id() < 0) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: names no token that ends documents, and has no <|endoftext|>",
                            options.tokenizer.string()),
                "name it as eos_token in a tokenizer_config.json beside it, or train a tokenizer "
                "with `teragpt tok train`");
  }
  TERA_TRY(Manifest documents, documents_manifest(options.documents));
  return Run(vfs, pool, options, std::move(tokenizer), std::move(documents)).execute();
}

}  // namespace tera::data
