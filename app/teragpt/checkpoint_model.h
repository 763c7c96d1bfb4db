// A model loaded from a checkpoint with everything it needs to generate and to be evaluated.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
  // A tokenizer that the run names and that cannot be used is a warning, one of --tokenizer an
  // error.
  static Result<std::unique_ptr<CheckpointModel>> load(const ModelArguments& args);

  const spec::RunSpec& spec() const { return spec_; }
  std::int64_t step() const { return step_; }
  nn::Model& model() { return *model_; }
  // Null when there is none that can be used; then the model reads and writes token ids alone.
  const data::Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  // Error instead of null: none was named, it is not one of ours, or it has more tokens than the
  // model.
  Result<const data::Tokenizer*> require_tokenizer() const;
  // Without a tokenizer: tokens that end texts, as the files say that were imported with the model.
  const std::vector<std::int32_t>& end_tokens() const { return end_tokens_; }

 private:
  CheckpointModel(const spec::RunSpec& spec, const ModelArguments& args);
  Result<void> find_tokenizer(const checkpoint::Reader& reader, const std::string& given);

  spec::RunSpec spec_;
  std::string name_;
  std::int64_t step_ = 0;
  Result<data::Tokenizer> tokenizer_;
  std::vector<std::int32_t> end_tokens_;
  ThreadPool pool_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<nn::ParamStore> params_;
  std::unique_ptr<nn::Model> model_;
};

}  // namespace tera::app
