#include "core/nn/adapters.h"

namespace tera::nn {
namespace {

Tensor columns(const Tensor& y, const plan::AdaptedRows& rows) {
  return y.slice(1, rows.first, rows.first + rows.count);
}

// scale x A^T: [M, r]
Tensor down(const kernels::View& x, const Tensor& a, double scale) {
  Backend& backend = a.backend();
  Tensor inner = Tensor::empty(backend, {x.shape[0], a.dim(0)}, a.dtype(), MemoryKind::workspace);
  backend.ops().matmul(backend.context(), x, a, inner, {.transpose_b = true});
  backend.ops().scale(backend.context(), inner, scale, inner);
  return inner;
}

// scale dy B: [M, r]
Tensor up_backward(const kernels::View& dy, const Tensor& b, double scale) {
  Backend& backend = b.backend();
  Tensor inner = Tensor::empty(backend, {dy.shape[0], b.dim(1)}, b.dtype(), MemoryKind::workspace);
  backend.ops().matmul(backend.context(), dy, b, inner, {});
  backend.ops().scale(backend.context(), inner, scale, inner);
  return inner;
}

struct Product {
  bool transpose = false;
  double scale = 1;
  DType dtype = DType::f32;  // of the result
};

// scale x w_e^T, or scale x w_e, with the matrix of each row's expert.
Tensor grouped(const Tensor& x,
               const Adapters::Groups& groups,
               const Tensor& w,
               const Product& product) {
  Backend& backend = w.backend();
  Tensor y = Tensor::empty(backend, {groups.buffer_rows, w.dim(product.transpose ? 1 : 2)},
                           product.dtype, MemoryKind::workspace)
                 .slice(0, 0, x.dim(0));
  backend.ops().grouped_matmul(backend.context(), x, w, groups.offsets, y, product.transpose);
  if (product.scale != 1) backend.ops().scale(backend.context(), y, product.scale, y);
  return y;
}

}  // namespace

Adapters::Adapters(ParamStore& store, const std::string& weight) : backend_(&store.backend()) {
  std::vector<Param>& params = store.params();
  for (std::size_t i = 0; i < params.size(); ++i) {
    const auto& adapts = params[i].spec.adapts;
    if (!adapts || adapts->weight != weight) continue;
    pairs_.push_back({&params[i], &params[i + 1], *adapts});  // A, then its B
    ++i;
  }
}

void Adapters::forward(const Tensor& x, const Tensor& y) const {
  for (const Pair& pair : pairs_) {
    backend_->ops().matmul(backend_->context(), down(x, pair.a->value, pair.rows.scale),
                           pair.b->value, columns(y, pair.rows),
                           {.transpose_b = true, .accumulate = true});
  }
}

void Adapters::backward_input(const Tensor& dy, const Tensor& dx) const {
  for (const Pair& pair : pairs_) {
    backend_->ops().matmul(backend_->context(),
                           up_backward(columns(dy, pair.rows), pair.b->value, pair.rows.scale),
                           pair.a->value, dx, {.accumulate = true});
  }
}

// dB = scale dy^T (A x), dA = scale (B^T dy)^T x.
void Adapters::backward_weight(const Tensor& dy, const Tensor& x) {
  const auto add = [&](const kernels::View& a, const kernels::View& b, const Tensor& grad) {
    backend_->ops().matmul(backend_->context(), a, b, grad,
                           {.transpose_a = true, .accumulate = true});
  };
  for (const Pair& pair : pairs_) {
    const Tensor part = columns(dy, pair.rows);
    add(part, down(x, pair.a->value, pair.rows.scale), pair.b->gradient());
    add(up_backward(part, pair.b->value, pair.rows.scale), x, pair.a->gradient());
  }
}

void Adapters::forward_rows(const kernels::View& x,
                            std::int64_t first,
                            const kernels::View& y) const {
  for (const Pair& pair : pairs_) {
    backend_->ops().matmul(backend_->context(), down(x, pair.a->value, pair.rows.scale),
                           pair.b->value.slice(0, first, first + y.shape[1]), y,
                           {.transpose_b = true, .accumulate = true});
  }
}

void Adapters::backward_input_rows(const kernels::View& dy,
                                   std::int64_t first,
                                   const kernels::View& dx) const {
  for (const Pair& pair : pairs_) {
    const Tensor rows = pair.b->value.slice(0, first, first + dy.shape[1]);
    backend_->ops().matmul(backend_->context(), up_backward(dy, rows, pair.rows.scale),
                           pair.a->value, dx, {.accumulate = true});
  }
}

void Adapters::forward(const Tensor& x, const Groups& groups, const Tensor& y) const {
  for (const Pair& pair : pairs_) {
    const Tensor inner =
        grouped(x, groups, pair.a->value, {true, pair.rows.scale, pair.a->value.dtype()});
    backend_->ops().add(backend_->context(), y,
                        grouped(inner, groups, pair.b->value, {true, 1, y.dtype()}), y);
  }
}

void Adapters::backward_input(const Tensor& dy, const Groups& groups, const Tensor& dx) const {
  for (const Pair& pair : pairs_) {
    const Tensor inner =
        grouped(dy, groups, pair.b->value, {false, pair.rows.scale, pair.b->value.dtype()});
    backend_->ops().add(backend_->context(), dx,
                        grouped(inner, groups, pair.a->value, {false, 1, dx.dtype()}), dx);
  }
}

void Adapters::backward_weight(const Tensor& dy, const Tensor& x, const Groups& groups) {
  const auto add = [&](const Tensor& a, const Tensor& b, const Tensor& grad) {
    backend_->ops().grouped_matmul_weight(backend_->context(), a, b, groups.offsets, grad, true);
  };
  for (const Pair& pair : pairs_) {
    add(dy, grouped(x, groups, pair.a->value, {true, pair.rows.scale, pair.a->value.dtype()}),
        pair.b->gradient());
    add(grouped(dy, groups, pair.b->value, {false, pair.rows.scale, pair.b->value.dtype()}), x,
        pair.a->gradient());
  }
}

}  // namespace tera::nn
