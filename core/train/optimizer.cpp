#include "core/train/optimizer.h"

#include "core/plan/optimizer_state.h"
#include "core/train/update_rules.h"

namespace tera::train {

Optimizer::Optimizer(nn::ParamStore& params, const spec::RunSpec& spec) : spec_(spec) {
  for (nn::Param& param : params.params()) {
    if (param.spec.trainable) tensors_.emplace_back(params.backend(), param, spec);
  }
}

void Optimizer::step(double learning_rate, double grad_scale) {
  ++steps_done_;
  const spec::TrainingConfig& config = spec_.training;
  for (TrainedTensor& tensor : tensors_) {
    const plan::ParamSpec& param = tensor.param->spec;
    tensor.step = steps_done_;
    const UpdateStep step{
        .learning_rate = learning_rate * plan::learning_rate_multiplier(param, spec_),
        .weight_decay = plan::weight_decay(param, config),
        .grad_scale = grad_scale,
        .number = steps_done_};
    switch (plan::update_rule(param, config)) {
      case spec::OptimizerKind::adamw:
        update_adamw(tensor, config, step);
        break;
      case spec::OptimizerKind::muon:
        update_muon(tensor, config, step);
        break;
      case spec::OptimizerKind::lion:
        update_lion(tensor, config, step);
        break;
      case spec::OptimizerKind::adafactor:
        update_adafactor(tensor, config, step);
        break;
      case spec::OptimizerKind::sgd:
        update_sgd(tensor, config, step);
        break;
    }
    update_ema(tensor, config.ema_decay);
  }
}

void Optimizer::visit_state(
    const std::function<void(const std::string&, std::string_view, Tensor&)>& visit) {
  for (TrainedTensor& tensor : tensors_) {
    for (TrainedTensor::State& state : tensor.states)
      visit(tensor.param->spec.name, state.role, state.tensor);
  }
}

void Optimizer::with_ema(const std::function<void()>& body) {
  std::vector<Tensor> trained;
  for (TrainedTensor& tensor : tensors_) {
    const Tensor& value = tensor.param->value;
    Backend& backend = value.backend();
    const Tensor& kept = trained.emplace_back(
        Tensor::empty(backend, value.shape(), value.dtype(), MemoryKind::workspace));
    backend.ops().copy(backend.context(), value, kept);
    backend.ops().copy(backend.context(), tensor.state("ema"), value);
  }
  body();
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& value = tensors_[i].param->value;
    value.backend().ops().copy(value.backend().context(), trained[i], value);
  }
}

}  // namespace tera::train
