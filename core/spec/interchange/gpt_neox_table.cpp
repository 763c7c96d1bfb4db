#include "core/spec/interchange/gpt_neox_table.h"

namespace tera::spec {
namespace {

bool is_rotary(const RunSpec& spec) {
  return spec.model.position == PositionKind::rotary;
}
bool has_rms(const RunSpec& spec) {
  return spec.model.norm == NormKind::rms;
}
bool has_layer_norm(const RunSpec& spec) {
  return !has_rms(spec);
}
bool has_adam(const RunSpec& spec) {
  return spec.training.optimizer == OptimizerKind::adamw;
}
bool has_sgd(const RunSpec& spec) {
  return spec.training.optimizer == OptimizerKind::sgd;
}
bool has_fp16(const RunSpec& spec) {
  return spec.training.precision == Precision::fp16;
}

constexpr Word kPositions[] = {{"learned", "learned"}, {"rotary", "rotary"}};
constexpr Word kNorms[] = {
    {"layernorm", "layer"}, {"rmsnorm", "rms"}, {"te_rmsnorm", "rms"}, {"te_layernorm", "layer"}};
constexpr Word kActivations[] = {
    {"gelu", "gelu_exact"}, {"relu", "relu"}, {"geglu", "geglu"}, {"swiglu", "swiglu"}};
constexpr Word kInverse[] = {{"true", "false"}, {"false", "true"}};
constexpr Word kStages[] = {{"0", "0"}, {"1", "1"}, {"2", "2"}, {"3", "3"}};
constexpr Word kOptimizers[] = {{"Adam", "adamw"}, {"adam", "adamw"}, {"cpu_adam", "adamw"},
                                {"lion", "lion"},  {"Lion", "lion"},  {"sgd", "sgd"},
                                {"SGD", "sgd"}};
constexpr Word kSchedules[] = {
    {"linear", "linear"}, {"cosine", "cosine"}, {"constant", "constant"}};
constexpr Word kPrecisions[] = {{"fp32", "fp32"}, {"fp16", "fp16"}, {"bfloat16", "bf16"}};

constexpr Row kRows[] = {
    {.key = "num_layers", .field = "model.num_layers", .required = true},
    {.key = "hidden_size", .field = "model.hidden_size", .required = true},
    {.key = "num_attention_heads", .field = "model.num_attention_heads", .required = true},
    {.key = "max_position_embeddings", .field = "model.max_position_embeddings", .required = true},
    {.key = "pos_emb", .field = "model.position", .otherwise = "learned", .words = kPositions},
    {.key = "rotary_pct", .field = "model.rotary_fraction", .otherwise = "1.0", .when = is_rotary},
    {.key = "rotary_emb_base",
     .field = "model.rope_theta",
     .otherwise = "10000",
     .when = is_rotary},
    {.key = "norm", .field = "model.norm", .otherwise = "layernorm", .words = kNorms},
    {.key = "layernorm_epsilon",
     .field = "model.norm_eps",
     .otherwise = "1e-5",
     .when = has_layer_norm},
    {.key = "rms_norm_epsilon", .field = "model.norm_eps", .otherwise = "1e-8", .when = has_rms},
    {.key = "gpt_j_residual", .field = "model.parallel_residual", .otherwise = "false"},
    {.key = "no_weight_tying",
     .field = "model.tie_embeddings",
     .otherwise = "false",
     .words = kInverse},
    {.key = "activation", .field = "model.activation", .otherwise = "gelu", .words = kActivations},
    {.key = "use_bias_in_mlp", .field = "model.ffn_bias", .otherwise = "true"},
    {.key = "init_method_std", .field = "model.init_std", .otherwise = "0.02"},
    {.key = "model_parallel_size", .field = "layout.tensor_parallel_size", .otherwise = "1"},
    {.key = "context_parallel_size", .field = "layout.context_parallel_size", .otherwise = "1"},
    {.key = "sequence_parallel", .field = "layout.sequence_parallel", .otherwise = "false"},
    {.key = "zero_optimization.stage",
     .field = "layout.zero_stage",
     .otherwise = "0",
     .words = kStages},
    {.key = "seq_length", .field = "training.seq_length", .required = true},
    {.key = "train_iters", .field = "training.num_steps"},
    {.key = "optimizer.type",
     .field = "training.optimizer",
     .otherwise = "Adam",
     .words = kOptimizers},
    {.key = "optimizer.params.lr", .field = "training.learning_rate"},
    {.key = "optimizer.params.eps",
     .field = "training.adam_eps",
     .otherwise = "1e-8",
     .when = has_adam},
    {.key = "optimizer.params.momentum", .field = "training.sgd_momentum", .when = has_sgd},
    {.key = "min_lr", .field = "training.min_learning_rate", .otherwise = "0"},
    {.key = "lr_decay_style",
     .field = "training.lr_schedule",
     .otherwise = "linear",
     .words = kSchedules},
    {.key = "weight_decay", .field = "training.weight_decay", .otherwise = "0.1"},
    {.key = "gradient_clipping", .field = "training.grad_clip", .otherwise = "1.0"},
    {.key = "precision", .field = "training.precision", .words = kPrecisions},
    {.key = "fp16.loss_scale_window",
     .field = "training.loss_scale_growth_interval",
     .otherwise = "1000",
     .when = has_fp16},
    {.key = "eval_interval", .field = "training.eval_interval", .otherwise = "1000"},
    {.key = "seed", .field = "seed", .otherwise = "1234"},
};

constexpr std::string_view kKernels[] = {"scaled_upper_triang_masked_softmax_fusion",
                                         "bias_gelu_fusion",
                                         "masked_softmax_fusion",
                                         "scaled_masked_softmax_fusion",
                                         "synchronize_each_layer",
                                         "rope_fusion",
                                         "layernorm_fusion",
                                         "rmsnorm_fusion",
                                         "attention_softmax_in_fp32",
                                         "output_layer_parallelism",
                                         "partition_activations",
                                         "te_*"};
constexpr std::string_view kFiles[] = {"data_path",
                                       "data_impl",
                                       "train_data_*",
                                       "valid_data_*",
                                       "test_data_*",
                                       "vocab_file",
                                       "merge_file",
                                       "tokenizer_type",
                                       "save",
                                       "load",
                                       "split",
                                       "checkpoint_validation_with_forward_pass",
                                       "keep_last_n_checkpoints",
                                       "num_workers",
                                       "finetune",
                                       "extra_save_iters",
                                       "checkpoint_scale",
                                       "checkpoint_factor",
                                       "save_interval",
                                       "pack_impl",
                                       "mmap_warmup"};
constexpr std::string_view kLogging[] = {"log_*",      "tensorboard_*",   "wandb_*",
                                         "use_wandb",  "steps_per_print", "wall_clock_breakdown",
                                         "eval_iters", "tensorboard",     "keep_last",
                                         "git_hash",   "text_gen_type"};
constexpr std::string_view kLauncher[] = {
    "launcher", "deepspeed_*",         "hostfile", "master_*", "include", "exclude", "num_nodes",
    "num_gpus", "distributed_backend", "deepspeed"};
constexpr std::string_view kOff[] = {"gpt_j_tied"};
constexpr std::string_view kBuffers[] = {"zero_optimization.*", "communication_*"};
constexpr std::string_view kScaling[] = {"fp16.*", "bf16.*", "fp32_allreduce",
                                         "optimizer.params.*"};

constexpr IdleKeys kIdle[] = {
    {"one set of kernels is planned", kKernels},
    {"files of the run: data.datasets, data.tokenizer and checkpoints are set here", kFiles},
    {"logging does not change the run", kLogging},
    {"how processes find each other is for the launcher", kLauncher},
    {"there is no such setting here", kOff, "false"},
    {"buffers of communication are planned by rules of their own", kBuffers},
    {"there is no such setting here", kScaling},
};

}  // namespace

const Mapping& gpt_neox_mapping() {
  static constexpr Mapping kMapping{.title = "GPT-NeoX", .rows = kRows, .idle = kIdle};
  return kMapping;
}

}  // namespace tera::spec
