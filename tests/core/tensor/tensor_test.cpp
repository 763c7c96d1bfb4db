#include "core/tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "core/tensor/cpu_backend.h"

namespace tera {
namespace {

class TensorTest : public testing::Test {
 protected:
  Tensor numbered(std::initializer_list<std::int64_t> shape) {
    Tensor t = Tensor::empty(*backend_, shape, DType::i32, MemoryKind::workspace);
    for (std::int32_t i = 0; i < t.num_elements(); ++i)
      t.data<std::int32_t>()[i] = i;
    return t;
  }

  ThreadPool pool_{1};
  std::unique_ptr<Backend> backend_ = make_cpu_backend(pool_, CpuOps::reference);
};

using Shape = std::vector<std::int64_t>;

TEST_F(TensorTest, KnowsItsShapeAndBytes) {
  const Tensor t = Tensor::empty(*backend_, {2, 3, 5}, DType::bf16, MemoryKind::workspace);
  EXPECT_TRUE(t.present());
  EXPECT_EQ(t.rank(), 3);
  EXPECT_EQ(t.shape(), (Shape{2, 3, 5}));
  EXPECT_EQ(t.dim(0), 2);
  EXPECT_EQ(t.dim(-1), 5);
  EXPECT_EQ(t.num_bytes(), 60);
  EXPECT_EQ(t.view().strides[0], 15);
  EXPECT_FALSE(Tensor().present());
  EXPECT_THROW(t.dim(3), ContractError);
  EXPECT_THROW(t.dim(-4), ContractError);
}

TEST_F(TensorTest, ZerosAreZero) {
  const Tensor t = Tensor::zeros(*backend_, {3, 7}, DType::f64, MemoryKind::workspace);
  for (int i = 0; i < 21; ++i)
    EXPECT_EQ(t.data<double>()[i], 0.0);
}

TEST_F(TensorTest, AnEmptyTensorIsPresent) {
  const Tensor t = Tensor::zeros(*backend_, {0, 7}, DType::f32, MemoryKind::workspace);
  EXPECT_TRUE(t.present());
  EXPECT_EQ(t.num_elements(), 0);
  EXPECT_EQ(t.slice(1, 2, 5).shape(), (Shape{0, 3}));
}

TEST_F(TensorTest, ReshapeAndSliceShareMemory) {
  const Tensor t = numbered({4, 6});
  EXPECT_EQ(t.reshape({2, 12}).data<std::int32_t>(), t.data<std::int32_t>());
  const Tensor rows = t.slice(0, 1, 3);
  EXPECT_EQ(rows.shape(), (Shape{2, 6}));
  EXPECT_EQ(rows.data<std::int32_t>()[0], 6);
  EXPECT_TRUE(rows.view().contiguous());
  const Tensor columns = t.slice(-1, 2, 4);
  EXPECT_EQ(columns.shape(), (Shape{4, 2}));
  EXPECT_EQ(columns.data<std::int32_t>()[columns.view().strides[0]], 8);
  EXPECT_FALSE(columns.view().contiguous());
  EXPECT_EQ(rows.slice(1, 5, 6).data<std::int32_t>()[0], 11);
}

TEST_F(TensorTest, AViewKeepsTheMemoryAlive) {
  Tensor row;
  {
    const Tensor t = numbered({4, 6});
    row = t.slice(0, 3, 4);
  }
  EXPECT_EQ(backend_->counter(MemoryKind::workspace).live_bytes, 96);
  EXPECT_EQ(row.data<std::int32_t>()[5], 23);
  row = {};
  EXPECT_EQ(backend_->counter(MemoryKind::workspace).live_bytes, 0);
}

TEST_F(TensorTest, RefusesWrongShapes) {
  const Tensor t = numbered({4, 6});
  EXPECT_THROW(t.reshape({5, 5}), ContractError);
  EXPECT_THROW(t.slice(1, 0, 2).reshape({8}), ContractError);
  EXPECT_THROW(t.slice(0, 3, 5), ContractError);
  EXPECT_THROW(t.slice(0, 2, 1), ContractError);
  EXPECT_THROW(t.slice(2, 0, 1), ContractError);
  EXPECT_THROW(Tensor::empty(*backend_, {-1}, DType::f32, MemoryKind::workspace), ContractError);
  EXPECT_THROW(Tensor::empty(*backend_, {1, 1, 1, 1, 1}, DType::f32, MemoryKind::workspace),
               ContractError);
  try {
    t.reshape({5, 5});
  } catch (const ContractError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("[4, 6] to [5, 5]: 24 elements to 25"));
  }
}

}  // namespace
}  // namespace tera
