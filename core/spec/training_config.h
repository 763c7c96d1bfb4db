// How the model is trained: batch, length, optimizer, schedule, precision, what is saved and when.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/fields.h"

namespace tera::spec {

enum class OptimizerKind : std::uint8_t { adamw };
enum class LrScheduleKind : std::uint8_t { constant, cosine, wsd };
enum class Precision : std::uint8_t { fp32, bf16 };

struct TrainingConfig {
  int seq_length = 128;        // tokens
  int global_batch_size = 16;  // sequences
  std::int64_t num_steps = 200;
  OptimizerKind optimizer = OptimizerKind::adamw;
  double learning_rate = 1e-3;
  double min_learning_rate = 1e-4;
  LrScheduleKind lr_schedule = LrScheduleKind::cosine;
  std::int64_t warmup_steps = 20;
  std::int64_t decay_steps = 40;  // wsd only
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.95;
  double adam_eps = 1e-8;
  double weight_decay = 0.1;
  double grad_clip = 1.0;  // 0 = off
  Precision precision = Precision::fp32;
  std::int64_t eval_interval = 50;  // steps; 0 = never
  int eval_sequences = 64;
  std::int64_t checkpoint_interval = 100;  // steps; 0 = only at the end
  int keep_checkpoints = 3;
  std::string init_from = {};  // checkpoint to start from; empty: random weights
  bool operator==(const TrainingConfig&) const = default;

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
    visit(Field{.name = "optimizer", .help = "adamw.", .source = "Loshchilov and Hutter 2019"},
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
    visit(
        Field{.name = "lr_schedule",
              .help =
                  "constant, cosine, or wsd (warmup, stable, decay), each after a linear warmup."},
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
    visit(Field{.name = "weight_decay",
                .min = 0,
                .max = 10,
                .step = 0.01,
                .help = "Decoupled decay of matrices; norms and biases are not decayed."},
          self.weight_decay);
    visit(Field{.name = "grad_clip",
                .min = 0,
                .max = 1e6,
                .step = 0.1,
                .help = "Largest global gradient norm; 0 switches clipping off."},
          self.grad_clip);
    visit(Field{.name = "precision",
                .help = "fp32, or bf16 with fp32 master weights and fp32 gradients."},
          self.precision);
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
};

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::OptimizerKind> {
  static constexpr std::array<std::string_view, 1> value = {"adamw"};
};
template <>
struct EnumNames<spec::LrScheduleKind> {
  static constexpr std::array<std::string_view, 3> value = {"constant", "cosine", "wsd"};
};
template <>
struct EnumNames<spec::Precision> {
  static constexpr std::array<std::string_view, 2> value = {"fp32", "bf16"};
};
}  // namespace tera
