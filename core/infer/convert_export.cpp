#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/staged_directory.h"
#include "core/checkpoint/element_convert.h"
#include "core/checkpoint/hugging_face.h"
#include "core/checkpoint/hugging_face_writer.h"
#include "core/checkpoint/saved_spec.h"
#include "core/checkpoint/weights.h"
#include "core/data/tokenizer.h"
#include "core/infer/compare_weights.h"
#include "core/infer/convert.h"
#include "core/infer/convert_parts.h"
#include "core/infer/load_model.h"
#include "core/infer/tokenizer_files.h"
#include "core/plan/param_table.h"
#include "core/spec/export.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;
using checkpoint::HuggingFaceModel;
using checkpoint::Reader;
using checkpoint::TensorInfo;

// Of the tokenizer; of the files beside it when it is not one of ours.
Result<void> set_special_tokens(Vfs& vfs,
                                const fs::path& tokenizer,
                                spec::HuggingFaceExportOptions& options) {
  if (tokenizer.empty()) return {};
  const Result<data::Tokenizer> loaded = data::Tokenizer::load(tokenizer);
  if (loaded) {
    options.begin_token_id = loaded->start_id();
    options.end_token_id = loaded->eod_id();
    return {};
  }
  if (loaded.error().code == ErrorCode::not_found) return tl::unexpected<Error>(loaded.error());
  TERA_TRY(const data::SpecialTokens special,
           data::read_special_tokens(vfs, tokenizer.parent_path(), nullptr));
  options.begin_token_id = special.bos;
  options.end_token_id = special.eos.empty() ? -1 : special.eos.front();
  return {};
}

Result<void> export_tokenizer(Vfs& vfs,
                              const fs::path& tokenizer,
                              const fs::path& out,
                              const spec::ModelConfig& model,
                              std::vector<Diagnostic>& notes) {
  if (tokenizer.empty()) {
    notes.push_back({.severity = Severity::warning,
                     .field = kTokenizerName,
                     .message = "the checkpoint names none, so none was written",
                     .hint = "name one with --tokenizer FILE"});
    return {};
  }
  TERA_TRY_VOID(copy_tokenizer_files(vfs, tokenizer.parent_path(), out));
  if (tokenizer.filename() != kTokenizerName) {
    TERA_TRY(const std::string text, read_text(vfs, tokenizer, 64 << 20));
    TERA_TRY_VOID(write_file_atomic(vfs, out / kTokenizerName, text));
  }
  return complete_tokenizer_files(vfs, out, model.max_position_embeddings);
}

// Whether writing bf16 rounds anything: biases of the router stay f32 in the files.
bool holds_f32(const std::vector<TensorInfo>& weights) {
  return std::any_of(weights.begin(), weights.end(), [](const TensorInfo& info) {
    return info.dtype == DType::f32 && !info.name.ends_with("router.bias");
  });
}

// Every tensor read back from the files is the checkpoint's, rounded as asked for: exact.
Result<void> expect_same_weights(const Reader& reader,
                                 const std::vector<TensorInfo>& weights,
                                 const HuggingFaceModel& written) {
  for (const TensorInfo& info : written.tensors()) {
    const auto stored = std::find_if(weights.begin(), weights.end(), [&](const TensorInfo& weight) {
      return weight.name == info.name;
    });
    TERA_CHECK(stored != weights.end(), "{} was written from nothing", info.name);
    std::vector<std::byte> expected(static_cast<std::size_t>(stored->num_bytes()));
    TERA_TRY_VOID(reader.read(*stored, expected.data()));
    if (stored->dtype != info.dtype)
      expected = checkpoint::convert_elements(expected, stored->dtype, info.dtype);
    TERA_TRY(const std::vector<std::byte> got, written.read(info));
    if (got != expected) {
      return fail(ErrorCode::failed,
                  fmt::format("{} reads back differently: the result was thrown away", info.name),
                  "this is a bug: please report it with the model's spec");
    }
  }
  return {};
}

}  // namespace

Result<fs::path> tokenizer_of(Vfs& vfs, const Reader& reader) {
  const fs::path beside = reader.path().parent_path().parent_path() / kTokenizerName;
  TERA_TRY(const bool present, vfs.exists(beside));
  if (present) return beside;
  TERA_TRY(const spec::RunSpec spec, checkpoint::saved_spec(reader));
  return fs::path(spec.data.tokenizer);
}

Result<Converted> export_hugging_face(Vfs& vfs,
                                      const Reader& reader,
                                      const fs::path& out,
                                      const ExportOptions& options) {
  TERA_TRY_VOID(checkpoint::refuse_adapters(reader));
  TERA_TRY(const spec::RunSpec spec, checkpoint::saved_spec(reader));
  TERA_TRY(const std::vector<TensorInfo> weights,
           checkpoint::stored_weights(reader, options.weights));
  fs::path tokenizer = options.tokenizer;
  if (tokenizer.empty()) {
    TERA_TRY(tokenizer, tokenizer_of(vfs, reader));
  }
  const bool bf16 =
      options.bf16.value_or(plan::compute_dtype(spec.training.precision) == DType::bf16);
  const std::string source = source_config(reader);
  spec::HuggingFaceExportOptions written_as{.bf16 = bf16, .source_config = source};
  if (source.empty()) TERA_TRY_VOID(set_special_tokens(vfs, tokenizer, written_as));
  TERA_TRY(spec::HuggingFaceExport config, spec::export_hugging_face(spec.model, written_as));
  Converted converted{.family = config.family,
                      .num_params = plan::count_params(config.model).total,
                      .notes = std::move(config.notes)};
  TERA_TRY(StagedDirectory staged, StagedDirectory::create(vfs, out));
  const checkpoint::HuggingFaceWriteOptions write{
      .weights = options.weights,
      .bf16 = bf16,
      .fused_experts = options.fused_experts,
      .max_shard_bytes = options.max_shard_bytes,
      .progress = [&](std::int64_t done, std::int64_t total) {
        return options.convert.report("convert", done, total);
      }};
  TERA_TRY_VOID(checkpoint::write_hugging_face(vfs, staged.path(), reader, config, write));
  TERA_TRY_VOID(export_tokenizer(vfs, tokenizer, staged.path(), spec.model, converted.notes));
  if (options.convert.verify) {
    TERA_TRY(const HuggingFaceModel written, HuggingFaceModel::open(vfs, staged.path()));
    TERA_TRY_VOID(expect_same_weights(reader, weights, written));
    // Both in the type of the files, so that only what conversion changed can differ.
    TERA_TRY(
        converted.difference,
        compare_weights(
            config.model, bf16 ? DType::bf16 : DType::f32, options.convert.num_threads,
            [&](nn::ParamStore& params) { return load_weights(reader, params, options.weights); },
            [&](nn::ParamStore& params) { return load_weights(written, params); },
            [&](auto done, auto total) { return options.convert.report("verify", done, total); }));
    if (!bf16 || !holds_f32(weights)) TERA_TRY_VOID(expect_same_logits(converted));
  }
  TERA_TRY(converted.files, files_below(vfs, staged.path()));
  TERA_TRY_VOID(staged.publish());
  return converted;
}

}  // namespace tera::infer
