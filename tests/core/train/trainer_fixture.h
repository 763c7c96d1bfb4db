// Whole runs of a small model on a toy dataset, and what they left behind.
#pragma once
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/checkpoint/checkpoint.h"
#include "core/run/metric_stream.h"
#include "core/spec/yaml.h"
#include "core/train/rank_main.h"
#include "tests/support/temp_dir.h"
#include "tests/support/toy_dataset.h"

namespace tera::train::test {

namespace fs = std::filesystem;

class TrainerTest : public testing::Test {
 protected:
  TrainerTest() { tera::test::write_toy_dataset(root_ / "toy"); }

  spec::RunSpec small_spec() const {
    spec::RunSpec spec;
    spec.name = "toy";
    spec.model.num_layers = 2;
    spec.model.hidden_size = 32;
    spec.model.num_attention_heads = 2;
    spec.model.num_key_value_heads = 1;
    spec.model.head_dim = 16;
    spec.model.vocab_size = 64;
    spec.model.max_position_embeddings = 64;
    spec.model.num_experts = 4;
    spec.model.router_top_k = 2;
    spec.model.moe_ffn_hidden_size = 32;
    spec.model.router_renormalize = true;
    spec.model.aux_loss_coeff = 0.01;
    spec.model.z_loss_coeff = 0.001;
    spec.model.expert_bias_update_rate = 0.001;
    spec.training.seq_length = 32;
    spec.training.global_batch_size = 8;
    spec.layout.micro_batch_size = 2;
    spec.training.num_steps = 12;
    spec.training.warmup_steps = 2;
    spec.training.learning_rate = 1e-2;
    spec.training.min_learning_rate = 1e-3;
    spec.training.eval_interval = 6;
    spec.training.eval_sequences = 8;
    spec.training.checkpoint_interval = 4;
    spec.data.datasets.emplace_back().path = (root_ / "toy").string();
    spec.launch.num_threads = 2;
    return spec;
  }

  run::RunDirectory create(const spec::RunSpec& spec) const {
    Result<run::RunDirectory> dir = run::RunDirectory::create(posix_vfs(), root_ / "runs", spec);
    if (!dir) throw std::runtime_error(dir.error().message);
    return *dir;
  }

  // What another layout, or more steps, goes on with.
  static void rewrite(const run::RunDirectory& dir, const spec::RunSpec& spec) {
    std::ofstream(dir.path() / "spec.yaml") << spec::to_yaml(spec);
  }

  using Records = std::map<std::int64_t, run::MetricRecord>;  // [step]

  static Records records(const run::RunDirectory& dir) {
    run::MetricReader reader(dir.path() / "metrics");
    Records found;
    const auto update = reader.poll();
    EXPECT_TRUE(update.has_value());
    EXPECT_TRUE(update->problems.empty());
    for (const run::MetricRecord& record : update->records)
      found[record.step] = record;
    return found;
  }

  // Of a metric that the record must have.
  static double value_of(const run::MetricRecord& record, const char* name) {
    EXPECT_TRUE(record.has(name)) << "step " << record.step << " has no " << name;
    return record.value(name, std::nan(""));
  }

  // The same bits, present in both or in neither.
  static void expect_equal_values(const run::MetricRecord& got,
                                  const run::MetricRecord& expected,
                                  std::initializer_list<const char*> names) {
    for (const char* name : names) {
      EXPECT_EQ(got.has(name), expected.has(name)) << name << " of step " << expected.step;
      EXPECT_EQ(got.value(name, -1), expected.value(name, -1))
          << name << " of step " << expected.step;
    }
  }

  // Every stored byte of a checkpoint, by role and name.
  static std::map<std::string, std::vector<char>> tensors_of(
      const Result<checkpoint::Reader>& reader) {
    std::map<std::string, std::vector<char>> tensors;
    EXPECT_TRUE(reader.has_value());
    for (const checkpoint::TensorInfo& info : reader->tensors()) {
      std::vector<char> bytes(static_cast<std::size_t>(info.num_bytes()));
      EXPECT_TRUE(reader->read(info, bytes.data()).has_value());
      tensors[info.role + "/" + info.name] = std::move(bytes);
    }
    return tensors;
  }

  static std::map<std::string, std::vector<char>> final_tensors(const run::RunDirectory& dir) {
    std::vector<std::string> skipped;
    return tensors_of(checkpoint::open_latest_valid(posix_vfs(), dir.checkpoints_dir(), skipped));
  }

  static TrainEnd run(const run::RunDirectory& dir, TrainOptions options = {}) {
    const Result<TrainEnd> end = run_training(dir, std::move(options));
    if (!end) throw std::runtime_error(end.error().message);
    return *end;
  }

  const tera::test::TempDir dir_;
  const fs::path root_ = dir_.path();
};

}  // namespace tera::train::test
