// Tensor: a view over counted storage on a backend; never copies its elements on its own.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "core/tensor/backend.h"
#include "kernels/view.h"

namespace tera {

class Tensor {
 public:
  Tensor() = default;  // absent
  // Uninitialised contiguous tensor of up to four dims. Throws ContractError on a negative dim.
  static Tensor empty(Backend& backend,
                      std::span<const std::int64_t> shape,
                      DType dtype,
                      MemoryKind kind);
  static Tensor empty(Backend& backend,
                      std::initializer_list<std::int64_t> shape,
                      DType dtype,
                      MemoryKind kind) {
    return empty(backend, std::span(shape.begin(), shape.size()), dtype, kind);
  }
  static Tensor zeros(Backend& backend,
                      std::span<const std::int64_t> shape,
                      DType dtype,
                      MemoryKind kind);
  static Tensor zeros(Backend& backend,
                      std::initializer_list<std::int64_t> shape,
                      DType dtype,
                      MemoryKind kind) {
    return zeros(backend, std::span(shape.begin(), shape.size()), dtype, kind);
  }

  bool present() const { return view_.data != nullptr; }
  int rank() const { return view_.rank; }
  std::int64_t dim(int d) const;  // negative counts from the end
  std::vector<std::int64_t> shape() const;
  DType dtype() const { return view_.dtype; }
  std::int64_t num_elements() const { return view_.num_elements(); }
  std::int64_t num_bytes() const { return num_elements() * dtype_bytes(dtype()); }
  Backend& backend() const { return *backend_; }
  const kernels::View& view() const { return view_; }
  operator const kernels::View&() const { return view_; }  // NOLINT(google-explicit-constructor)

  // Same memory, other shape; the tensor must be contiguous and the element counts equal.
  Tensor reshape(std::span<const std::int64_t> shape) const;
  Tensor reshape(std::initializer_list<std::int64_t> shape) const {
    return reshape(std::span(shape.begin(), shape.size()));
  }
  // Elements [begin, end) of one dim; keeps the strides.
  Tensor slice(int dim, std::int64_t begin, std::int64_t end) const;

  // Counts all of its memory as of another kind from now on.
  void count_as(MemoryKind kind) const { backend_->recount(storage_, kind); }

  template <class T>
  T* data() const {  // host memory; T must be as wide as the dtype
    return static_cast<T*>(view_.data);
  }

 private:
  Backend* backend_ = nullptr;
  std::shared_ptr<std::byte> storage_;
  kernels::View view_;
};

}  // namespace tera
