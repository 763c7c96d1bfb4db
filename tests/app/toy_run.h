// A folder with a toy dataset and the spec of a run on it that ends in a second; the runs of the
// test go into the same folder, and none outlives it.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/launch/launcher.h"
#include "core/run/run_state.h"
#include "core/spec/yaml.h"
#include "tests/app/run_program.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"
#include "tests/support/toy_dataset.h"

namespace tera::test {

class ToyRun : public testing::Test {
 protected:
  void SetUp() override {
    write_toy_dataset(root_ / "toy");
    spec::RunSpec spec;
    spec.name = "toy";
    spec.model.num_layers = 1;
    spec.model.hidden_size = 32;
    spec.model.num_attention_heads = 2;
    spec.model.num_key_value_heads = 2;
    spec.model.head_dim = 16;
    spec.model.vocab_size = 64;
    spec.model.num_experts = 2;
    spec.model.router_top_k = 1;
    spec.model.moe_ffn_hidden_size = 32;
    spec.training.seq_length = 32;
    spec.training.global_batch_size = 4;
    spec.training.num_steps = 20;
    spec.training.warmup_steps = 2;
    spec.training.checkpoint_interval = 8;
    spec.training.eval_interval = 0;
    spec.layout.micro_batch_size = 4;
    spec.launch.num_threads = 1;
    spec.data.datasets.emplace_back();
    spec.data.datasets.front().path = (root_ / "toy").string();
    ASSERT_TRUE(spec::set_field(spec, "cluster.preset", "this-machine"));
    std::ofstream(spec_file()) << spec::to_yaml(spec);
  }
  void TearDown() override {
    if (const auto list = run::list_runs(posix_vfs(), root_ / "runs")) {
      for (const run::RunStatus& status : list->runs) {
        const auto dir = run::RunDirectory::planned(posix_vfs(), root_ / "runs", status.id);
        if (status.alive) static_cast<void>(launch::make_local_launcher()->stop(dir, true));
      }
    }
  }
  std::string spec_file() const { return (root_ / "toy.yaml").string(); }

  static nlohmann::json json_of(const std::vector<std::string>& arguments, int exit_code = 0) {
    std::vector<std::string> all = arguments;
    all.emplace_back("--json");
    const ProgramResult result = run_teragpt(all);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    const nlohmann::json document = nlohmann::json::parse(result.out, nullptr, false);
    EXPECT_TRUE(document.is_object()) << result.out;
    EXPECT_EQ(result.out.rfind("{\"schema\":\"teragpt.", 0), 0U) << "schema is the first key";
    return document;
  }
  std::string launch(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"launch", spec_file()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json_of(arguments).at("run").get<std::string>();
  }

  const TempDir dir_;
  const std::filesystem::path root_ = dir_.path();
  const ScopedVariable runs_{"TERA_RUNS", root_ / "runs"};
  const ScopedVariable cache_{"XDG_CACHE_HOME", root_ / "cache"};
};

}  // namespace tera::test
