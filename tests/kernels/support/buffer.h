// Buffer: an owned array with a View on it, readable and writable as doubles whatever its dtype.
#pragma once
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/f16.h"
#include "kernels/view.h"

namespace tera::kernels::test {

class Buffer {
 public:
  Buffer() = default;  // absent: the View of an optional argument
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;
  Buffer(const Buffer&) = delete;  // the view points into the own memory: use clone()
  Buffer& operator=(const Buffer&) = delete;
  // `gap` elements lie between rows (the last dim), holding a pattern that padding_intact checks.
  Buffer(DType dtype, std::vector<std::int64_t> shape, std::int64_t gap = 0);

  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT(google-explicit-constructor)
  std::int64_t size() const { return view_.present() ? view_.num_elements() : 0; }
  DType dtype() const { return view_.dtype; }

  double get(std::int64_t i) const;
  void set(std::int64_t i, double value);
  std::vector<double> values() const;

  Buffer& fill_normal(std::mt19937& rng, double scale = 1.0);
  Buffer& fill(double value);
  Buffer& assign(const std::vector<double>& values);
  // Same bytes in memory of its own.
  Buffer clone() const;
  // The values rounded to another dtype.
  Buffer converted(DType dtype) const;
  bool padding_intact() const;
  bool same_bits(const Buffer& other) const { return memory_ == other.memory_; }

 private:
  std::int64_t position(std::int64_t i) const;  // of element i in memory, gaps counted

  std::vector<std::uint8_t> memory_;
  std::int64_t gap_ = 0;
  View view_;
};

}  // namespace tera::kernels::test
