#include "core/spec/interchange/megatron_table.h"

#include <cmath>

#include "core/spec/interchange/pipeline_chunks.h"
#include "core/spec/validate.h"

namespace tera::spec {
namespace {

bool has_experts(const RunSpec& spec) {
  return spec.model.num_experts > 0;
}
bool has_groups(const RunSpec& spec) {
  return has_experts(spec) && spec.model.router_num_groups > 1;
}
bool has_capacity(const RunSpec& spec) {
  return has_experts(spec) && spec.model.expert_capacity_factor > 0;
}
bool has_z_loss(const RunSpec& spec) {
  return has_experts(spec) && spec.model.z_loss_coeff > 0;
}
bool has_jitter(const RunSpec& spec) {
  return has_experts(spec) && spec.model.router_jitter > 0;
}
bool has_factor(const RunSpec& spec) {
  return has_experts(spec) && spec.model.routed_scaling_factor != 1;
}
bool has_bias_rate(const RunSpec& spec) {
  return has_experts(spec) && spec.model.expert_bias_update_rate > 0;
}
bool is_latent(const RunSpec& spec) {
  return spec.model.attention == AttentionKind::latent;
}
bool compresses_queries(const RunSpec& spec) {
  return is_latent(spec) && spec.model.q_lora_rank > 0;
}
bool is_rotary(const RunSpec& spec) {
  return spec.model.position == PositionKind::rotary;
}
bool is_partly_rotary(const RunSpec& spec) {
  return is_rotary(spec) && !is_latent(spec);
}
bool has_context(const RunSpec& spec) {
  return spec.layout.context_parallel_size > 1;
}
bool has_copies(const RunSpec& spec) {
  return spec.layout.zero_stage > 0 && spec.layout.zero_replicas > 1;
}
bool predicts_more(const RunSpec& spec) {
  return spec.model.num_mtp_layers > 0;
}
bool has_wsd(const RunSpec& spec) {
  return spec.training.lr_schedule == LrScheduleKind::wsd;
}
bool has_adam(const RunSpec& spec) {
  return spec.training.optimizer != OptimizerKind::sgd;
}
bool has_sgd(const RunSpec& spec) {
  return spec.training.optimizer == OptimizerKind::sgd;
}
bool has_fp16(const RunSpec& spec) {
  return spec.training.precision == Precision::fp16;
}

constexpr Word kPositions[] = {{"learned_absolute", "learned"},
                               {"rope", "rotary"},
                               {"alibi", "rotary"},  // neither has weights, nor has none
                               {"none", "rotary"}};
constexpr Word kNorms[] = {{"LayerNorm", "layer"}, {"RMSNorm", "rms"}};
constexpr Word kScores[] = {{"softmax", "softmax"}, {"sigmoid", "sigmoid"}};
constexpr Word kDropPolicies[] = {{"probs", "probability"}, {"position", "position"}};
constexpr Word kBalance[] = {{"aux_loss", "micro_batch"},
                             {"seq_aux_loss", "sequence"},
                             {"global_aux_loss", "global_batch"},
                             {"none", "micro_batch"}};  // with coefficient 0
constexpr Word kSchedules[] = {{"linear", "linear"},
                               {"cosine", "cosine"},
                               {"constant", "constant"},
                               {"inverse-square-root", "inverse_sqrt"},
                               {"WSD", "wsd"}};
constexpr Word kWsdDecays[] = {
    {"minus_sqrt", "minus_sqrt"}, {"linear", "linear"}, {"cosine", "cosine"}};
constexpr Word kOptimizers[] = {{"adam", "adamw"}, {"sgd", "sgd"}, {"muon", "muon"}};
constexpr Word kTrue[] = {{"", "true"}};
constexpr Word kFalse[] = {{"", "false"}};
constexpr Word kLatent[] = {{"", "latent"}};
constexpr Word kSwiglu[] = {{"", "swiglu"}};
constexpr Word kSquaredRelu[] = {{"", "relu_squared"}};
constexpr Word kAlternate[] = {{"", "tp-cp-ep-pp-dp"}};
constexpr Word kContextMethods[] = {{"p2p", "ring"}, {"a2a", "ulysses"}};
constexpr Word kBf16[] = {{"", "bf16"}};
constexpr Word kFp16[] = {{"", "fp16"}};

constexpr Row kRows[] = {
    {.key = "--num-layers", .field = "model.num_layers", .required = true},
    {.key = "--hidden-size", .field = "model.hidden_size", .required = true},
    {.key = "--num-attention-heads", .field = "model.num_attention_heads", .required = true},
    {.key = "--max-position-embeddings",
     .field = "model.max_position_embeddings",
     .required = true},
    {.key = "--multi-latent-attention",
     .field = "model.attention",
     .otherwise = "grouped_query",
     .words = kLatent},
    {.key = "--q-lora-rank", .field = "model.q_lora_rank", .when = compresses_queries},
    {.key = "--kv-lora-rank", .field = "model.kv_lora_rank", .otherwise = "32", .when = is_latent},
    {.key = "--qk-head-dim",
     .field = "model.qk_nope_head_dim",
     .otherwise = "128",
     .when = is_latent},
    {.key = "--qk-pos-emb-head-dim",
     .field = "model.qk_rope_head_dim",
     .otherwise = "64",
     .when = is_latent},
    {.key = "--v-head-dim", .field = "model.v_head_dim", .otherwise = "128", .when = is_latent},
    {.key = "--position-embedding-type",
     .field = "model.position",
     .otherwise = "learned_absolute",
     .words = kPositions},
    {.key = "--rotary-base", .field = "model.rope_theta", .otherwise = "10000", .when = is_rotary},
    {.key = "--rotary-percent",
     .field = "model.rotary_fraction",
     .otherwise = "1.0",
     .when = is_partly_rotary},
    {.key = "--normalization", .field = "model.norm", .otherwise = "LayerNorm", .words = kNorms},
    {.key = "--norm-epsilon", .field = "model.norm_eps", .otherwise = "1e-5"},
    {.key = "--swiglu", .field = "model.activation", .otherwise = "gelu", .words = kSwiglu},
    {.key = "--squared-relu", .field = "model.activation", .words = kSquaredRelu},
    {.key = "--untie-embeddings-and-output-weights",
     .field = "model.tie_embeddings",
     .otherwise = "true",
     .words = kFalse},
    {.key = "--init-method-std", .field = "model.init_std", .otherwise = "0.02"},
    {.key = "--num-experts", .field = "model.num_experts", .when = has_experts},
    {.key = "--moe-router-topk",
     .field = "model.router_top_k",
     .otherwise = "2",
     .when = has_experts},
    {.key = "--moe-router-score-function",
     .field = "model.router_score",
     .otherwise = "softmax",
     .words = kScores,
     .when = has_experts},
    {.key = "--moe-router-num-groups", .field = "model.router_num_groups", .when = has_groups},
    {.key = "--moe-router-group-topk", .field = "model.router_top_groups", .when = has_groups},
    {.key = "--moe-router-topk-scaling-factor",
     .field = "model.routed_scaling_factor",
     .when = has_factor},
    {.key = "--moe-router-load-balancing-type",
     .field = "model.aux_loss_scope",
     .otherwise = "aux_loss",
     .words = kBalance,
     .when = has_experts},
    {.key = "--moe-aux-loss-coeff",
     .field = "model.aux_loss_coeff",
     .otherwise = "0.0",
     .when = has_experts},
    {.key = "--moe-z-loss-coeff", .field = "model.z_loss_coeff", .when = has_z_loss},
    {.key = "--moe-input-jitter-eps", .field = "model.router_jitter", .when = has_jitter},
    {.key = "--moe-expert-capacity-factor",
     .field = "model.expert_capacity_factor",
     .when = has_capacity},
    {.key = "--moe-token-drop-policy",
     .field = "model.capacity_policy",
     .otherwise = "probs",
     .words = kDropPolicies,
     .when = has_capacity},
    {.key = "--moe-pad-expert-input-to-capacity",
     .field = "model.capacity_pad",
     .otherwise = "false",
     .words = kTrue,
     .when = has_capacity},
    {.key = "--moe-router-bias-update-rate",
     .field = "model.expert_bias_update_rate",
     .when = has_bias_rate},
    {.key = "--mtp-num-layers", .field = "model.num_mtp_layers", .when = predicts_more},
    {.key = "--mtp-loss-scaling-factor",
     .field = "model.mtp_loss_coeff",
     .otherwise = "0.1",
     .when = predicts_more},
    {.key = "--tensor-model-parallel-size",
     .field = "layout.tensor_parallel_size",
     .otherwise = "1"},
    {.key = "--pipeline-model-parallel-size",
     .field = "layout.pipeline_parallel_size",
     .otherwise = "1"},
    {.key = "--num-virtual-stages-per-pipeline-rank",
     .field = "layout.virtual_stages",
     .when = counts_megatron_chunks},
    {.key = "--context-parallel-size", .field = "layout.context_parallel_size", .otherwise = "1"},
    {.key = "--cp-comm-type",
     .field = "layout.context_parallel_method",
     .otherwise = "p2p",
     .words = kContextMethods,
     .when = has_context},
    {.key = "--expert-model-parallel-size",
     .field = "layout.expert_parallel_size",
     .otherwise = "1",
     .when = has_experts},
    {.key = "--expert-tensor-parallel-size",
     .field = "layout.expert_tensor_parallel_size",
     .when = has_experts},
    {.key = "--use-tp-pp-dp-mapping",
     .field = "layout.rank_order",
     .otherwise = "tp-cp-ep-dp-pp",
     .words = kAlternate,
     .when = megatron_alternates_stages},
    {.key = "--sequence-parallel",
     .field = "layout.sequence_parallel",
     .otherwise = "false",
     .words = kTrue},
    {.key = "--num-distributed-optimizer-instances",
     .field = "layout.zero_replicas",
     .otherwise = "1",
     .when = has_copies},
    {.key = "--micro-batch-size", .field = "layout.micro_batch_size", .required = true},
    {.key = "--global-batch-size", .field = "training.global_batch_size"},
    {.key = "--seq-length", .field = "training.seq_length", .required = true},
    {.key = "--train-iters", .field = "training.num_steps"},
    {.key = "--optimizer",
     .field = "training.optimizer",
     .otherwise = "adam",
     .words = kOptimizers},
    {.key = "--lr", .field = "training.learning_rate"},
    {.key = "--min-lr", .field = "training.min_learning_rate", .otherwise = "0.0"},
    {.key = "--lr-decay-style",
     .field = "training.lr_schedule",
     .otherwise = "linear",
     .words = kSchedules},
    {.key = "--lr-warmup-iters", .field = "training.warmup_steps", .otherwise = "0"},
    {.key = "--lr-wsd-decay-iters", .field = "training.decay_steps", .when = has_wsd},
    {.key = "--lr-wsd-decay-style",
     .field = "training.wsd_decay",
     .words = kWsdDecays,
     .when = has_wsd},
    {.key = "--weight-decay", .field = "training.weight_decay", .otherwise = "0.01"},
    {.key = "--clip-grad", .field = "training.grad_clip", .otherwise = "1.0"},
    {.key = "--adam-beta1", .field = "training.adam_beta1", .otherwise = "0.9", .when = has_adam},
    {.key = "--adam-beta2", .field = "training.adam_beta2", .otherwise = "0.999", .when = has_adam},
    {.key = "--adam-eps", .field = "training.adam_eps", .otherwise = "1e-8", .when = has_adam},
    {.key = "--sgd-momentum",
     .field = "training.sgd_momentum",
     .otherwise = "0.9",
     .when = has_sgd},
    {.key = "--bf16", .field = "training.precision", .otherwise = "fp32", .words = kBf16},
    {.key = "--fp16", .field = "training.precision", .words = kFp16},
    {.key = "--overlap-grad-reduce",
     .field = "software.gradient_overlap",
     .otherwise = "false",
     .words = kTrue},
    {.key = "--tp-comm-overlap",
     .field = "software.tensor_overlap",
     .otherwise = "false",
     .words = kTrue},
    {.key = "--overlap-moe-expert-parallel-comm",
     .field = "software.expert_overlap",
     .otherwise = "false",
     .words = kTrue},
    {.key = "--cross-entropy-loss-fusion",
     .field = "software.fused_cross_entropy",
     .otherwise = "false",
     .words = kTrue},
    {.key = "--initial-loss-scale", .field = "training.initial_loss_scale", .when = has_fp16},
    {.key = "--loss-scale-window",
     .field = "training.loss_scale_growth_interval",
     .otherwise = "1000",
     .when = has_fp16},
    {.key = "--save-interval", .field = "training.checkpoint_interval"},
    {.key = "--eval-interval", .field = "training.eval_interval", .otherwise = "1000"},
    {.key = "--seed", .field = "seed", .otherwise = "1234"},
};

}  // namespace

const Mapping& megatron_mapping() {
  static const Mapping kMapping{
      .title = "Megatron-LM", .rows = kRows, .idle = megatron_idle_keys()};
  return kMapping;
}

double yarn_softening(double stretch, double mscale) {
  return stretch <= 1 ? 1 : 0.1 * mscale * std::log(stretch) + 1;
}

}  // namespace tera::spec
