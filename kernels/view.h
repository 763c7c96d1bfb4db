// View: pointer, shape, strides and dtype of up to four dims. A plain value; owns nothing.
#pragma once
#include <array>
#include <cstdint>

#include "kernels/dtype.h"

namespace tera::kernels {

struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  int rank = 0;
  std::array<std::int64_t, 4> shape = {1, 1, 1, 1};
  std::array<std::int64_t, 4> strides = {0, 0, 0, 0};  // in elements

  bool present() const { return data != nullptr; }  // optional arguments pass an empty View
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  std::int64_t num_elements() const {
    std::int64_t n = 1;
    for (int d = 0; d < rank; ++d)
      n *= shape[static_cast<std::size_t>(d)];
    return n;
  }
  bool contiguous() const {
    std::int64_t expected = 1;
    for (int d = rank - 1; d >= 0; --d) {
      const auto i = static_cast<std::size_t>(d);
      if (shape[i] != 1 && strides[i] != expected) return false;
      expected *= shape[i];
    }
    return true;
  }
};

}  // namespace tera::kernels
