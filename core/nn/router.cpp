#include "core/nn/router.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <type_traits>
#include <utility>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/nn/elements.h"

namespace tera::nn {
namespace {

// Of the stash.
constexpr std::array kEntries = {".logits", ".scores",  ".logsumexp", ".indices",
                                 ".gates",  ".balance", ".noise"};

kernels::RouterOptions options_of(const spec::ModelConfig& config) {
  return {.type = config.router_score == spec::RouterScore::softmax ? kernels::RouterType::softmax
                                                                    : kernels::RouterType::sigmoid,
          .renormalize = config.router_renormalize,
          .scaling = config.routed_scaling_factor,
          .num_groups = config.router_num_groups,
          .top_groups = config.router_top_groups,
          .group_best = config.router_group_best};
}

}  // namespace

Router::Router(ParamStore& store, const spec::ModelConfig& config, int layer, std::string prefix)
    : backend_(&store.backend()),
      prefix_(std::move(prefix)),
      layer_(layer),
      num_experts_(config.num_experts),
      top_k_(config.router_slots()),
      options_(options_of(config)),
      balance_(config),
      share_(store),
      z_loss_coeff_(config.z_loss_coeff),
      bias_update_rate_(config.expert_bias_update_rate),
      jitter_(config.router_jitter),
      weight_(&store.get(prefix_ + ".router.weight")) {
  if (store.has(prefix_ + ".router.bias")) bias_ = &store.get(prefix_ + ".router.bias");
}

void Router::forward(const Tensor& x, Pass& pass, RouterStats* stats) const {
  Stash& stash = pass.stash;
  if (stash.has(prefix_ + ".indices")) return;  // a second forward: the choice stands
  const kernels::OpTable& ops = backend_->ops();
  const kernels::Context& context = backend_->context();
  const std::int64_t tokens = x.dim(0);
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  const bool softmax = options_.type == kernels::RouterType::softmax;
  const bool z_loss = z_loss_coeff_ > 0;
  if (jitter_ > 0 && pass.training) put_noise(x, pass);
  const Tensor logits =
      z_loss && !softmax
          ? stash.put_lasting(prefix_ + ".logits", {tokens, num_experts_}, accumulate)
          : Tensor::empty(*backend_, {tokens, num_experts_}, accumulate, MemoryKind::workspace);
  ops.matmul(context, input(x, pass), weight_->value, logits, {.transpose_b = true});

  const Tensor scores = stash.put_lasting(prefix_ + ".scores", {tokens, num_experts_}, accumulate);
  Tensor normaliser;
  if (softmax || z_loss)
    normaliser = stash.put_lasting(prefix_ + ".logsumexp", {tokens}, accumulate);
  const Tensor chosen = stash.put_lasting(prefix_ + ".indices", {tokens, top_k_}, DType::i32);
  const Tensor weights = stash.put_lasting(prefix_ + ".gates", {tokens, top_k_}, accumulate);
  ops.router_forward(context, logits, bias_ != nullptr ? bias_->value.view() : kernels::View{},
                     options_, scores, chosen, weights, normaliser);
  if (balance_.active()) {
    const Tensor balance = stash.put_lasting(
        prefix_ + ".balance", {balance_.num_blocks(pass.batch), num_experts_}, accumulate);
    balance_.fill_weights(share_.gather(chosen, pass.batch), pass, stats, balance);
  }
  if (stats != nullptr) record(pass, *stats);
}

void Router::record(const Pass& pass, RouterStats& stats) const {
  const Tensor& scores = pass.stash.get(prefix_ + ".scores");
  if (balance_.active()) stats.balance_loss += balance_.loss(scores, balance(pass));
  if (z_loss_coeff_ == 0) return;
  double squares = 0;
  with_elements(pass.stash.get(prefix_ + ".logsumexp"), [&](const auto* lse) {
    for (std::int64_t t = 0; t < scores.dim(0); ++t)
      squares += static_cast<double>(lse[t]) * static_cast<double>(lse[t]);
  });
  stats.z_loss += z_weight(pass) * squares;
}

// Of the squared logsumexp of each token.
double Router::z_weight(const Pass& pass) const {
  return pass.batch_share * z_loss_coeff_ / static_cast<double>(share_.num_tokens(pass.batch));
}

// Weights of the balance loss for this rank's tokens; absent when it is off.
Tensor Router::balance(const Pass& pass) const {
  const Tensor weights = kept(".balance", pass);
  return weights.present() ? balance_.of_share(weights, share_, pass) : weights;
}

void Router::backward_input(const Tensor& d_gates, const Tensor& dx, Pass& pass) const {
  const kernels::OpTable& ops = backend_->ops();
  const kernels::Context& context = backend_->context();
  const Tensor& scores = pass.stash.get(prefix_ + ".scores");
  const Tensor d_logits =
      pass.stash.put_gradient(prefix_ + ".d_logits", {scores.dim(0), num_experts_}, scores.dtype());
  ops.router_backward(context, kept(".logits", pass), scores, indices(pass), gates(pass),
                      kept(".logsumexp", pass), d_gates, balance(pass), z_weight(pass), options_,
                      d_logits);
  const Tensor noise = kept(".noise", pass);
  if (!noise.present()) {
    ops.matmul(context, d_logits, weight_->value, dx, {.accumulate = true});
    return;
  }
  const Tensor d_input =
      Tensor::empty(*backend_, {dx.dim(0), dx.dim(1)}, scores.dtype(), MemoryKind::workspace);
  ops.matmul(context, d_logits, weight_->value, d_input, {});
  ops.multiply(context, d_input, noise, dx, true);
}

void Router::backward_weight(const Tensor& x, Pass& pass) {
  const Tensor d_logits = pass.stash.take(prefix_ + ".d_logits");
  if (weight_->trained) {
    backend_->ops().matmul(backend_->context(), d_logits, input(x, pass), weight_->gradient(),
                           {.transpose_a = true, .accumulate = true});
  }
  for (const char* name : kEntries)
    pass.stash.release(prefix_ + name);
}

bool Router::keeps(std::string_view entry) const {
  return std::any_of(kEntries.begin(), kEntries.end(),
                     [&](const char* name) { return entry == prefix_ + name; });
}

void Router::update_bias(const std::vector<std::int64_t>& counts) {
  if (bias_ == nullptr) return;
  TERA_CHECK(std::ssize(counts) == num_experts_, "layer {}: counts of {} experts, expected {}",
             layer_, counts.size(), num_experts_);
  const double mean =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0})) /
      static_cast<double>(num_experts_);
  with_elements(bias_->value, [&](auto* bias) {
    std::vector<double> updated(counts.size());
    double total = 0;
    for (std::size_t e = 0; e < counts.size(); ++e) {
      const double lack = mean - static_cast<double>(counts[e]);
      updated[e] = static_cast<double>(bias[e]) +
                   bias_update_rate_ * static_cast<double>((lack > 0) - (lack < 0));
      total += updated[e];
    }
    for (std::size_t e = 0; e < counts.size(); ++e) {
      bias[e] = static_cast<std::remove_pointer_t<decltype(bias)>>(
          updated[e] - total / static_cast<double>(counts.size()));
    }
  });
}

// What the logits are of: x, or in training with jitter x * noise.
Tensor Router::input(const Tensor& x, const Pass& pass) const {
  const Tensor noise = kept(".noise", pass);
  if (!noise.present()) return x;
  Tensor jittered =
      Tensor::empty(*backend_, {x.dim(0), x.dim(1)}, noise.dtype(), MemoryKind::workspace);
  backend_->ops().multiply(backend_->context(), x, noise, jittered, false);
  return jittered;
}

void Router::put_noise(const Tensor& x, Pass& pass) const {
  const std::int64_t width = x.dim(1);
  const Tensor noise = pass.stash.put_lasting(prefix_ + ".noise", {x.dim(0), width},
                                              kernels::accumulate_dtype(x.dtype()));
  const Philox random(pass.training->seed, RngPurpose::router_jitter,
                      static_cast<std::uint64_t>(layer_));
  const auto step = static_cast<std::uint64_t>(pass.training->step);
  const std::int64_t tokens_before =
      pass.training->first_sequence * (share_.num_tokens(pass.batch) / pass.batch.batch_size);
  // Four numbers to a counter; each token starts a new one.
  const std::int64_t counters = (width + 3) / 4;
  with_elements(noise, [&](auto* to) {
    using Element = std::remove_pointer_t<decltype(to)>;
    backend_->context().executor->parallel_for(x.dim(0), [&](std::int64_t t, int /*worker*/) {
      const std::int64_t token = tokens_before + share_.token(t, x.dim(0), pass.batch);
      const auto base = static_cast<std::uint64_t>(token * counters);
      for (std::int64_t h = 0; h < width; h += 4) {
        const auto words = random.words(step, base + static_cast<std::uint64_t>(h / 4));
        for (std::int64_t i = h; i < std::min(width, h + 4); ++i) {
          const double uniform = words[static_cast<std::size_t>(i - h)] * 0x1.0p-32;  // [0, 1)
          to[t * width + i] = static_cast<Element>(1.0 + jitter_ * (2.0 * uniform - 1.0));
        }
      }
    });
  });
}

Tensor Router::kept(const char* name, const Pass& pass) const {
  const std::string entry = prefix_ + name;
  return pass.stash.has(entry) ? pass.stash.get(entry) : Tensor{};
}

}  // namespace tera::nn
