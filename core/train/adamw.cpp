#include "core/train/adamw.h"

namespace tera::train {

AdamW::AdamW(nn::ParamStore& params, const spec::TrainingConfig& config)
    : params_(&params), config_(config) {
  Backend& backend = params.backend();
  for (nn::Param& param : params.params()) {
    if (!param.spec.trainable) continue;
    Slot slot{.param = &param, .master = {}, .exp_avg = {}, .exp_avg_sq = {}};
    const std::vector<std::int64_t> shape = param.value.shape();
    const DType accumulate = kernels::accumulate_dtype(param.value.dtype());
    if (param.value.dtype() == DType::bf16) {
      slot.master = Tensor::empty(backend, shape, DType::f32, MemoryKind::optimizer);
      backend.ops().copy(backend.context(), param.value, slot.master);
    }
    slot.exp_avg = Tensor::zeros(backend, shape, accumulate, MemoryKind::optimizer);
    slot.exp_avg_sq = Tensor::zeros(backend, shape, accumulate, MemoryKind::optimizer);
    slots_.push_back(std::move(slot));
  }
}

void AdamW::step(double learning_rate, double grad_scale) {
  ++steps_done_;
  Backend& backend = params_->backend();
  for (Slot& slot : slots_) {
    const bool has_master = slot.master.present();
    const kernels::AdamWOptions options{
        .learning_rate = learning_rate,
        .beta1 = config_.adam_beta1,
        .beta2 = config_.adam_beta2,
        .eps = config_.adam_eps,
        .weight_decay = slot.param->spec.decay ? config_.weight_decay : 0.0,
        .grad_scale = grad_scale,
        .step = steps_done_,
    };
    backend.ops().adamw(backend.context(),
                        has_master ? slot.master.view() : slot.param->value.view(),
                        has_master ? slot.param->value.view() : kernels::View{}, slot.param->grad,
                        slot.exp_avg, slot.exp_avg_sq, options);
  }
}

void AdamW::visit_state(
    const std::function<void(const std::string&, std::string_view, Tensor&)>& visit) {
  for (Slot& slot : slots_) {
    if (slot.master.present()) visit(slot.param->spec.name, "master", slot.master);
    visit(slot.param->spec.name, "exp_avg", slot.exp_avg);
    visit(slot.param->spec.name, "exp_avg_sq", slot.exp_avg_sq);
  }
}

}  // namespace tera::train
