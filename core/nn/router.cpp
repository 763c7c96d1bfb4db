#include "core/nn/router.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <type_traits>
#include <utility>

#include "core/base/check.h"

namespace tera::nn {
namespace {

// The elements of a f32 or f64 tensor [T, n] or [n] as doubles.
template <class Body>
void with_elements(const Tensor& tensor, Body&& body) {
  if (tensor.dtype() == DType::f64) return body(tensor.data<const double>());
  body(tensor.data<const float>());
}

template <class Body>
void with_mutable_elements(const Tensor& tensor, Body&& body) {
  if (tensor.dtype() == DType::f64) return body(tensor.data<double>());
  body(tensor.data<float>());
}

// P_e: mean over tokens of the scores [T, E], each token's divided by their sum when `normalise`.
std::vector<double> mean_shares(const Tensor& scores, bool normalise) {
  const std::int64_t tokens = scores.dim(0);
  const auto experts = static_cast<std::size_t>(scores.dim(1));
  std::vector<double> sums(experts);
  with_elements(scores, [&](const auto* row) {
    for (std::int64_t t = 0; t < tokens; ++t, row += experts) {
      double weight = 1.0;
      if (normalise) {
        double total = 0;
        for (std::size_t e = 0; e < experts; ++e)
          total += static_cast<double>(row[e]);
        weight = 1.0 / total;
      }
      for (std::size_t e = 0; e < experts; ++e)
        sums[e] += weight * static_cast<double>(row[e]);
    }
  });
  for (double& sum : sums)
    sum /= static_cast<double>(tokens);
  return sums;
}

std::vector<std::int64_t> expert_counts(const Tensor& offsets) {
  const auto* o = offsets.data<const std::int64_t>();
  std::vector<std::int64_t> counts(static_cast<std::size_t>(offsets.dim(0) - 1));
  for (std::size_t e = 0; e < counts.size(); ++e)
    counts[e] = o[e + 1] - o[e];
  return counts;
}

}  // namespace

Router::Router(ParamStore& store, const spec::ModelConfig& config, int layer, std::string prefix)
    : backend_(&store.backend()),
      prefix_(std::move(prefix)),
      layer_(static_cast<std::size_t>(layer)),
      num_experts_(config.num_experts),
      top_k_(config.router_top_k),
      options_{.type = config.router_score == spec::RouterScore::softmax
                           ? kernels::RouterType::softmax
                           : kernels::RouterType::sigmoid,
               .renormalize = config.router_renormalize,
               .scaling = config.routed_scaling_factor},
      aux_loss_coeff_(config.aux_loss_coeff),
      z_loss_coeff_(config.z_loss_coeff),
      bias_update_rate_(config.expert_bias_update_rate),
      weight_(&store.get(prefix_ + ".router.weight")) {
  if (store.has(prefix_ + ".router.bias")) bias_ = &store.get(prefix_ + ".router.bias");
  TERA_CHECK(z_loss_coeff_ == 0 || options_.type == kernels::RouterType::softmax,
             "layer {}: z_loss_coeff = {} with a sigmoid router; the z-loss is defined on the "
             "softmax's normaliser",
             layer, z_loss_coeff_);
}

void Router::forward(const Tensor& x, Pass& pass) const {
  const kernels::OpTable& ops = backend_->ops();
  const kernels::Context& context = backend_->context();
  const std::int64_t tokens = x.dim(0);
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  const Tensor logits =
      Tensor::empty(*backend_, {tokens, num_experts_}, accumulate, MemoryKind::workspace);
  ops.matmul(context, x, weight_->value, logits, {.transpose_b = true});

  const Tensor scores = pass.stash.put(prefix_ + ".scores", {tokens, num_experts_}, accumulate);
  Tensor normaliser;
  if (options_.type == kernels::RouterType::softmax || z_loss_coeff_ > 0) {
    normaliser = pass.stash.put(prefix_ + ".logsumexp", {tokens}, accumulate);
  }
  const Tensor chosen = pass.stash.put(prefix_ + ".indices", {tokens, top_k_}, DType::i32);
  const Tensor weights = pass.stash.put(prefix_ + ".gates", {tokens, top_k_}, accumulate);
  ops.router_forward(context, logits, bias_ != nullptr ? bias_->value.view() : kernels::View{},
                     options_, scores, chosen, weights, normaliser);
}

void Router::record(const Tensor& offsets, const Pass& pass) const {
  if (pass.router_stats == nullptr) return;
  TERA_CHECK(layer_ < pass.router_stats->size(), "router statistics for {} layers, layer is {}",
             pass.router_stats->size(), layer_);
  RouterStats& stats = (*pass.router_stats)[layer_];
  const std::vector<std::int64_t> counts = expert_counts(offsets);
  stats.expert_tokens.resize(counts.size());
  std::transform(counts.begin(), counts.end(), stats.expert_tokens.begin(),
                 stats.expert_tokens.begin(), std::plus<>());

  const Tensor& scores = pass.stash.get(prefix_ + ".scores");
  const auto routed = static_cast<double>(scores.dim(0) * top_k_);
  if (aux_loss_coeff_ > 0) {
    const std::vector<double> shares =
        mean_shares(scores, options_.type == kernels::RouterType::sigmoid);
    double product = 0;
    for (std::size_t e = 0; e < counts.size(); ++e)
      product += static_cast<double>(counts[e]) / routed * shares[e];
    stats.balance_loss +=
        pass.batch_share * aux_loss_coeff_ * static_cast<double>(num_experts_) * product;
  }
  if (z_loss_coeff_ > 0) {
    const Tensor normaliser = logsumexp(pass);
    double squares = 0;
    with_elements(normaliser, [&](const auto* lse) {
      for (std::int64_t t = 0; t < normaliser.num_elements(); ++t)
        squares += static_cast<double>(lse[t]) * static_cast<double>(lse[t]);
    });
    stats.z_loss += pass.batch_share * z_loss_coeff_ * squares / static_cast<double>(scores.dim(0));
  }
}

void Router::backward_input(const Tensor& d_gates,
                            const Tensor& offsets,
                            const Tensor& dx,
                            Pass& pass) const {
  Stash& stash = pass.stash;
  const Tensor& scores = stash.get(prefix_ + ".scores");
  const auto tokens = static_cast<double>(scores.dim(0));
  Tensor balance;  // [E]: c E f_e / T, the gradient of the balance loss at a token's share
  if (aux_loss_coeff_ > 0) {
    balance = Tensor::empty(*backend_, {num_experts_}, scores.dtype(), MemoryKind::workspace);
    const std::vector<std::int64_t> counts = expert_counts(offsets);
    const double factor = pass.batch_share * aux_loss_coeff_ * static_cast<double>(num_experts_) /
                          (tokens * tokens * static_cast<double>(top_k_));
    with_mutable_elements(balance, [&](auto* values) {
      for (std::size_t e = 0; e < counts.size(); ++e)
        values[e] = static_cast<std::remove_reference_t<decltype(values[e])>>(
            factor * static_cast<double>(counts[e]));
    });
  }
  const Tensor d_logits =
      stash.put_gradient(prefix_ + ".d_logits", {scores.dim(0), num_experts_}, scores.dtype());
  const kernels::OpTable& ops = backend_->ops();
  ops.router_backward(backend_->context(), scores, indices(pass), gates(pass), logsumexp(pass),
                      d_gates, balance, pass.batch_share * z_loss_coeff_ / tokens, options_,
                      d_logits);
  ops.matmul(backend_->context(), d_logits, weight_->value, dx, {.accumulate = true});
}

void Router::backward_weight(const Tensor& x, Pass& pass) {
  backend_->ops().matmul(backend_->context(), pass.stash.take(prefix_ + ".d_logits"), x,
                         weight_->grad, {.transpose_a = true, .accumulate = true});
  for (const char* kept : {".scores", ".logsumexp", ".indices", ".gates"})
    pass.stash.release(prefix_ + kept);
}

void Router::update_bias(const std::vector<std::int64_t>& counts) {
  if (bias_ == nullptr) return;
  TERA_CHECK(std::ssize(counts) == num_experts_, "layer {}: counts of {} experts, expected {}",
             layer_, counts.size(), num_experts_);
  const double mean =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0})) /
      static_cast<double>(num_experts_);
  with_mutable_elements(bias_->value, [&](auto* bias) {
    std::vector<double> updated(counts.size());
    double total = 0;
    for (std::size_t e = 0; e < counts.size(); ++e) {
      const double lack = mean - static_cast<double>(counts[e]);
      updated[e] = static_cast<double>(bias[e]) +
                   bias_update_rate_ * static_cast<double>((lack > 0) - (lack < 0));
      total += updated[e];
    }
    for (std::size_t e = 0; e < counts.size(); ++e) {
      bias[e] = static_cast<std::remove_reference_t<decltype(bias[e])>>(
          updated[e] - total / static_cast<double>(counts.size()));
    }
  });
}

Tensor Router::logsumexp(const Pass& pass) const {
  const std::string name = prefix_ + ".logsumexp";
  return pass.stash.has(name) ? pass.stash.get(name) : Tensor{};
}

}  // namespace tera::nn
