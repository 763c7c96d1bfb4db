#include "app/teragpt/checkpoint_model.h"

#include <filesystem>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "core/base/vfs.h"
#include "core/checkpoint/saved_spec.h"
#include "core/checkpoint/weights.h"
#include "core/infer/convert.h"
#include "core/infer/load_model.h"
#include "core/plan/param_table.h"
#include "core/run/run_directory.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {

Result<checkpoint::Reader> open_checkpoint(const std::string& name) {
  Vfs& vfs = posix_vfs();
  std::filesystem::path path = name;
  if (!std::filesystem::exists(path / "COMMIT")) {
    TERA_TRY(const run::RunDirectory dir, run::RunDirectory::open(vfs, name));
    path = dir.path();
  }
  std::vector<std::string> skipped;
  Result<checkpoint::Reader> reader = checkpoint::open_weights(vfs, path, skipped);
  for (const std::string& reason : skipped)
    spdlog::warn("passed over a checkpoint: {}", reason);
  return reader;
}

CheckpointModel::CheckpointModel(const spec::RunSpec& spec, data::Tokenizer tokenizer)
    : tokenizer_(std::move(tokenizer)),
      pool_(spec.launch.num_threads),
      backend_(make_cpu_backend(pool_)) {
  params_ = std::make_unique<nn::ParamStore>(
      *backend_, plan::make_param_table(spec.model),
      nn::ParamStoreOptions{.compute = plan::compute_dtype(spec.training.precision),
                            .gradients = false});
  model_ = std::make_unique<nn::Model>(spec.model, *params_);
}

Result<std::unique_ptr<CheckpointModel>> CheckpointModel::load(const std::string& name,
                                                               const std::string& tokenizer_path) {
  TERA_TRY(const checkpoint::Reader reader, open_checkpoint(name));
  TERA_TRY(const spec::RunSpec spec, checkpoint::saved_spec(reader));
  std::filesystem::path path = tokenizer_path;
  if (path.empty()) {
    TERA_TRY(path, infer::tokenizer_of(posix_vfs(), reader));
  }
  if (path.empty()) {
    return fail(ErrorCode::invalid_input, fmt::format("{}: its spec names no tokenizer", name),
                "name one with --tokenizer FILE");
  }
  TERA_TRY(data::Tokenizer tokenizer, data::Tokenizer::load(path));
  std::unique_ptr<CheckpointModel> loaded(new CheckpointModel(spec, std::move(tokenizer)));
  TERA_TRY_VOID(infer::load_weights(reader, *loaded->params_));
  return loaded;
}

}  // namespace tera::app
