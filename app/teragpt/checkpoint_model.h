// A model loaded from a checkpoint with everything it needs to generate.
#pragma once
#include <memory>
#include <string>

#include "core/base/thread_pool.h"
#include "core/checkpoint/checkpoint.h"
#include "core/data/tokenizer.h"
#include "core/infer/generate.h"
#include "core/nn/model.h"
#include "core/spec/run_spec.h"
#include "core/tensor/backend.h"

namespace tera::app {

// name: step directory, run directory or run id (of a run the newest valid checkpoint is taken).
Result<checkpoint::Reader> open_checkpoint(const std::string& name);

class CheckpointModel {
 public:
  // name: as for open_checkpoint. tokenizer: path of tokenizer.json; empty takes the run's.
  static Result<std::unique_ptr<CheckpointModel>> load(const std::string& name,
                                                       const std::string& tokenizer);

  nn::Model& model() { return *model_; }
  const data::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  CheckpointModel(const spec::RunSpec& spec, data::Tokenizer tokenizer);

  data::Tokenizer tokenizer_;
  ThreadPool pool_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<nn::ParamStore> params_;
  std::unique_ptr<nn::Model> model_;
};

}  // namespace tera::app
