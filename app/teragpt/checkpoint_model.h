// A model loaded from a checkpoint with everything it needs to generate and to be evaluated.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "app/teragpt/cli.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/checkpoint.h"
#include "core/data/tokenizer.h"
#include "core/nn/model.h"
#include "core/spec/run_spec.h"
#include "core/tensor/backend.h"

namespace tera::app {

struct ModelArguments {
  std::string checkpoint = {};  // step directory, run directory or run id
  std::string tokenizer = {};   // path of tokenizer.json; empty takes the run's
  std::int64_t step = -1;       // of a run; -1: the newest valid checkpoint
  int num_threads = 0;          // 0: as the run's spec says
  bool ema = false;             // the running mean of the weights in their place
};
// Adds CKPT, --step, --ema, --tokenizer and --threads.
void add_model_options(CLI::App& verb, ModelArguments& args);

// name: as ModelArguments::checkpoint.
Result<checkpoint::Reader> open_checkpoint(const std::string& name, std::int64_t step = -1);

class CheckpointModel {
 public:
  static Result<std::unique_ptr<CheckpointModel>> load(const ModelArguments& args);

  const spec::RunSpec& spec() const { return spec_; }
  std::int64_t step() const { return step_; }
  nn::Model& model() { return *model_; }
  // Null when the run has none and none was given.
  const data::Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  // Error (invalid_input) instead of null, and when it has more tokens than the model.
  Result<const data::Tokenizer*> require_tokenizer() const;

 private:
  CheckpointModel(const spec::RunSpec& spec, int num_threads);

  spec::RunSpec spec_;
  std::string name_;
  std::int64_t step_ = 0;
  std::optional<data::Tokenizer> tokenizer_;
  ThreadPool pool_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<nn::ParamStore> params_;
  std::unique_ptr<nn::Model> model_;
};

}  // namespace tera::app
