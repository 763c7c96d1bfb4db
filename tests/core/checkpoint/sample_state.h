// A small state to save: tensors of every kind, with contents that depend on a seed.
#pragma once
#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

#include <gtest/gtest.h>

#include "core/checkpoint/checkpoint.h"

namespace tera::checkpoint::test {

struct SampleState {
  CheckpointState state;
  std::vector<TensorInfo> infos;
  std::vector<std::vector<std::byte>> data;

  std::vector<TensorSource> sources() const {
    std::vector<TensorSource> all;
    for (std::size_t i = 0; i < infos.size(); ++i)
      all.push_back({infos[i], data[i].data()});
    return all;
  }
  Result<std::filesystem::path> save_to(Vfs& vfs,
                                        const std::filesystem::path& dir,
                                        const SaveOptions& options = {}) const {
    const std::vector<TensorSource> all = sources();
    return save(vfs, dir, state, all, options);
  }
};

inline SampleState make_sample(std::int64_t step, std::vector<TensorInfo> infos) {
  SampleState sample;
  sample.state.step = step;
  sample.state.json = R"({"data_chain":"00ff","step":)" + std::to_string(step) + "}";
  sample.infos = std::move(infos);
  std::mt19937 random(static_cast<std::uint32_t>(step));
  for (const TensorInfo& info : sample.infos) {
    std::vector<std::byte>& bytes =
        sample.data.emplace_back(static_cast<std::size_t>(info.num_bytes()));
    for (std::byte& byte : bytes)
      byte = static_cast<std::byte>(random());
  }
  return sample;
}

// Roles that share a name, every dtype, a scalar, an empty tensor: about 3 KiB of data.
inline SampleState make_sample(std::int64_t step) {
  std::vector<TensorInfo> infos = {
      {"layers.0.attention.query", "weight", DType::f32, {16, 8}},
      {"layers.0.attention.query", "exp_avg", DType::f32, {16, 8}},
      {"layers.0.attention.query", "exp_avg_sq", DType::f32, {16, 8}},
      {"layers.1.experts.up", "weight", DType::bf16, {4, 8, 6}},
      {"layers.1.router", "router_bias", DType::f32, {5}},
      {"scale", "weight", DType::f64, {}},
      {"nothing", "weight", DType::f32, {0, 7}},
      {"counts", "weight", DType::i64, {3}},
      {"codes", "weight", DType::u8, {7}},
      {"half", "weight", DType::f16, {3, 3}},
      {"indices", "weight", DType::i32, {2, 2}},
      {"tokens", "weight", DType::u16, {9}},
      {"small", "weight", DType::fp8_e4m3, {11}},
  };
  return make_sample(step, std::move(infos));
}

inline void expect_equal(const Reader& reader, const SampleState& sample) {
  EXPECT_EQ(reader.state().step, sample.state.step);
  EXPECT_EQ(reader.state().json, sample.state.json);
  ASSERT_EQ(reader.tensors(), sample.infos);
  for (std::size_t i = 0; i < sample.infos.size(); ++i) {
    std::vector<std::byte> read(sample.data[i].size(), std::byte{0xA5});
    const Result<void> status = reader.read(sample.infos[i], read.data());
    ASSERT_TRUE(status) << status.error().message;
    EXPECT_EQ(read, sample.data[i]) << sample.infos[i].role << "/" << sample.infos[i].name;
  }
}

class TempDirTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '-');  // of a parameter
    dir_ = std::filesystem::path(testing::TempDir()) /
           ("tera-ckpt-" + std::to_string(getpid()) + "-" + name);
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::vector<std::string> names() const {
    const auto found = posix_vfs().list(dir_);
    return found ? *found : std::vector<std::string>{};
  }

  std::filesystem::path dir_;
};

}  // namespace tera::checkpoint::test
