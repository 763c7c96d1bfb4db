#include "core/nn/token_losses.h"

#include <algorithm>
#include <cmath>

#include "core/nn/elements.h"

namespace tera::nn {

TokenLosses::TokenLosses(const Tensor& logits, const Tensor& targets, comm::Communicator* words)
    : logits_(logits),
      targets_(targets),
      first_word_(words == nullptr ? 0 : words->rank() * logits.dim(1)) {
  Backend& backend = logits.backend();
  for (Tensor* each : {&highest_, &total_, &at_target_})
    *each = Tensor::empty(backend, {logits.dim(0)}, logits.dtype(), MemoryKind::workspace);
  backend.ops().cross_entropy_forward(backend.context(), logits_, targets_, first_word_, rows(),
                                      at_target_);
  if (words != nullptr) combine(*words);
}

// From the ranks' parts of the vocabulary to all of it, in rank order.
void TokenLosses::combine(comm::Communicator& words) {
  const std::int64_t n = logits_.dim(0);
  Backend& backend = logits_.backend();
  const auto of_all = [&](const Tensor& own) {
    Tensor all = Tensor::empty(backend, {words.size() * n}, own.dtype(), MemoryKind::workspace);
    words.all_gather(own, all);
    return all;
  };
  const Tensor tops = of_all(highest_);
  const Tensor totals = of_all(total_);
  words.all_reduce(at_target_, comm::Reduce::sum);  // one rank has it, the others zero
  with_elements(tops, [&]<class A>(const A* top) {
    for (std::int64_t t = 0; t < n; ++t) {
      A highest = top[t];
      for (std::int64_t at = t; at < words.size() * n; at += n)
        highest = std::max(highest, top[at]);
      double total = 0;
      for (std::int64_t at = t; at < words.size() * n; at += n)
        total += double{totals.data<A>()[at]} * std::exp(double{top[at]} - double{highest});
      highest_.data<A>()[t] = highest;
      total_.data<A>()[t] = static_cast<A>(total);
    }
  });
}

double TokenLosses::loss(std::int64_t t) const {
  if (targets_.data<const std::int32_t>()[t] < 0) return 0;
  double loss = 0;
  with_elements(total_, [&]<class A>(const A* total) {
    const double distance = double{highest_.data<A>()[t]} - double{at_target_.data<A>()[t]};
    loss = std::log(double{total[t]}) + distance;
  });
  return loss;
}

double TokenLosses::sum() const {
  double sum = 0;
  for (std::int64_t t = 0; t < targets_.num_elements(); ++t)
    sum += loss(t);
  return sum;
}

void TokenLosses::backward(double scale) const {
  Backend& backend = logits_.backend();
  backend.ops().cross_entropy_backward(backend.context(), logits_, targets_, first_word_, rows(),
                                       scale);
}

}  // namespace tera::nn
