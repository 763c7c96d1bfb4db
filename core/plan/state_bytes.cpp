#include "core/plan/state_bytes.h"

#include "core/plan/optimizer_state.h"

namespace tera::plan {
namespace {

using spec::Framework;
using spec::Precision;
using spec::RunSpec;

constexpr std::size_t at(StateItem item) {
  return static_cast<std::size_t>(item);
}

// What an element of a moment takes where it is not f32; int8 has an f32 scale for 256.
double moment_bytes(const RunSpec& spec, const ParamSpec& param) {
  double bytes = 0;
  for (const StateTensor& state : optimizer_state(param, spec.training)) {
    if (state.role == "master") continue;
    double elements = 1;
    for (const std::int64_t extent : state.shape)
      elements *= static_cast<double>(extent);
    bytes += elements * static_cast<double>(dtype_bytes(state.dtype));
  }
  return bytes;
}

// TeraGPT: what the engine allocates, and what it would in precisions it only plans.
StateBytes of_teragpt(const ParamSpec& param, const RunSpec& spec) {
  const auto elements = static_cast<double>(param.num_elements());
  const DType dtype = weight_dtype(param, spec.training.precision);
  StateBytes bytes = {};
  bytes[at(StateItem::weights)] = elements * static_cast<double>(dtype_bytes(dtype));
  if (!param.trainable) return bytes;
  const bool half = spec.training.gradient_precision == spec::GradientPrecision::bf16;
  bytes[at(StateItem::gradients)] = elements * (half ? 2 : 4);
  bytes[at(StateItem::moments)] = moment_bytes(spec, param);
  bytes[at(StateItem::master)] = static_cast<double>(optimizer_state_bytes(param, spec.training)) -
                                 bytes[at(StateItem::moments)];
  return bytes;
}

bool in_narrow_products(const ParamSpec& param, const RunSpec& spec) {
  const bool matrix = (param.kind == ParamKind::matrix && param.layer >= 0) || param.is_expert();
  return matrix && spec::has_narrow_products(spec.training.precision);
}

}  // namespace

double product_bytes(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return 4;
    case Precision::bf16:
    case Precision::bf16_stochastic:
    case Precision::fp16:
      return 2;
    case Precision::fp8_tensor:
      return 1;
    case Precision::fp8_block:
      return 1 + 4.0 / 128;
    case Precision::mxfp8:
      return 1 + 1.0 / 32;
    case Precision::nvfp4:
      return 0.5 + 1.0 / 16;
  }
  return 2;
}

double gradient_sum_bytes(const RunSpec& spec) {
  const bool f16 = spec.training.precision == Precision::fp16 &&
                   (spec.software.framework == Framework::megatron_lm ||
                    spec.software.framework == Framework::deepspeed);
  return f16 || spec.training.gradient_precision == spec::GradientPrecision::bf16 ? 2 : 4;
}

StateBytes state_bytes(const ParamSpec& param, const RunSpec& spec) {
  const Precision precision = spec.training.precision;
  StateBytes bytes = of_teragpt(param, spec);
  const auto elements = static_cast<double>(param.num_elements());
  const bool narrow = in_narrow_products(param, spec);
  // Rows and columns are quantised apart: backward reads a matrix the other way round.
  if (narrow) bytes[at(StateItem::weight_copies)] = 2 * elements * product_bytes(precision);
  const Framework framework = spec.software.framework;
  if (framework == Framework::teragpt || precision == Precision::fp32) return bytes;

  const bool f16 = precision == Precision::fp16;
  const double trained = param.trainable ? elements : 0;
  if (framework == Framework::torchtitan) {
    bytes[at(StateItem::weights)] = 4 * elements;
    // Else gathered weights live in the layers that run; in a pipeline each micro-batch would
    // gather them again.
    const bool staged = spec.layout.pipeline_parallel_size > 1;
    const bool whole = spec.layout.zero_stage < 3 || staged;
    bytes[at(StateItem::weight_copies)] = whole ? 2 * elements : 0;
    bytes[at(StateItem::gradients)] = 4 * trained;
    bytes[at(StateItem::gradient_copies)] = staged ? 4 * trained : 0;
    bytes[at(StateItem::master)] = 0;
    return bytes;
  }
  bytes[at(StateItem::weights)] = 2 * elements;
  bytes[at(StateItem::master)] = 4 * trained;
  if (framework == Framework::megatron_lm) {
    if (narrow) bytes[at(StateItem::weights)] = 0;
    bytes[at(StateItem::gradients)] = gradient_sum_bytes(spec) * trained;
    bytes[at(StateItem::gradient_copies)] = f16 ? 4 * trained : 0;
  } else {
    bytes[at(StateItem::master)] = 8 * trained;
    bytes[at(StateItem::gradients)] = 2 * trained;
    bytes[at(StateItem::gradient_copies)] = gradient_sum_bytes(spec) > 2 ? 4 * trained : 0;
    if (narrow) bytes[at(StateItem::weight_copies)] = 0;  // quantised anew at each use
  }
  return bytes;
}

bool keeps_whole_gradients(const RunSpec& spec) {
  return spec.software.framework == Framework::teragpt && spec.num_micro_batches() > 1;
}

StateRule state_rule(StateItem item, const RunSpec& spec) {
  const Framework framework = spec.software.framework;
  switch (item) {
    case StateItem::weights:
      if (framework != Framework::torchtitan) return {StateKind::weights, 3, "weights", {}};
      return {StateKind::weights, 1, "f32 weights",
              "PyTorch FSDP2: sharded parameters stay f32 and are the optimizer's own"};
    case StateItem::weight_copies:
      if (framework == Framework::torchtitan) {
        return {StateKind::weights, 4, "gathered bf16 weights",
                "PyTorch FSDP2, mixed precision without resharding after forward"};
      }
      return {StateKind::weights, 3, "quantised weights, rows and columns",
              framework == Framework::megatron_lm
                  ? "NVIDIA Transformer Engine: weights in both directions; no bf16 copy with "
                    "Megatron-LM's --fp8-param-gather"
                  : "NVIDIA Transformer Engine: weights are quantised once a step, in both "
                    "directions"};
    case StateItem::gradients:
      if (keeps_whole_gradients(spec)) {
        return {
            StateKind::gradients, 4, "gradients",
            "summed over micro-batches in training.gradient_precision, whole: replicas exchange "
            "them once, after the last one"};
      }
      return {StateKind::gradients, 2, "gradients",
              framework == Framework::teragpt       ? "in training.gradient_precision"
              : framework == Framework::megatron_lm ? "Megatron-LM: main gradients, f32 for bf16"
              : framework == Framework::deepspeed   ? "DeepSpeed: gradients in the weights' type"
                                                    : "PyTorch FSDP2: sharded gradients in f32"};
    case StateItem::gradient_copies:
      if (framework == Framework::megatron_lm) {
        return {StateKind::gradients, 1, "f32 copies of gradients",
                "Megatron-LM, README of core 0.6: 20 B per fp16 parameter"};
      }
      if (framework == Framework::torchtitan) {
        return {StateKind::gradients, 4, "f32 sums of gradients",
                "PyTorch PipelineStage: FSDP shares out the gradients after the last micro-batch "
                "only, and sums them whole in f32 until then"};
      }
      return {StateKind::gradients, 2, "f32 sums of gradients",
              "DeepSpeed BF16_Optimizer: sums over micro-batches in f32, not sharded (BigScience "
              "2022, chronicles of tr11-176B)"};
    case StateItem::master:
      if (framework == Framework::deepspeed) {
        return {StateKind::master, 1, "f32 weights and their gradients",
                "Rajbhandari et al. 2020, ZeRO, section 3.1: 16 B per fp16 parameter and the "
                "gradients of the f32 partition (DeepSpeed, stage_1_and_2)"};
      }
      return {StateKind::master, 1, "master weights",
              framework == Framework::teragpt
                  ? "Micikevicius et al. 2018, section 3.1; of bf16 weights the lower halves"
                  : "Micikevicius et al. 2018, section 3.1"};
    case StateItem::moments:
      break;
  }
  return {StateKind::moments, 1, "moments", {}};
}

}  // namespace tera::plan
