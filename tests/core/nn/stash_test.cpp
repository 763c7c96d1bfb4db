#include "core/nn/stash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "core/tensor/cpu_backend.h"

namespace tera::nn {
namespace {

class StashTest : public testing::Test {
 protected:
  std::int64_t live(MemoryKind kind) const { return backend_->counter(kind).live_bytes; }

  ThreadPool pool_{1};
  std::unique_ptr<Backend> backend_ = make_cpu_backend(pool_, CpuOps::reference);
  Stash stash_{*backend_};
};

TEST_F(StashTest, CountsActivationsAndGradientsApart) {
  stash_.put("x", {3, 5}, DType::f32);
  stash_.put_gradient("dx", {3, 5}, DType::bf16);
  EXPECT_EQ(live(MemoryKind::activations), 60);
  EXPECT_EQ(live(MemoryKind::workspace), 30);
  stash_.release("x");
  stash_.release("never put");
  EXPECT_EQ(live(MemoryKind::activations), 0);
  stash_.clear();
  EXPECT_EQ(live(MemoryKind::workspace), 0);
}

TEST_F(StashTest, KeepsATensorWithoutCopying) {
  const Tensor x = Tensor::empty(*backend_, {4}, DType::f32, MemoryKind::workspace);
  {
    const Stash::Passing passing(stash_);
    stash_.keep("passing", x);
    EXPECT_EQ(live(MemoryKind::activations), 0);
  }
  stash_.keep("x", x);
  EXPECT_EQ(stash_.get("x").data<float>(), x.data<float>());
  EXPECT_EQ(live(MemoryKind::activations), 16);
  EXPECT_EQ(live(MemoryKind::workspace), 0);
}

TEST_F(StashTest, WhatIsHeldBetweenTheHalvesOfBackwardCounts) {
  stash_.put("x", {4}, DType::f32);
  stash_.put_gradient("dx", {3}, DType::f32);
  stash_.hold();
  EXPECT_EQ(live(MemoryKind::activations), 28);
  EXPECT_EQ(live(MemoryKind::workspace), 0);
}

TEST_F(StashTest, TakeHandsOutTheLastReference) {
  stash_.put("x", {4}, DType::f32);
  {
    const Tensor x = stash_.take("x");
    EXPECT_FALSE(stash_.has("x"));
    EXPECT_EQ(live(MemoryKind::activations), 16);
  }
  EXPECT_EQ(live(MemoryKind::activations), 0);
}

TEST_F(StashTest, NamesWhatIsMissingOrThereTwice) {
  stash_.put("layers.0.attention.x", {2}, DType::f32);
  const auto message_of = [](const auto& body) -> std::string {
    try {
      body();
    } catch (const ContractError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(message_of([&] { stash_.put("layers.0.attention.x", {2}, DType::f32); }),
              testing::HasSubstr("'layers.0.attention.x'"));
  EXPECT_THAT(message_of([&] { stash_.get("layers.1.attention.x"); }),
              testing::HasSubstr("'layers.1.attention.x'"));
}

}  // namespace
}  // namespace tera::nn
