#include "core/train/optimizer.h"

#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/plan/optimizer_state.h"
#include "core/train/update_rules.h"

namespace tera::train {
namespace {

// Weights are their running mean while it lives.
class EmaInPlace {
 public:
  explicit EmaInPlace(std::vector<TrainedTensor>& tensors) {
    for (TrainedTensor& tensor : tensors) {  // may throw: no weight has changed yet
      const Tensor value = tensor.value();
      const std::int64_t n = value.num_elements();
      Tensor trained = Tensor::empty(value.backend(), {n}, value.dtype(), MemoryKind::workspace);
      replaced_.push_back({value, std::move(trained), as_row(tensor.state("ema"), 0, n)});
    }
    for (const Replaced& at : replaced_) {
      copy(at.value, at.trained);
      copy(at.ema, at.value);
    }
  }
  ~EmaInPlace() {
    for (const Replaced& at : replaced_)
      copy(at.trained, at.value);
  }
  EmaInPlace(const EmaInPlace&) = delete;
  EmaInPlace& operator=(const EmaInPlace&) = delete;

 private:
  struct Replaced {
    Tensor value, trained, ema;
  };
  static void copy(const Tensor& from, const Tensor& to) {
    to.backend().ops().copy(to.backend().context(), from, to);
  }
  std::vector<Replaced> replaced_;
};

}  // namespace

Optimizer::Optimizer(nn::ParamStore& params, const spec::RunSpec& spec) : spec_(spec) {
  for (nn::Param& param : params.params()) {
    if (param.spec.trainable && param.num_owned() > 0)
      tensors_.emplace_back(params.backend(), param, spec);
  }
}

void Optimizer::step(double learning_rate, double grad_scale) {
  ++steps_done_;
  const spec::TrainingConfig& config = spec_.training;
  for (TrainedTensor& tensor : tensors_) {
    const plan::ParamSpec& param = tensor.param->spec;
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

std::vector<Optimizer::StateName> Optimizer::state_names() const {
  std::vector<StateName> names;
  for (const TrainedTensor& tensor : tensors_) {
    for (const TrainedTensor::State& state : tensor.states)
      names.push_back({tensor.param->spec.name, state.role, state.tensor.shape()});
  }
  return names;
}

Tensor Optimizer::state(const std::string& name, std::string_view role) const {
  const Place place = find(name, role);
  return tensors_[place.tensor].whole(tensors_[place.tensor].states[place.state]);
}

void Optimizer::set_state(const std::string& name, std::string_view role, const Tensor& values) {
  const Place place = find(name, role);
  tensors_[place.tensor].assign(tensors_[place.tensor].states[place.state], values);
}

Optimizer::Place Optimizer::find(const std::string& name, std::string_view role) const {
  for (std::size_t t = 0; t < tensors_.size(); ++t) {
    if (tensors_[t].param->spec.name != name) continue;
    for (std::size_t s = 0; s < tensors_[t].states.size(); ++s) {
      if (tensors_[t].states[s].role == role) return {t, s};
    }
  }
  throw ContractError(fmt::format("no optimizer state '{}' of '{}'", role, name));
}

void Optimizer::with_ema(const std::function<void()>& body) {
  const EmaInPlace ema(tensors_);
  body();
}

}  // namespace tera::train
