// Training steps on random tokens, to measure speed: the real model, optimizer and executor without
// files.
#pragma once
#include <memory>

#include "core/spec/run_spec.h"
#include "core/tensor/backend.h"

namespace tera::train {

class SyntheticTrainer {
 public:
  // One rank; the batch is global_batch_size sequences in micro-batches of layout.micro_batch_size.
  SyntheticTrainer(const spec::RunSpec& spec, Backend& backend);
  ~SyntheticTrainer();
  // One whole step: forward, backward, clip, update. Returns the loss.
  double step();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace tera::train
