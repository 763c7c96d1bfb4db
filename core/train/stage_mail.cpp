#include "core/train/stage_mail.h"

#include "core/base/check.h"

namespace tera::train {

StageMail::StageMail(const plan::PipelineSchedule& schedule, comm::Communicator& pipeline)
    : shape_(schedule.shape), pipeline_(pipeline), stage_(pipeline.rank()) {
  TERA_CHECK(shape_.num_stages == pipeline.size(), "schedule of {} stages on {} ranks",
             shape_.num_stages, pipeline.size());
  for (int chunk = 0; chunk < shape_.num_chunks; ++chunk) {
    const int link = shape_.link({stage_, chunk});
    for (const int neighbour : {link - 1, link + 1}) {
      if (neighbour < 0 || neighbour == shape_.num_links()) continue;
      const int sender = shape_.place(neighbour).stage;
      if (sender == stage_ || expected_.contains(sender)) continue;
      const auto messages = plan::messages_between(schedule, sender, stage_);
      expected_[sender] = {messages.begin(), messages.end()};
    }
  }
}

void StageMail::give(const plan::StageMessage& message, const Tensor& tensor) {
  const int to = shape_.place(message.to_link).stage;
  if (to != stage_) return pipeline_.send(tensor, to);
  aside_.emplace(message, tensor);
}

Tensor StageMail::take(const plan::StageMessage& message,
                       Backend& backend,
                       std::initializer_list<std::int64_t> shape,
                       DType dtype) {
  const int from = plan::sender_of(shape_, message);
  for (auto found = aside_.find(message);; found = aside_.find(message)) {
    if (found != aside_.end()) return aside_.extract(found).mapped();
    std::deque<plan::StageMessage>& expected = expected_[from];
    TERA_CHECK(!expected.empty(), "stage {} waits for micro-batch {} of link {}, which stage {} {}",
               stage_, message.micro_batch, message.to_link, from, "does not send");
    Tensor received = Tensor::empty(backend, shape, dtype, MemoryKind::workspace);
    pipeline_.recv(received, from);
    aside_.emplace(expected.front(), std::move(received));
    expected.pop_front();
  }
}

}  // namespace tera::train
