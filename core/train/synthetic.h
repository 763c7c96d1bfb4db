// Training steps on random tokens, to measure speed and memory: the real model, optimizer and
// executor without files.
#pragma once
#include <memory>

#include "core/spec/run_spec.h"
#include "core/tensor/backend.h"
#include "core/train/stage_executor.h"

namespace tera::train {

class SyntheticTrainer {
 public:
  // The batch is global_batch_size sequences in micro-batches of layout.micro_batch_size. `world`
  // has the ranks of the layout, of which stages and replicas may be several; null: one rank.
  SyntheticTrainer(const spec::RunSpec& spec,
                   Backend& backend,
                   comm::Communicator* world = nullptr);
  ~SyntheticTrainer();
  // One whole step: forward, backward, clip, update. Returns the loss.
  double step();

  const nn::ParamStore& params() const;
  const StageResult& last_result() const;  // of this rank in the last step

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace tera::train
