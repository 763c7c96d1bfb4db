#include "app/teragpt/checkpoint_model.h"

#include <filesystem>
#include <limits>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "core/base/vfs.h"
#include "core/checkpoint/saved_spec.h"
#include "core/checkpoint/weights.h"
#include "core/infer/convert.h"
#include "core/infer/generate.h"
#include "core/infer/load_model.h"
#include "core/plan/adapter_table.h"
#include "core/run/run_directory.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {

namespace {

// The checkpoint of one step of a run.
Result<checkpoint::Reader> open_step(const run::RunDirectory& dir, std::int64_t step) {
  TERA_TRY(const std::vector<checkpoint::CheckpointInfo> found,
           checkpoint::list(posix_vfs(), dir.checkpoints_dir()));
  std::string steps;
  for (const checkpoint::CheckpointInfo& info : found) {
    if (info.step == step) return checkpoint::Reader::open(posix_vfs(), info.path);
    steps += fmt::format("{}{}", steps.empty() ? "" : ", ", info.step);
  }
  return fail(ErrorCode::not_found,
              fmt::format("run {} has no checkpoint of step {}", dir.id(), step),
              steps.empty() ? "it has none" : "it has steps " + steps);
}

}  // namespace

void add_model_options(CLI::App& verb, ModelArguments& args) {
  verb.add_option("CKPT", args.checkpoint, "Checkpoint directory, run directory or run id")
      ->required();
  verb.add_option("--step", args.step, "Step of the run's checkpoint (default: the newest)")
      ->check(at_least(0, std::numeric_limits<std::int64_t>::max()));
  verb.add_flag("--ema", args.ema, "Take the running mean of the weights (training.ema_decay)");
  verb.add_option("--tokenizer", args.tokenizer, "tokenizer.json (default: the run's)")
      ->type_name("FILE");
  verb.add_option("--threads", args.num_threads, "Threads (default: as the run's spec says)")
      ->check(at_least(1, 4096));
}

Result<checkpoint::Reader> open_checkpoint(const std::string& name, std::int64_t step) {
  Vfs& vfs = posix_vfs();
  std::filesystem::path path = name;
  const bool one = std::filesystem::exists(path / "COMMIT");
  if (one && step >= 0) {
    return fail(ErrorCode::invalid_input,
                fmt::format("--step {} with one checkpoint, {}", step, name),
                "name the run instead, or leave --step away");
  }
  if (!one) {
    TERA_TRY(const run::RunDirectory dir, run::RunDirectory::open(vfs, name));
    if (step >= 0) return open_step(dir, step);
    path = dir.path();
  }
  std::vector<std::string> skipped;
  Result<checkpoint::Reader> reader = checkpoint::open_weights(vfs, path, skipped);
  for (const std::string& reason : skipped)
    spdlog::warn("passed over a checkpoint: {}", reason);
  return reader;
}

CheckpointModel::CheckpointModel(const spec::RunSpec& spec, const ModelArguments& args)
    : spec_(spec),
      name_(args.checkpoint),
      tokenizer_(fail(ErrorCode::invalid_input,
                      fmt::format("{}: its spec names no tokenizer", args.checkpoint),
                      "name one with --tokenizer FILE, or work with token ids")),
      pool_(args.num_threads > 0 ? args.num_threads : spec.launch.num_threads),
      backend_(make_cpu_backend(pool_)) {
  params_ = std::make_unique<nn::ParamStore>(
      *backend_, plan::make_param_table(spec),
      nn::ParamStoreOptions{.compute = plan::compute_dtype(spec.training.precision),
                            .gradients = false});
  model_ = std::make_unique<nn::Model>(spec.model, *params_);
}

Result<std::unique_ptr<CheckpointModel>> CheckpointModel::load(const ModelArguments& args) {
  TERA_TRY(const checkpoint::Reader reader, open_checkpoint(args.checkpoint, args.step));
  TERA_TRY(const spec::RunSpec spec, checkpoint::saved_spec(reader));
  std::unique_ptr<CheckpointModel> loaded(new CheckpointModel(spec, args));
  loaded->step_ = reader.state().step;
  TERA_TRY_VOID(loaded->find_tokenizer(reader, args.tokenizer));
  TERA_TRY_VOID(infer::load_weights(reader, *loaded->params_,
                                    args.ema ? infer::WeightSet::ema : infer::WeightSet::trained));
  return loaded;
}

Result<void> CheckpointModel::find_tokenizer(const checkpoint::Reader& reader,
                                             const std::string& given) {
  std::filesystem::path path = given;
  if (path.empty()) {
    TERA_TRY(path, infer::tokenizer_of(posix_vfs(), reader));
  }
  if (!path.empty()) {
    tokenizer_ = data::Tokenizer::load(path);
    if (tokenizer_) {
      const Result<void> fits = infer::check_vocabulary(spec_.model, *tokenizer_);
      if (!fits) tokenizer_ = tl::unexpected<Error>(fits.error());
    }
    if (!tokenizer_ && !given.empty()) return tl::unexpected<Error>(tokenizer_.error());
    if (!tokenizer_) spdlog::warn("going on without text: {}", tokenizer_.error().message);
  }
  if (tokenizer_) return {};  // it knows what ends a text
  const std::filesystem::path folder =
      path.empty() ? reader.path().parent_path().parent_path() : path.parent_path();
  TERA_TRY(const data::SpecialTokens special,
           data::read_special_tokens(posix_vfs(), folder, nullptr));
  end_tokens_ = special.eos;
  return {};
}

Result<const data::Tokenizer*> CheckpointModel::require_tokenizer() const {
  if (!tokenizer_) return tl::unexpected<Error>(tokenizer_.error());
  return &*tokenizer_;
}

}  // namespace tera::app
