#include "core/nn/upcycle.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "core/base/rng.h"
#include "core/spec/scalars.h"

namespace tera::nn {
namespace {

using spec::ModelConfig;

// Of experts, their routers and initial values: an upcycled model has its own.
constexpr std::array<std::string_view, 23> kOfTheExperts = {"num_experts",
                                                            "router_top_k",
                                                            "moe_ffn_hidden_size",
                                                            "num_shared_experts",
                                                            "shared_expert_gate",
                                                            "num_dense_layers",
                                                            "moe_layer_interval",
                                                            "router_score",
                                                            "router_choice",
                                                            "router_renormalize",
                                                            "routed_scaling_factor",
                                                            "router_num_groups",
                                                            "router_top_groups",
                                                            "router_group_best",
                                                            "expert_capacity_factor",
                                                            "capacity_policy",
                                                            "capacity_pad",
                                                            "aux_loss_coeff",
                                                            "aux_loss_scope",
                                                            "z_loss_coeff",
                                                            "expert_bias_update_rate",
                                                            "router_jitter",
                                                            "init_std"};

std::map<std::string_view, std::string> values_of(const ModelConfig& config) {
  std::map<std::string_view, std::string> values;
  ModelConfig::visit_fields(config, [&](const Field& field, const auto& value) {
    values.emplace(field.name, spec::scalar_text(value));
  });
  return values;
}

// values[e] of every expert e += noise, for a share of the elements; [E, ...].
void add_noise(const Tensor& values, const std::string& name, const UpcycleOptions& options) {
  Backend& backend = values.backend();
  const std::int64_t n = values.num_elements();
  const Tensor sum = Tensor::empty(backend, {n}, DType::f32, MemoryKind::workspace);
  backend.ops().copy(backend.context(), values.reshape({n}), sum);
  const Philox random(options.seed, RngPurpose::init, name_hash(name + " upcycling noise"));
  constexpr std::int64_t kBlock = std::int64_t{1} << 15;
  backend.context().executor->parallel_for(
      (n + kBlock - 1) / kBlock, [&](std::int64_t block, int /*worker*/) {
        for (std::int64_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock); ++i) {
          const auto element = static_cast<std::uint64_t>(i);
          if (static_cast<double>(random.uniform(0, element)) >= options.noise_share) continue;
          const double noise = options.noise_std * random.normal2(1, element)[0];
          sum.data<float>()[i] += static_cast<float>(noise);
        }
      });
  backend.ops().copy(backend.context(), sum, values.reshape({n}));
}

// "layers.3.moe.experts.in.weight" -> "layers.3.ffn.in.weight"; empty for other parameters.
std::string dense_name(const std::string& name) {
  constexpr std::string_view kExperts = ".moe.experts.";
  const auto at = name.find(kExperts);
  if (at == std::string::npos) return {};
  return fmt::format("{}.ffn.{}", name.substr(0, at), name.substr(at + kExperts.size()));
}

}  // namespace

Result<void> check_upcycle(const ModelConfig& dense, const ModelConfig& moe) {
  const auto refuse = [](std::string message, std::string hint) {
    return fail(ErrorCode::invalid_input, std::move(message), std::move(hint));
  };
  if (dense.num_experts > 0) {
    return refuse(fmt::format("upcycling from a model of {} experts, expected a dense one",
                              dense.num_experts),
                  "name a checkpoint whose model.num_experts is 0");
  }
  if (moe.num_experts == 0) {
    return refuse("model.num_experts: 0, expected the experts to upcycle to",
                  "name a spec with model.num_experts, for example 8");
  }
  const std::map<std::string_view, std::string> from = values_of(dense);
  for (const auto& [name, value] : values_of(moe)) {
    const bool own =
        std::find(kOfTheExperts.begin(), kOfTheExperts.end(), name) != kOfTheExperts.end();
    if (own || from.at(name) == value) continue;
    if (name == "ffn_hidden_size" && moe.num_moe_layers(moe.num_layers) == moe.num_layers) continue;
    return refuse(
        fmt::format("model.{}: got {}, the dense checkpoint has {}", name, value, from.at(name)),
        fmt::format("use {}: upcycling changes the feed-forward only", from.at(name)));
  }
  if (moe.moe_ffn_hidden_size != dense.ffn_hidden_size) {
    return refuse(
        fmt::format("model.moe_ffn_hidden_size: got {}, the dense checkpoint has "
                    "ffn_hidden_size {}",
                    moe.moe_ffn_hidden_size, dense.ffn_hidden_size),
        fmt::format("use {}: experts are copies of the feed-forward", dense.ffn_hidden_size));
  }
  if (moe.num_shared_experts > 0) {
    return refuse(fmt::format("model.num_shared_experts: got {}, but a dense model has nothing to "
                              "start them from",
                              moe.num_shared_experts),
                  "use 0");
  }
  if (dense.ffn_bias) {
    return refuse("model.ffn_bias: the dense feed-forward has biases, experts have none",
                  "upcycle a model without them");
  }
  return {};
}

bool keeps_outputs(const ModelConfig& moe, const UpcycleOptions& options) {
  return moe.router_renormalize && moe.routed_scaling_factor == 1 &&
         moe.router_choice == spec::RouterChoice::token &&
         (options.noise_std == 0 || options.noise_share == 0);
}

Result<void> upcycle(const ModelConfig& dense,
                     ParamStore& from,
                     const ModelConfig& moe,
                     ParamStore& to,
                     const UpcycleOptions& options) {
  TERA_TRY_VOID(check_upcycle(dense, moe));
  init_params(to, moe, options.seed);  // routers keep these values
  Backend& backend = to.backend();
  for (const Param& param : to.params()) {
    const std::string& name = param.spec.name;
    const std::string source = dense_name(name);
    if (source.empty()) {
      if (from.has(name)) backend.ops().copy(backend.context(), from.get(name).value, param.value);
      continue;
    }
    const Tensor& copied = from.get(source).value;
    for (std::int64_t e = 0; e < param.value.dim(0); ++e) {
      const Tensor expert = param.value.slice(0, e, e + 1);
      backend.ops().copy(backend.context(), copied, expert.reshape({copied.dim(0), copied.dim(1)}));
    }
    if (options.noise_std > 0) add_noise(param.value, name, options);
  }
  return {};
}

}  // namespace tera::nn
