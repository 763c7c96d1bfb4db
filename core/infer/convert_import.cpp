#include <algorithm>
#include <cctype>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/staged_directory.h"
#include "core/checkpoint/hugging_face.h"
#include "core/data/tokenizer.h"
#include "core/infer/compare_weights.h"
#include "core/infer/convert.h"
#include "core/infer/convert_parts.h"
#include "core/infer/load_model.h"
#include "core/infer/tokenizer_files.h"
#include "core/plan/param_table.h"
#include "core/spec/presets.h"
#include "core/spec/yaml.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;
using checkpoint::HuggingFaceModel;
using checkpoint::Reader;
using checkpoint::TensorInfo;

// A name for the run: the directory's, in the letters a run may have.
std::string run_name(const fs::path& dir) {
  std::string name = fs::absolute(dir).lexically_normal().filename().string();
  if (name.empty()) name = fs::absolute(dir).lexically_normal().parent_path().filename().string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.' && c != '-')
      c = '-';
  }
  const std::size_t first = name.find_first_not_of(".-");
  return first == std::string::npos ? "imported" : name.substr(first, 128);
}

bool all_bf16(const HuggingFaceModel& model) {
  return std::all_of(model.tensors().begin(), model.tensors().end(), [](const TensorInfo& info) {
    return info.dtype == DType::bf16 || info.name.ends_with("router.bias");
  });
}

// A first spec for going on with the model; what a person must fill in is the data.
spec::RunSpec spec_of(const HuggingFaceModel& model) {
  spec::RunSpec spec;
  spec.name = run_name(model.path());
  spec.model = model.config().model;
  if (const auto cluster = spec::cluster_preset("this-machine")) spec.cluster = cluster->cluster;
  constexpr int kSequence = 512;
  spec.training.seq_length = std::min(kSequence, spec.model.max_position_embeddings);
  spec.training.learning_rate = 1e-5;  // usual for going on with a trained model
  spec.training.min_learning_rate = 1e-6;
  spec.training.precision = all_bf16(model) ? spec::Precision::bf16 : spec::Precision::fp32;
  return spec;
}

Result<fs::path> write_checkpoint(Vfs& vfs,
                                  const HuggingFaceModel& model,
                                  const spec::RunSpec& spec,
                                  const fs::path& ckpt_dir,
                                  const ConvertOptions& options) {
  std::int64_t total = 0;
  for (const TensorInfo& info : model.tensors())
    total += info.num_bytes();
  std::int64_t done = 0;
  std::vector<std::byte> bytes;  // of the tensor being written
  const auto load = [&](const TensorInfo& info) -> Result<std::span<const std::byte>> {
    if (!options.report("convert", done, total)) {
      return fail(ErrorCode::failed, "import was stopped", "nothing was left behind");
    }
    TERA_TRY(bytes, model.read(info));
    done += info.num_bytes();
    return std::span<const std::byte>(bytes);
  };
  const nlohmann::json state = {{"schema", "teragpt.weights/1"},
                                {"source", "hugging-face"},
                                {"hugging_face_config", model.config_text()},
                                {"spec", spec::to_yaml(spec)},
                                {"step", 0}};
  return checkpoint::save(vfs, ckpt_dir, {.step = 0, .json = state.dump()}, model.tensors(), load);
}

// The tokenizer travels as it is; whether TeraGPT can use it is a note.
Result<void> import_tokenizer(Vfs& vfs,
                              const fs::path& to,
                              const HuggingFaceModel& source,
                              std::vector<Diagnostic>& notes) {
  const spec::ModelConfig& model = source.config().model;
  TERA_TRY_VOID(copy_tokenizer_files(vfs, source.path(), to));
  TERA_TRY_VOID(keep_special_tokens(vfs, to, source.config_text()));
  const auto note = [&notes](std::string message, std::string hint) {
    notes.push_back({.severity = Severity::warning,
                     .field = kTokenizerName,
                     .message = std::move(message),
                     .hint = std::move(hint)});
  };
  TERA_TRY(const bool present, vfs.exists(to / kTokenizerName));
  if (!present) {
    // Says so of a SentencePiece model, with what to do.
    const Result<data::Tokenizer> none = data::Tokenizer::load(source.path());
    const bool other = none.error().code == ErrorCode::unsupported;
    note(other ? none.error().message : "the directory holds none",
         other ? none.error().hint : "give one to generate text and to data tokenize");
    return {};
  }
  const Result<data::Tokenizer> tokenizer = data::Tokenizer::load(source.path() / kTokenizerName);
  if (!tokenizer) {
    note("was copied, but TeraGPT cannot use it: " + tokenizer.error().message,
         tokenizer.error().hint);
  } else if (tokenizer->vocab_size() > model.vocab_size) {
    note(fmt::format("has {} tokens, the model {}", tokenizer->vocab_size(), model.vocab_size),
         "generate needs the tokenizer the model was trained with");
  }
  return {};
}

std::string spec_comment(const spec::RunSpec& spec, const HuggingFaceModel& model) {
  return fmt::format(
      "# {}: {} imported from a Hugging Face directory.\n"
      "# To go on training: name token files in data.datasets, then `teragpt train spec.yaml`.\n",
      spec.name, enum_name(model.config().family));
}

}  // namespace

Result<Converted> import_hugging_face(Vfs& vfs,
                                      const fs::path& dir,
                                      const fs::path& out,
                                      const ConvertOptions& options) {
  TERA_TRY(const HuggingFaceModel model, HuggingFaceModel::open(vfs, dir));
  Converted converted{.family = model.config().family,
                      .num_params = plan::count_params(model.config().model).total,
                      .notes = model.notes()};
  TERA_TRY(StagedDirectory staged, StagedDirectory::create(vfs, out));
  TERA_TRY_VOID(import_tokenizer(vfs, staged.path(), model, converted.notes));
  spec::RunSpec spec = spec_of(model);
  TERA_TRY(const fs::path step_dir,
           write_checkpoint(vfs, model, spec, staged.path() / "ckpt", options));
  // Paths in the file are relative to it.
  TERA_TRY(const bool has_tokenizer, vfs.exists(staged.path() / kTokenizerName));
  if (has_tokenizer) spec.data.tokenizer = kTokenizerName;
  spec.training.init_from = (fs::path("ckpt") / step_dir.filename()).string();
  TERA_TRY_VOID(write_file_atomic(vfs, staged.path() / "spec.yaml",
                                  spec_comment(spec, model) + spec::to_template_yaml(spec)));
  if (options.verify) {
    TERA_TRY(const Reader reader, Reader::open(vfs, step_dir));
    const DType compute =
        spec.training.precision == spec::Precision::bf16 ? DType::bf16 : DType::f32;
    TERA_TRY(converted.difference,
             compare_weights(
                 spec.model, compute, options.num_threads,
                 [&](nn::ParamStore& params) { return load_weights(model, params); },
                 [&](nn::ParamStore& params) { return load_weights(reader, params); },
                 [&](auto done, auto total) { return options.report("verify", done, total); }));
    TERA_TRY_VOID(expect_same_logits(converted));
  }
  TERA_TRY(converted.files, files_below(vfs, staged.path()));
  TERA_TRY_VOID(staged.publish());
  return converted;
}

}  // namespace tera::infer
