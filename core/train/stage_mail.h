// StageMail: the activations and gradients that a stage of a pipeline gives to others, and gets
// from them, while it runs a schedule.
#pragma once
#include <deque>
#include <initializer_list>
#include <map>

#include "core/comm/communicator.h"
#include "core/plan/schedule_messages.h"
#include "core/tensor/tensor.h"

namespace tera::train {

class StageMail {
 public:
  // The ranks of `pipeline` are the stages of the schedule, in order.
  StageMail(const plan::PipelineSchedule& schedule, comm::Communicator& pipeline);

  // Sends the tensor on; between links of this stage it is handed over as it is.
  void give(const plan::StageMessage& message, const Tensor& tensor);
  // Waits for a message; what arrives before it is put aside.
  Tensor take(const plan::StageMessage& message,
              Backend& backend,
              std::initializer_list<std::int64_t> shape,
              DType dtype);

 private:
  plan::PipelineShape shape_;
  comm::Communicator& pipeline_;
  int stage_;
  std::map<int, std::deque<plan::StageMessage>> expected_;  // [sender] what is to come, in order
  std::map<plan::StageMessage, Tensor> aside_;
};

}  // namespace tera::train
