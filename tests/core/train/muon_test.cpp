// The Newton-Schulz iteration makes a matrix nearly orthogonal and does not turn its directions.
#include <cmath>

#include <gtest/gtest.h>

#include "core/train/update_rules.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::train {
namespace {

class NewtonSchulz : public testing::Test {
 protected:
  Tensor random(std::int64_t rows, std::int64_t cols) {
    const Philox rng(3, RngPurpose::test);
    Tensor x = Tensor::empty(*backend_, {rows, cols}, DType::f32, MemoryKind::workspace);
    for (std::int64_t i = 0; i < x.num_elements(); ++i)
      x.data<float>()[i] = static_cast<float>(rng.normal2(0, static_cast<std::uint64_t>(i))[0]);
    return x;
  }
  // <a, b> over all elements.
  static double inner(const Tensor& a, const Tensor& b) {
    double sum = 0;
    for (std::int64_t i = 0; i < a.num_elements(); ++i)
      sum += static_cast<double>(a.data<float>()[i]) * static_cast<double>(b.data<float>()[i]);
    return sum;
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = make_cpu_backend(pool_);
};

TEST_F(NewtonSchulz, SingularValuesComeNearOne) {
  for (const auto& [rows, cols] : {std::pair(24, 24), std::pair(8, 50), std::pair(50, 8)}) {
    const Tensor x = random(rows, cols);
    Tensor y = random(rows, cols);
    newton_schulz(y, 8);  // three more than usual, for the small singular values of the square one
    // |Y v| for unit vectors v along the small side lies between the extreme singular values.
    const std::int64_t small = std::min(rows, cols);
    for (std::int64_t k = 0; k < small; ++k) {
      double square = 0;
      for (std::int64_t i = 0; i < std::max(rows, cols); ++i) {
        const double value =
            static_cast<double>(y.data<float>()[rows > cols ? i * cols + k : k * cols + i]);
        square += value * value;
      }
      EXPECT_GT(std::sqrt(square), 0.6) << rows << "x" << cols << " " << k;
      EXPECT_LT(std::sqrt(square), 1.25) << rows << "x" << cols << " " << k;
    }
    EXPECT_GT(inner(x, y), 0.6 * std::sqrt(inner(x, x)));  // sum of singular values >= norm
  }
}

TEST_F(NewtonSchulz, DoesNotSeeTheScale) {
  Tensor x = random(6, 9);
  Tensor y = random(6, 9);
  for (std::int64_t i = 0; i < y.num_elements(); ++i)
    y.data<float>()[i] *= 1024;  // exact
  newton_schulz(x, 5);
  newton_schulz(y, 5);
  for (std::int64_t i = 0; i < y.num_elements(); ++i)
    EXPECT_NEAR(x.data<float>()[i], y.data<float>()[i], 1e-5);
}

TEST_F(NewtonSchulz, AMatrixOfZerosStaysZero) {
  Tensor x = Tensor::zeros(*backend_, {4, 7}, DType::f32, MemoryKind::workspace);
  newton_schulz(x, 5);
  EXPECT_EQ(inner(x, x), 0);
}

}  // namespace
}  // namespace tera::train
