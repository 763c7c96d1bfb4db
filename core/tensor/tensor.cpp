#include "core/tensor/tensor.h"

#include <algorithm>
#include <string>

#include "core/base/check.h"

namespace tera {
namespace {

constexpr std::size_t kMaxRank = 4;

std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

kernels::View contiguous_view(std::span<const std::int64_t> shape, DType dtype) {
  TERA_CHECK(!shape.empty() && shape.size() <= kMaxRank,
             "tensor shape {} has {} dims, expected 1 to {}", shape_text(shape), shape.size(),
             kMaxRank);
  kernels::View view;
  view.dtype = dtype;
  view.rank = static_cast<int>(shape.size());
  std::int64_t stride = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    TERA_CHECK(shape[d] >= 0, "tensor shape {} has a negative dim", shape_text(shape));
    view.shape[d] = shape[d];
    view.strides[d] = stride;
    stride *= std::max<std::int64_t>(shape[d], 1);
  }
  return view;
}

}  // namespace

Tensor Tensor::empty(Backend& backend,
                     std::span<const std::int64_t> shape,
                     DType dtype,
                     MemoryKind kind) {
  Tensor tensor;
  tensor.view_ = contiguous_view(shape, dtype);
  tensor.backend_ = &backend;
  tensor.storage_ = backend.allocate(tensor.view_.num_elements() * dtype_bytes(dtype), kind);
  tensor.view_.data = tensor.storage_.get();
  return tensor;
}

Tensor Tensor::zeros(Backend& backend,
                     std::span<const std::int64_t> shape,
                     DType dtype,
                     MemoryKind kind) {
  Tensor tensor = empty(backend, shape, dtype, kind);
  backend.ops().zero(backend.context(), tensor);
  return tensor;
}

std::int64_t Tensor::dim(int d) const {
  const int index = d < 0 ? d + rank() : d;
  TERA_CHECK(index >= 0 && index < rank(), "dim {} of a tensor of shape {}", d,
             shape_text(shape()));
  return view_.shape[static_cast<std::size_t>(index)];
}

std::vector<std::int64_t> Tensor::shape() const {
  return {view_.shape.begin(), view_.shape.begin() + view_.rank};
}

Tensor Tensor::reshape(std::span<const std::int64_t> wanted) const {
  TERA_CHECK(view_.contiguous(), "reshape of a tensor of shape {} with gaps to {}",
             shape_text(this->shape()), shape_text(wanted));
  Tensor result = *this;
  result.view_ = contiguous_view(wanted, dtype());
  result.view_.data = view_.data;
  TERA_CHECK(result.num_elements() == num_elements(), "reshape of {} to {}: {} elements to {}",
             shape_text(this->shape()), shape_text(wanted), num_elements(), result.num_elements());
  return result;
}

Tensor Tensor::slice(int dim, std::int64_t begin, std::int64_t end) const {
  const std::int64_t extent = this->dim(dim);
  TERA_CHECK(begin >= 0 && begin <= end && end <= extent,
             "slice [{}, {}) of dim {} of a tensor of shape {}", begin, end, dim,
             shape_text(shape()));
  const auto d = static_cast<std::size_t>(dim < 0 ? dim + rank() : dim);
  Tensor result = *this;
  result.view_.shape[d] = end - begin;
  result.view_.data =
      static_cast<std::byte*>(view_.data) + begin * view_.strides[d] * dtype_bytes(dtype());
  return result;
}

}  // namespace tera
