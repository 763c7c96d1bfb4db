#include "core/nn/load_balance.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <type_traits>

#include "core/base/check.h"
#include "core/nn/elements.h"

namespace tera::nn {
namespace {

// The counts of all replicas, in rank order; this rank's are number `rank` of them.
struct Gathered {
  std::vector<std::int64_t> counts;  // [replicas x blocks, E]
  std::size_t first = 0;             // element where this rank's begin
};

Gathered gather(const std::vector<std::int64_t>& own, const Pass& pass, Backend& backend) {
  comm::Communicator* replicas = pass.training ? pass.training->replicas : nullptr;
  if (replicas == nullptr || replicas->size() == 1) return {own, 0};
  const std::int64_t n = std::ssize(own);
  const Tensor shard = Tensor::empty(backend, {n}, DType::i64, MemoryKind::workspace);
  Tensor all = Tensor::empty(backend, {n * replicas->size()}, DType::i64, MemoryKind::workspace);
  std::copy(own.begin(), own.end(), shard.data<std::int64_t>());
  replicas->all_gather(shard, all);
  const auto* begin = all.data<const std::int64_t>();
  return {{begin, begin + all.num_elements()},
          own.size() * static_cast<std::size_t>(replicas->rank())};
}

}  // namespace

LoadBalance::LoadBalance(const spec::ModelConfig& config)
    : num_experts_(config.num_experts),
      coefficient_(config.aux_loss_coeff),
      scope_(config.aux_loss_scope),
      normalise_(config.router_score == spec::RouterScore::sigmoid) {}

std::int64_t LoadBalance::num_blocks(const Batch& batch) const {
  return scope_ == spec::AuxLossScope::micro_batch ? 1 : batch.batch_size;
}

void LoadBalance::fill_weights(const Tensor& indices,
                               const Pass& pass,
                               RouterStats* stats,
                               const Tensor& weights) const {
  Counts counts = count(indices, weights.dim(0));
  if (scope_ == spec::AuxLossScope::global_batch) run_up(counts, pass, stats);
  const double factor = pass.batch_share * coefficient_ * static_cast<double>(num_experts_) /
                        static_cast<double>(indices.dim(0));
  const auto experts = static_cast<std::size_t>(num_experts_);
  with_elements(weights, [&](auto* to) {
    using Element = std::remove_pointer_t<decltype(to)>;
    for (std::size_t begin = 0; begin < counts.size(); begin += experts) {
      const auto row = counts.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto choices =
          static_cast<double>(std::accumulate(row, row + num_experts_, std::int64_t{0}));
      for (std::size_t e = begin; e < begin + experts; ++e)
        to[e] = static_cast<Element>(factor * static_cast<double>(counts[e]) / choices);
    }
  });
}

Tensor LoadBalance::of_share(const Tensor& weights,
                             const TokenShare& share,
                             const Pass& pass) const {
  const TensorGroup& ranks = share.tensor_ranks();
  if (ranks.size() == 1) return weights;
  const std::int64_t tokens = std::int64_t{pass.batch.batch_size} * pass.batch.seq_length;
  const std::int64_t own = tokens / ranks.size();
  const std::int64_t per_block = tokens / weights.dim(0);
  const std::int64_t length = std::gcd(own, per_block);
  const Tensor part = Tensor::empty(weights.backend(), {own / length, num_experts_},
                                    weights.dtype(), MemoryKind::workspace);
  with_elements(part, [&](auto* to) {
    const auto* from = weights.data<const std::remove_pointer_t<decltype(to)>>();
    const std::int64_t first = ranks.first_row(own);
    for (std::int64_t token = first; token < first + own; token += length)
      to = std::copy_n(from + token / per_block * num_experts_, num_experts_, to);
  });
  return part;
}

double LoadBalance::loss(const Tensor& scores, const Tensor& weights) const {
  const std::int64_t per_block = scores.dim(0) / weights.dim(0);
  double sum = 0;
  with_elements(scores, [&](const auto* score) {
    const auto* all_weights = weights.data<const std::remove_pointer_t<decltype(score)>>();
    for (std::int64_t t = 0; t < scores.dim(0); ++t, score += num_experts_) {
      const auto* weight = all_weights + t / per_block * num_experts_;
      double weighted = 0;
      double total = 0;
      for (std::int64_t e = 0; e < num_experts_; ++e) {
        weighted += static_cast<double>(weight[e]) * static_cast<double>(score[e]);
        total += static_cast<double>(score[e]);
      }
      sum += normalise_ ? weighted / total : weighted;
    }
  });
  return sum;
}

LoadBalance::Counts LoadBalance::count(const Tensor& indices, std::int64_t num_blocks) const {
  const std::int64_t choices = indices.num_elements();
  TERA_CHECK(num_blocks > 0 && indices.dim(0) % num_blocks == 0,
             "{} tokens in {} sequences of equal length", indices.dim(0), num_blocks);
  const std::int64_t per_block = choices / num_blocks;
  Counts counts(static_cast<std::size_t>(num_blocks * num_experts_));
  const auto* expert = indices.data<const std::int32_t>();
  for (std::int64_t i = 0; i < choices; ++i)
    ++counts[static_cast<std::size_t>(i / per_block * num_experts_ + expert[i])];
  return counts;
}

// counts of each sequence -> counts of the step up to and including it.
void LoadBalance::run_up(Counts& counts, const Pass& pass, RouterStats* stats) const {
  const auto experts = static_cast<std::size_t>(num_experts_);
  const Gathered step = gather(counts, pass, pass.stash.backend());
  Counts running = stats != nullptr && !stats->running_choices.empty() ? stats->running_choices
                                                                       : Counts(experts);
  for (std::size_t i = 0; i < step.counts.size(); ++i) {
    running[i % experts] += step.counts[i];
    if (i >= step.first && i < step.first + counts.size())
      counts[i - step.first] = running[i % experts];
  }
  if (stats != nullptr) stats->running_choices = std::move(running);
}

}  // namespace tera::nn
