#include "core/train/grad_sync.h"

#include <cmath>

#include "core/base/check.h"
#include "core/plan/adapter_table.h"
#include "core/plan/placement.h"

namespace tera::train {

void sum_gradients(nn::ParamStore& params, comm::Communicator& data_parallel) {
  if (data_parallel.size() == 1) return;
  for (nn::Param& param : params.params()) {
    if (param.grad.present()) data_parallel.all_reduce(param.grad, comm::Reduce::sum);
  }
}

void sum_embedding_copies(nn::ParamStore& params,
                          const spec::RunSpec& spec,
                          comm::Communicator& pipeline) {
  const int first = 0;
  const int last = pipeline.size() - 1;
  if (!plan::copies_embedding(spec.model, plan::stage_chunks(spec, last))) return;
  if (pipeline.rank() != first && pipeline.rank() != last) return;
  nn::Param& param = params.get("embedding.tokens");
  if (!param.trained) return;
  const int other = pipeline.rank() == first ? last : first;
  const Tensor& grad = param.gradient();
  Tensor received =
      Tensor::empty(grad.backend(), grad.shape(), grad.dtype(), MemoryKind::workspace);
  pipeline.send(grad, other);
  pipeline.recv(received, other);
  grad.backend().ops().add(grad.backend().context(), grad, received, grad);  // a + b = b + a
}

double gradient_norm(const nn::ParamStore& params,
                     const spec::RunSpec& spec,
                     comm::Communicator& pipeline) {
  Backend& backend = params.backend();
  const plan::ParamTable table = plan::make_param_table(spec);
  Tensor squares = Tensor::zeros(backend, {std::ssize(table)}, DType::f64, MemoryKind::workspace);
  auto param = params.params().begin();
  for (std::size_t i = 0; i < table.size() && param != params.params().end(); ++i) {
    if (param->spec.name != table[i].name) continue;
    const bool counts = !param->slice.first_ranges().empty();  // a copy does not
    if (param->grad.present() && counts)
      squares.data<double>()[i] = backend.ops().sum_of_squares(backend.context(), param->grad);
    ++param;
  }
  TERA_CHECK(param == params.params().end(), "{} is not in the model's table", param->spec.name);
  pipeline.all_reduce(squares, comm::Reduce::sum);
  double sum = 0;
  for (std::int64_t i = 0; i < squares.num_elements(); ++i)
    sum += squares.data<double>()[i];
  return std::sqrt(sum);
}

double clip_factor(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace tera::train
