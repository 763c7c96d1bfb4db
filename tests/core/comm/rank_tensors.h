// Tensors of one rank of a test, and what is in them.
#pragma once
#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/thread_pool.h"
#include "core/tensor/cpu_backend.h"
#include "core/tensor/tensor.h"
#include "kernels/bf16.h"
#include "kernels/f16.h"

namespace tera::comm::test {

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<kernels::Bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<kernels::F16> {
  static constexpr DType value = DType::f16;
};

// Whether the type computes as float.
template <class T>
constexpr bool is_half = std::is_same_v<T, kernels::Bf16> || std::is_same_v<T, kernels::F16>;

// A number as an element, and back.
template <class T>
T element(double value) {
  if constexpr (is_half<T>)
    return T(static_cast<float>(value));
  else
    return static_cast<T>(value);
}
template <class T>
double number_of(T element) {
  if constexpr (is_half<T>)
    return static_cast<double>(static_cast<float>(element));
  else
    return static_cast<double>(element);
}

class RankTensors {
 public:
  template <class T>
  Tensor empty(std::initializer_list<std::int64_t> shape) {
    return Tensor::empty(*backend_, shape, DTypeOf<T>::value, MemoryKind::workspace);
  }
  // value(i) for every element i, as T.
  template <class T, class Value>
  Tensor filled(std::initializer_list<std::int64_t> shape, const Value& value) {
    Tensor t = empty<T>(shape);
    for (std::int64_t i = 0; i < t.num_elements(); ++i)
      t.data<T>()[i] = element<T>(static_cast<double>(value(i)));
    return t;
  }
  Tensor floats(const std::vector<float>& values) {
    return filled<float>({std::ssize(values)},
                         [&](std::int64_t i) { return values[static_cast<std::size_t>(i)]; });
  }
  Backend& backend() { return *backend_; }

 private:
  ThreadPool pool_{1};
  std::unique_ptr<Backend> backend_ = make_cpu_backend(pool_, CpuOps::reference);
};

// Expects value(i) in every element i; names the first that differs.
template <class T, class Value>
void expect_elements(const Tensor& t, const Value& value) {
  for (std::int64_t i = 0; i < t.num_elements(); ++i) {
    const auto expected = number_of(element<T>(static_cast<double>(value(i))));
    if (number_of(t.data<T>()[i]) != expected) {
      FAIL() << "element " << i << " of " << t.num_elements() << " " << dtype_name(t.dtype())
             << ": got " << number_of(t.data<T>()[i]) << ", expected " << expected;
    }
  }
}

}  // namespace tera::comm::test
