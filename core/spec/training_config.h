// How the model is trained: batch, length, optimizer, schedule, precision, what is saved and when.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/fields.h"

namespace tera::spec {

enum class OptimizerKind : std::uint8_t { adamw, muon, lion, adafactor, sgd };
// Factor on Muon's learning rate for a matrix of m rows and n columns: original is
// sqrt(max(1, m / n)), match_rms_adamw 0.2 sqrt(max(m, n)).
enum class MuonAdjustLr : std::uint8_t { original, match_rms_adamw };
enum class LrScheduleKind : std::uint8_t { constant, cosine, wsd, linear, inverse_sqrt };
// How wsd goes down: 1 - sqrt(progress), 1 - progress, or half a cosine.
enum class WsdDecay : std::uint8_t { minus_sqrt, linear, cosine };
// Of weights and activations. bf16 and fp16 keep f32 master weights; bf16_stochastic has none and
// rounds each update by chance; fp16 scales the loss. The narrow ones are bf16 whose products take
// numbers of 8 or 4 bits: fp8_tensor with one scale per tensor, fp8_block per 1 x 128 (weights 128
// x 128), mxfp8 per 32, nvfp4 per 16.
enum class Precision : std::uint8_t {
  fp32,
  bf16,
  bf16_stochastic,
  fp16,
  fp8_tensor,
  fp8_block,
  mxfp8,
  nvfp4
};
constexpr bool has_narrow_products(Precision precision) {
  return precision >= Precision::fp8_tensor;
}
enum class GradientPrecision : std::uint8_t { fp32, bf16 };
enum class MomentPrecision : std::uint8_t { fp32, bf16, int8 };

// How the tensors of one kind differ from the rest in training.
struct ParamGroup {
  double lr_multiplier = 1;
  double weight_decay_multiplier = 1;
  bool operator==(const ParamGroup&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "lr_multiplier",
                .min = 0,
                .max = 1e6,
                .step = 0.1,
                .help = "Factor on training.learning_rate for these tensors."},
          self.lr_multiplier);
    visit(Field{.name = "weight_decay_multiplier",
                .min = 0,
                .max = 1e6,
                .step = 0.1,
                .help = "Factor on training.weight_decay for these tensors; 0 is no decay."},
          self.weight_decay_multiplier);
  }
};

struct ParamGroups {
  ParamGroup embedding;
  ParamGroup head;
  ParamGroup matrix;
  ParamGroup expert;
  ParamGroup router;
  ParamGroup norm{.lr_multiplier = 1, .weight_decay_multiplier = 0};
  bool operator==(const ParamGroups&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "embedding", .help = "Token and position embeddings."}, self.embedding);
    visit(Field{.name = "head", .help = "Output head, where it is not tied."}, self.head);
    visit(Field{.name = "matrix", .help = "Matrices of attention and feed-forward."}, self.matrix);
    visit(Field{.name = "expert", .help = "Matrices of routed experts."}, self.expert);
    visit(Field{.name = "router", .help = "Router matrices."}, self.router);
    visit(Field{.name = "norm", .help = "Norm weights and all biases."}, self.norm);
  }
};

struct TrainingConfig {
  int seq_length = 128;        // tokens
  int global_batch_size = 16;  // sequences
  std::int64_t num_steps = 200;
  int rampup_batch_size = 0;  // sequences; 0 = no ramp
  int rampup_increment = 0;   // sequences
  std::int64_t rampup_tokens = 0;
  OptimizerKind optimizer = OptimizerKind::adamw;
  double learning_rate = 1e-3;
  double min_learning_rate = 1e-4;
  LrScheduleKind lr_schedule = LrScheduleKind::cosine;
  std::int64_t warmup_steps = 20;
  std::int64_t decay_steps = 40;  // wsd only
  WsdDecay wsd_decay = WsdDecay::minus_sqrt;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.95;
  double adam_eps = 1e-8;
  double lion_beta1 = 0.9;
  double lion_beta2 = 0.99;
  double sgd_momentum = 0.9;
  bool sgd_nesterov = false;
  double adafactor_beta2_decay = -0.8;
  double adafactor_clip_threshold = 1;
  double adafactor_min_rms = 1e-3;
  double muon_momentum = 0.95;
  bool muon_nesterov = true;
  int muon_ns_steps = 5;
  MuonAdjustLr muon_adjust_lr = MuonAdjustLr::match_rms_adamw;
  double weight_decay = 0.1;
  ParamGroups param_groups;
  double grad_clip = 1.0;          // 0 = off
  double skip_step_threshold = 0;  // standard deviations; 0 = off
  int skip_step_window = 128;      // steps
  double ema_decay = 0;            // 0 = off
  Precision precision = Precision::fp32;
  GradientPrecision gradient_precision = GradientPrecision::fp32;
  MomentPrecision moment_precision = MomentPrecision::fp32;
  bool reproducible_sums = false;
  double initial_loss_scale = 65536;  // fp16 only, and so are the next two
  std::int64_t loss_scale_growth_interval = 2000;
  double loss_scale_backoff = 0.5;
  std::int64_t eval_interval = 50;  // steps; 0 = never
  int eval_sequences = 64;
  std::int64_t checkpoint_interval = 100;  // steps; 0 = only at the end
  int keep_checkpoints = 3;
  std::string init_from = {};  // checkpoint to start from; empty: random weights
  bool operator==(const TrainingConfig&) const = default;

  bool has_batch_ramp() const { return rampup_batch_size > 0 && rampup_increment > 0; }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    constexpr double kSteps = 1e12;
    visit(Field{.name = "seq_length",
                .unit = "tokens",
                .min = 1,
                .max = 1 << 27,
                .step = 128,
                .help = "Tokens per training sequence."},
          self.seq_length);
    visit(Field{.name = "global_batch_size",
                .unit = "sequences",
                .min = 1,
                .max = 1 << 24,
                .help = "Sequences per optimizer step over all replicas."},
          self.global_batch_size);
    visit(Field{.name = "num_steps",
                .unit = "steps",
                .min = 1,
                .max = kSteps,
                .step = 100,
                .help = "Optimizer steps of the whole run."},
          self.num_steps);
    visit_batch_ramp(self, visit);
    visit(Field{.name = "optimizer",
                .help = "adamw; muon for the matrices of layers and adamw for the rest; lion; "
                        "adafactor; sgd.",
                .source = "Loshchilov and Hutter 2019; Jordan et al. 2024; Chen et al. 2023; "
                          "Shazeer and Stern 2018"},
          self.optimizer);
    visit(Field{.name = "learning_rate",
                .min = 0,
                .max = 100,
                .step = 1e-4,
                .help = "Peak learning rate."},
          self.learning_rate);
    visit(Field{.name = "min_learning_rate",
                .min = 0,
                .max = 100,
                .step = 1e-5,
                .help = "Learning rate at the end of the decay."},
          self.min_learning_rate);
    visit(Field{.name = "lr_schedule",
                .help = "constant, cosine, linear, inverse_sqrt, or wsd (warmup, stable, decay), "
                        "each after "
                        "a linear warmup.",
                .source = "Loshchilov and Hutter 2017; Vaswani et al. 2017; Hu et al. 2024"},
          self.lr_schedule);
    visit(Field{.name = "warmup_steps",
                .unit = "steps",
                .min = 0,
                .max = kSteps,
                .step = 10,
                .help = "Steps of linear warmup."},
          self.warmup_steps);
    visit(Field{.name = "decay_steps",
                .unit = "steps",
                .min = 0,
                .max = kSteps,
                .step = 10,
                .help = "Steps of the final decay of wsd.",
                .source = "Hu et al. 2024, MiniCPM"},
          self.decay_steps);
    visit(Field{.name = "wsd_decay",
                .help = "Shape of the decay of wsd: minus_sqrt, linear or cosine.",
                .source = "Haegele et al. 2024, section 3"},
          self.wsd_decay);
    visit(Field{.name = "adam_beta1",
                .min = 0,
                .max = 1,
                .step = 0.01,
                .help = "Decay of the first moment."},
          self.adam_beta1);
    visit(Field{.name = "adam_beta2",
                .min = 0,
                .max = 1,
                .step = 0.01,
                .help = "Decay of the second moment."},
          self.adam_beta2);
    visit(Field{.name = "adam_eps",
                .min = 0,
                .max = 1,
                .step = 1e-9,
                .help = "Added to the square root of the second moment."},
          self.adam_eps);
    visit_optimizers(self, visit);
    visit(Field{.name = "weight_decay",
                .min = 0,
                .max = 10,
                .step = 0.01,
                .help = "Decoupled decay, times the multiplier of the tensor's group: by default "
                        "norms and biases are not decayed."},
          self.weight_decay);
    visit(Field{.name = "param_groups",
                .help = "Learning rate and decay of embeddings, head, experts, routers, norms."},
          self.param_groups);
    visit(Field{.name = "grad_clip",
                .min = 0,
                .max = 1e6,
                .step = 0.1,
                .help = "Largest global gradient norm; 0 switches clipping off."},
          self.grad_clip);
    visit_guards(self, visit);
    visit(
        Field{.name = "precision",
              .help = "fp32; bf16 with fp32 master weights; bf16_stochastic without them, each "
                      "update rounded by chance; fp16 with fp32 master weights and a scaled loss; "
                      "fp8_tensor, fp8_block, mxfp8, nvfp4: bf16 with products in 8 or 4 bits.",
              .source = "Micikevicius et al. 2018; Gupta et al. 2015; DeepSeek-AI 2024, section "
                        "3.3; Open Compute Project 2023, microscaling formats; NVIDIA 2025, NVFP4"},
        self.precision);
    visit(
        Field{.name = "gradient_precision", .help = "What gradients are summed in: fp32 or bf16."},
        self.gradient_precision);
    visit(Field{.name = "moment_precision",
                .help = "What the optimizer's moments are kept in: fp32, bf16 or int8 in blocks.",
                .source = "DeepSeek-AI 2024, section 3.3.3; Dettmers et al. 2022"},
          self.moment_precision);
    visit(Field{.name = "reproducible_sums",
                .help = "Add up gradients in the order of the global batch, whatever the number of "
                        "replicas, so that it changes no bit of a run; costs a sum over replicas "
                        "and a pass over the gradients for each micro-batch."},
          self.reproducible_sums);
    visit_loss_scale(self, visit);
    visit(Field{.name = "eval_interval",
                .unit = "steps",
                .min = 0,
                .max = kSteps,
                .step = 10,
                .help = "Steps between evaluations on held-out text; 0 is never."},
          self.eval_interval);
    visit(Field{.name = "eval_sequences",
                .unit = "sequences",
                .min = 1,
                .max = 1 << 24,
                .help = "Held-out sequences per evaluation."},
          self.eval_sequences);
    visit(Field{.name = "checkpoint_interval",
                .unit = "steps",
                .min = 0,
                .max = kSteps,
                .step = 10,
                .help = "Steps between checkpoints; 0 is only at the end."},
          self.checkpoint_interval);
    visit(Field{.name = "keep_checkpoints",
                .min = 2,
                .max = 100000,
                .help = "Newest checkpoints kept."},
          self.keep_checkpoints);
    visit(Field{.name = "init_from",
                .help = "Checkpoint, or directory of one, whose weights the run starts from; empty "
                        "starts from random ones."},
          self.init_from);
  }

  template <class Self, class Visitor>
  static void visit_batch_ramp(Self& self, Visitor&& visit) {
    visit(Field{.name = "rampup_batch_size",
                .unit = "sequences",
                .min = 0,
                .max = 1 << 24,
                .help = "Batch of the first steps, which grows to global_batch_size; 0 is no ramp.",
                .source = "Narayanan et al. 2021, Megatron-LM"},
          self.rampup_batch_size);
    visit(Field{.name = "rampup_increment",
                .unit = "sequences",
                .min = 0,
                .max = 1 << 24,
                .help = "What the batch grows by each time."},
          self.rampup_increment);
    visit(Field{.name = "rampup_tokens",
                .unit = "tokens",
                .min = 0,
                .max = 1e15,
                .step = 1e6,
                .help = "Tokens after which the batch is whole."},
          self.rampup_tokens);
  }

  template <class Self, class Visitor>
  static void visit_loss_scale(Self& self, Visitor&& visit) {
    visit(Field{.name = "initial_loss_scale",
                .min = 1,
                .max = 1e9,
                .step = 1024,
                .help = "What fp16 multiplies the loss with at first, so that small gradients do "
                        "not vanish.",
                .source = "Micikevicius et al. 2018, section 3.2"},
          self.initial_loss_scale);
    visit(Field{.name = "loss_scale_growth_interval",
                .unit = "steps",
                .min = 1,
                .max = 1e9,
                .step = 100,
                .help = "Steps without overflow after which the loss scale is doubled."},
          self.loss_scale_growth_interval);
    visit(Field{.name = "loss_scale_backoff",
                .min = 0.01,
                .max = 0.99,
                .step = 0.1,
                .help = "Factor on the loss scale after an overflow, whose step is left out."},
          self.loss_scale_backoff);
  }

  template <class Self, class Visitor>
  static void visit_guards(Self& self, Visitor&& visit) {
    visit(Field{.name = "skip_step_threshold",
                .min = 0,
                .max = 1e6,
                .step = 1,
                .help = "Leave out the update of a step whose loss or gradient norm is more than "
                        "this many standard deviations above the mean of the steps before; 0 is "
                        "never, 6 is usual.",
                .source = "OLMo-core, SkipStepOptimizer"},
          self.skip_step_threshold);
    visit(Field{.name = "skip_step_window",
                .unit = "steps",
                .min = 2,
                .max = 100000,
                .help = "Steps the mean and deviation for skip_step_threshold are taken over.",
                .source = "OLMo-core, SkipStepOptimizer"},
          self.skip_step_window);
    visit(Field{.name = "ema_decay",
                .min = 0,
                .max = 1,
                .step = 0.001,
                .help = "Decay of a running mean of the weights, saved with them and evaluated "
                        "beside them; 0 is none.",
                .source = "Polyak and Juditsky 1992"},
          self.ema_decay);
  }

  // What only one optimizer reads.
  template <class Self, class Visitor>
  static void visit_optimizers(Self& self, Visitor&& visit) {
    visit(Field{.name = "lion_beta1",
                .min = 0,
                .max = 1,
                .step = 0.01,
                .help = "Share of the momentum in the direction of a step of lion.",
                .source = "Chen et al. 2023, section 4"},
          self.lion_beta1);
    visit(Field{.name = "lion_beta2",
                .min = 0,
                .max = 1,
                .step = 0.01,
                .help = "Decay of the momentum of lion.",
                .source = "Chen et al. 2023, section 4"},
          self.lion_beta2);
    visit(Field{.name = "sgd_momentum",
                .min = 0,
                .max = 1,
                .step = 0.01,
                .help = "Decay of the momentum of sgd; 0 is plain descent."},
          self.sgd_momentum);
    visit(Field{.name = "sgd_nesterov",
                .help = "Take the step of sgd from where the momentum leads.",
                .source = "Sutskever et al. 2013"},
          self.sgd_nesterov);
    visit(Field{.name = "adafactor_beta2_decay",
                .min = -1,
                .max = 0,
                .step = 0.05,
                .help = "Step t of adafactor takes t to this power of the new squared gradients "
                        "into the second moments.",
                .source = "Shazeer and Stern 2018, section 7.2"},
          self.adafactor_beta2_decay);
    visit(Field{.name = "adafactor_clip_threshold",
                .min = 1e-6,
                .max = 1e6,
                .step = 0.1,
                .help = "Largest root mean square of an update of adafactor.",
                .source = "Shazeer and Stern 2018, section 6"},
          self.adafactor_clip_threshold);
    visit(Field{.name = "adafactor_min_rms",
                .min = 0,
                .max = 1,
                .step = 1e-4,
                .help = "The step of adafactor is the learning rate times the root mean square of "
                        "the tensor, which counts as at least this.",
                .source = "Shazeer and Stern 2018, section 8"},
          self.adafactor_min_rms);
    visit(Field{.name = "muon_momentum",
                .min = 0,
                .max = 1,
                .step = 0.01,
                .help = "Decay of the momentum of muon.",
                .source = "Jordan et al. 2024, Muon"},
          self.muon_momentum);
    visit(Field{.name = "muon_nesterov",
                .help = "Orthogonalise gradient and momentum together, not the momentum alone.",
                .source = "Jordan et al. 2024, Muon"},
          self.muon_nesterov);
    visit(Field{.name = "muon_ns_steps",
                .min = 1,
                .max = 99,
                .help = "Newton-Schulz iterations of muon.",
                .source = "Jordan et al. 2024, Muon"},
          self.muon_ns_steps);
    visit(Field{.name = "muon_adjust_lr",
                .help = "Factor on muon's learning rate for m rows and n columns: original is "
                        "sqrt(max(1, m / n)), match_rms_adamw 0.2 sqrt(max(m, n)), with which "
                        "learning rate and decay of adamw carry over.",
                .source = "Liu et al. 2025, Muon is scalable for LLM training, section 2.2"},
          self.muon_adjust_lr);
  }
};

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::OptimizerKind> {
  static constexpr std::array<std::string_view, 5> value = {"adamw", "muon", "lion", "adafactor",
                                                            "sgd"};
};
template <>
struct EnumNames<spec::MuonAdjustLr> {
  static constexpr std::array<std::string_view, 2> value = {"original", "match_rms_adamw"};
};
template <>
struct EnumNames<spec::LrScheduleKind> {
  static constexpr std::array<std::string_view, 5> value = {"constant", "cosine", "wsd", "linear",
                                                            "inverse_sqrt"};
};
template <>
struct EnumNames<spec::WsdDecay> {
  static constexpr std::array<std::string_view, 3> value = {"minus_sqrt", "linear", "cosine"};
};
template <>
struct EnumNames<spec::Precision> {
  static constexpr std::array<std::string_view, 8> value = {
      "fp32", "bf16", "bf16_stochastic", "fp16", "fp8_tensor", "fp8_block", "mxfp8", "nvfp4"};
};
template <>
struct EnumNames<spec::GradientPrecision> {
  static constexpr std::array<std::string_view, 2> value = {"fp32", "bf16"};
};
template <>
struct EnumNames<spec::MomentPrecision> {
  static constexpr std::array<std::string_view, 3> value = {"fp32", "bf16", "int8"};
};
}  // namespace tera
