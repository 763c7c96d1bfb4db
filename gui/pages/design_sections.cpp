#include "gui/pages/design_sections.h"

#include <QCoreApplication>

namespace tera::gui {
namespace {

QString tr(const char* text) {
  return QCoreApplication::translate("DesignSections", text);
}

}  // namespace

std::vector<FormSection> modelSections() {
  return {{tr("Size"),
           {"model.num_layers", "model.hidden_size", "model.num_attention_heads",
            "model.num_key_value_heads", "model.head_dim", "model.ffn_hidden_size",
            "model.vocab_size"}},
          {tr("Experts"),
           {"model.num_experts", "model.router_top_k", "model.moe_ffn_hidden_size",
            "model.num_shared_experts", "model.num_dense_layers", "model.moe_layer_interval"}},
          {tr("Router"),
           {"model.router_score", "model.router_choice", "model.router_renormalize",
            "model.routed_scaling_factor", "model.router_num_groups", "model.router_top_groups",
            "model.router_group_best", "model.expert_capacity_factor", "model.capacity_policy",
            "model.capacity_pad", "model.aux_loss_coeff", "model.aux_loss_scope",
            "model.z_loss_coeff", "model.expert_bias_update_rate", "model.router_jitter",
            "model.shared_expert_gate"},
           false},
          {tr("Attention"),
           {"model.attention", "model.qk_norm", "model.attention_bias", "model.attention_scale",
            "model.attention_softcap", "model.sliding_window", "model.q_lora_rank",
            "model.kv_lora_rank", "model.qk_nope_head_dim", "model.qk_rope_head_dim",
            "model.v_head_dim"},
           false},
          {tr("Positions"),
           {"model.position", "model.max_position_embeddings", "model.rope_theta",
            "model.rotary_fraction", "model.rope_scaling", "model.rope_factor",
            "model.rope_original_max_position", "model.rope_low_freq_factor",
            "model.rope_high_freq_factor", "model.rope_beta_fast", "model.rope_beta_slow",
            "model.rope_attention_factor"},
           false},
          {tr("Norms and activation"),
           {"model.norm", "model.norm_eps", "model.norm_placement", "model.parallel_residual",
            "model.activation", "model.ffn_bias"},
           false},
          {tr("Multi-token prediction"), {"model.num_mtp_layers", "model.mtp_loss_coeff"}, false},
          {tr("Initialisation"),
           {"model.init_method", "model.init_std", "model.mup_base_hidden_size"},
           false},
          {tr("More"), {"model.*"}, false}};
}

std::vector<FormSection> trainingSections() {
  return {
      {tr("Run"),
       {"name", "seed", "training.num_steps", "training.global_batch_size", "training.seq_length"}},
      {tr("Learning rate"),
       {"training.learning_rate", "training.min_learning_rate", "training.lr_schedule",
        "training.warmup_steps", "training.decay_steps", "training.wsd_decay"}},
      {tr("Batch ramp"),
       {"training.rampup_batch_size", "training.rampup_increment", "training.rampup_tokens"},
       false},
      {tr("Optimizer"),
       {"training.optimizer", "training.weight_decay", "training.grad_clip", "training.adam_beta1",
        "training.adam_beta2", "training.adam_eps", "training.muon_momentum",
        "training.muon_nesterov", "training.muon_ns_steps", "training.muon_adjust_lr",
        "training.lion_beta1", "training.lion_beta2", "training.adafactor_beta2_decay",
        "training.adafactor_clip_threshold", "training.adafactor_min_rms", "training.sgd_momentum",
        "training.sgd_nesterov"},
       false},
      {tr("Outliers and averaging"),
       {"training.skip_step_threshold", "training.skip_step_window", "training.ema_decay"},
       false},
      {tr("Precision"),
       {"training.precision", "training.gradient_precision", "training.moment_precision",
        "training.reproducible_sums", "training.initial_loss_scale",
        "training.loss_scale_growth_interval", "training.loss_scale_backoff"},
       false},
      {tr("Tensor groups"), {"training.param_groups.*"}, false},
      {tr("Adapters (LoRA)"), {"lora.*"}, false},
      {tr("Saving and evaluation"),
       {"training.eval_interval", "training.eval_sequences", "training.checkpoint_interval",
        "training.keep_checkpoints"},
       false},
      {tr("More"), {"training.*", "data.*", "launch.*"}, false}};
}

std::vector<FormSection> layoutSections() {
  return {
      {tr("Degrees"),
       {"layout.tensor_parallel_size", "layout.pipeline_parallel_size", "layout.data_parallel_size",
        "layout.expert_parallel_size", "layout.context_parallel_size"}},
      {tr("Batch and memory"),
       {"layout.micro_batch_size", "layout.zero_stage", "layout.recompute", "layout.schedule",
        "layout.virtual_stages"}},
      {tr("Offload"), {"layout.offload.*"}, false},
      {tr("More"), {"layout.*"}, false},
      {tr("Cluster"), {"cluster.num_nodes", "cluster.devices_per_node"}},
      {tr("Device"), {"cluster.device.*"}, false},
      {tr("Links"), {"cluster.intra_node.*", "cluster.inter_node.*"}, false},
      {tr("Host"), {"cluster.host.*"}, false},
      {tr("Failures, storage, money"), {"cluster.operation.*"}, false},
      {tr("Energy"), {"cluster.*"}, false},
      {tr("Serving"), {"inference.*"}, false},
      {tr("Software"), {"software.*"}, false}};
}

}  // namespace tera::gui
