#include "app/teragpt/torch_peer.h"

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/resources.h"

namespace tera::app {
namespace {

constexpr const char* kStoppedHint = "the rows printed before are complete";

// What PyTorch's kernels of AVX-512 need; told to use them, it does not ask the processor.
bool has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0;
#else
  return false;
#endif
}

}  // namespace

Result<void> check_torch_has(std::string_view model_name, const spec::ModelConfig& m) {
  const bool moe = m.num_experts > 0;
  const std::pair<const char*, bool> settings[] = {
      {"attention", m.attention == spec::AttentionKind::latent},
      {"attention_scale", m.attention_scale != 0},
      {"attention_softcap", m.attention_softcap != 0},
      {"sliding_window", m.sliding_window != 0},
      {"rope_scaling", m.rope_scaling != spec::RopeScaling::none},
      {"norm_placement", m.norm_placement != spec::NormPlacement::pre},
      {"embedding_multiplier", m.embedding_multiplier != 1},
      {"logit_multiplier", m.logit_multiplier != 1},
      {"router_score", moe && m.router_score != spec::RouterScore::softmax},
      {"router_choice", moe && m.router_choice != spec::RouterChoice::token},
      {"router_num_groups", moe && m.router_num_groups > 1},
      {"expert_capacity_factor", moe && m.expert_capacity_factor > 0},
      {"moe_layer_interval", moe && m.moe_layer_interval > 1},
      {"num_shared_experts", m.num_shared_experts > 0},
      {"num_mtp_layers", m.num_mtp_layers > 0}};
  for (const auto& [name, used] : settings) {
    if (!used) continue;
    return fail(ErrorCode::invalid_input,
                fmt::format("--vs torch: {} sets model.{}, which the PyTorch peer does not have",
                            model_name, name),
                "leave --vs away, or choose another --model");
  }
  return {};
}

nlohmann::ordered_json torch_settings(const spec::ModelConfig& m) {
  return {{"num_layers", m.num_layers},
          {"hidden_size", m.hidden_size},
          {"num_attention_heads", m.num_attention_heads},
          {"num_key_value_heads", m.num_key_value_heads},
          {"head_dim", m.head_dim},
          {"vocab_size", m.vocab_size},
          {"max_position_embeddings", m.max_position_embeddings},
          {"position", enum_name(m.position)},
          {"rope_theta", m.rope_theta},
          {"norm", enum_name(m.norm)},
          {"norm_eps", m.norm_eps},
          {"activation", enum_name(m.activation)},
          {"attention_bias", enum_name(m.attention_bias)},
          {"ffn_bias", m.ffn_bias},
          {"qk_norm", enum_name(m.qk_norm)},
          {"rotary_dims", m.rotary_dims()},
          {"parallel_residual", m.parallel_residual},
          {"tie_embeddings", m.tie_embeddings},
          {"ffn_hidden_size", m.ffn_hidden_size},
          {"num_experts", m.num_experts},
          {"router_top_k", m.router_top_k},
          {"moe_ffn_hidden_size", m.moe_ffn_hidden_size},
          {"num_dense_layers", m.num_dense_layers},
          {"router_renormalize", m.router_renormalize},
          {"aux_loss_coeff", m.aux_loss_coeff},
          {"z_loss_coeff", m.z_loss_coeff}};
}

Result<TorchPeer> TorchPeer::start(const Options& options) {
  TERA_TRY(const std::filesystem::path script, resource_path("bench/" + options.script));
  nlohmann::ordered_json settings = options.settings;
  settings["num_threads"] = options.threads;
  settings["variant"] = options.variant;
  std::vector<std::pair<std::string, std::string>> environment;
  if (options.variant == "tuned") {
    // Freed memory stays in the process instead of being faulted in again each step, in huge pages.
    environment = {{"GLIBC_TUNABLES",
                    "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold="
                    "17179869184:glibc.malloc.hugetlb=1"},
                   {"OMP_NUM_THREADS", std::to_string(options.threads)}};
    if (has_avx512()) environment.emplace_back("ATEN_CPU_CAPABILITY", "avx512");
  }
  TERA_TRY(PeerProcess process,
           PeerProcess::start({options.python, "-W", "ignore", script.string(), settings.dump()},
                              environment));
  TorchPeer peer(std::move(process), options);
  constexpr double kStartTimeout = 600;  // torch.compile runs a C++ compiler
  const Result<std::string> hello = peer.process_.receive(kStartTimeout);
  TERA_TRY_VOID(check_stop(options.verb, kStoppedHint));
  if (!hello) {
    return fail(
        ErrorCode::failed,
        fmt::format("{} could not run the PyTorch peer: {}", options.python, hello.error().message),
        fmt::format("check `{} -c 'import torch'`, or name another interpreter with --python",
                    options.python));
  }
  const nlohmann::json greeting = nlohmann::json::parse(*hello, nullptr, false);
  if (!greeting.is_object()) return peer.unexpected_answer(*hello);
  peer.note_ = fmt::format("torch {}, {} threads{}", greeting.value("torch", "?"),
                           greeting.value("threads", 0),
                           greeting.value("compiled", false) ? ", compiled" : "");
  if (greeting.contains("computes")) peer.note_ += ", " + greeting.value("computes", "?");
  if (greeting.contains("model")) peer.note_ += ", " + greeting.value("model", "?");
  return peer;
}

Result<std::vector<double>> TorchPeer::ask(const std::string& line, const std::string& key) {
  TERA_TRY_VOID(process_.send(line));
  Result<std::string> received = process_.receive(600);
  TERA_TRY_VOID(check_stop(verb_, kStoppedHint));
  TERA_TRY(const std::string answer, std::move(received));
  const nlohmann::json parsed = nlohmann::json::parse(answer, nullptr, false);
  if (!parsed.is_object() || !parsed.contains(key) || !parsed[key].is_array())
    return unexpected_answer(answer);
  std::vector<double> numbers;
  for (const nlohmann::json& number : parsed[key]) {
    if (!number.is_number()) return unexpected_answer(answer);
    numbers.push_back(number.get<double>());
  }
  return numbers;
}

tl::unexpected<Error> TorchPeer::unexpected_answer(const std::string& answer) const {
  return fail(ErrorCode::failed, "the PyTorch peer answered: " + answer.substr(0, 200),
              "run it by hand to see why: resources/bench/" + script_);
}

}  // namespace tera::app
