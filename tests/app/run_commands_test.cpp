// runs, launch, attach, logs, stop and ckpt on real runs of a toy model.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/launch/launcher.h"
#include "core/run/run_state.h"
#include "core/spec/yaml.h"
#include "tests/app/run_program.h"
#include "tests/support/toy_dataset.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;

class RunCommands : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) /
            ("tera-run-commands-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
    setenv("TERA_RUNS", (root_ / "runs").c_str(), 1);
    test::write_toy_dataset(root_ / "toy");
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
    unsetenv("TERA_RUNS");
    fs::remove_all(root_);
  }
  std::string spec_file() const { return (root_ / "toy.yaml").string(); }

  static json json_of(const std::vector<std::string>& arguments, int exit_code = 0) {
    std::vector<std::string> all = arguments;
    all.emplace_back("--json");
    const ProgramResult result = run_teragpt(all);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    const json document = json::parse(result.out, nullptr, false);
    EXPECT_TRUE(document.is_object()) << result.out;
    EXPECT_EQ(result.out.rfind("{\"schema\":\"teragpt.", 0), 0U) << "schema is the first key";
    return document;
  }
  std::string launch(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"launch", spec_file()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json_of(arguments).at("run").get<std::string>();
  }

  fs::path root_;
};

TEST_F(RunCommands, ARunFromLaunchToPrune) {
  const std::string id = launch();
  const ProgramResult attached = run_teragpt({"attach", id, "--json"});
  EXPECT_EQ(attached.exit_code, 0) << attached.err;
  std::istringstream lines(attached.out);
  std::int64_t step = 0;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_EQ(line.rfind("{\"schema\":\"teragpt.metrics/1\",", 0), 0U) << line;
    EXPECT_EQ(json::parse(line).at("step"), ++step);
  }
  EXPECT_EQ(step, 20) << "one line per step";
  EXPECT_NE(attached.err.find("completed"), std::string::npos) << attached.err;
  const ProgramResult text = run_teragpt({"attach", id.substr(0, 20), "--last", "3"});
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '\n'), 3) << text.out;
  EXPECT_NE(text.out.find("20/20  loss "), std::string::npos);

  const json runs = json_of({"runs"});
  ASSERT_EQ(runs.at("runs").size(), 1U);
  const json& row = runs.at("runs").at(0);
  EXPECT_EQ(row.at("id"), id);
  EXPECT_EQ(row.at("name"), "toy");
  EXPECT_EQ(row.at("state"), "completed");
  EXPECT_EQ(row.at("step"), 20);
  EXPECT_GT(row.at("loss").get<double>(), 0);
  EXPECT_NE(run_teragpt({"runs"}).out.find(id), std::string::npos);

  const ProgramResult logs = run_teragpt({"logs", "-f", id});
  EXPECT_EQ(logs.exit_code, 0);
  EXPECT_NE(logs.out.find("checkpoint"), std::string::npos) << logs.out;
  EXPECT_EQ(run_teragpt({"logs", id, "--attempt", "9"}).exit_code, 2);

  const json list = json_of({"ckpt", "list", id});
  ASSERT_EQ(list.at("checkpoints").size(), 3U);
  EXPECT_EQ(list.at("checkpoints").at(0).at("step"), 20);
  EXPECT_EQ(json_of({"ckpt", "verify", id}).at("valid"), true);
  const json shown = json_of({"ckpt", "show", id, "--step", "8"});
  EXPECT_EQ(shown.at("state").at("step"), 8);
  EXPECT_FALSE(shown.at("tensors").empty());
  EXPECT_EQ(run_teragpt({"ckpt", "show", id, "--step", "9"}).exit_code, 2);
  EXPECT_EQ(json_of({"ckpt", "prune", id, "--keep", "2"}).at("removed_steps"), json::array({8}));

  // One changed byte: verify says no, names the place, and exits with 1.
  const fs::path shard = root_ / "runs" / id / "ckpt/step-000000020/shard-00000.safetensors";
  std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(20000);
  const char byte = static_cast<char>(file.get());
  file.seekp(20000);
  file.put(static_cast<char>(byte ^ 1));
  file.close();
  const json verified = json_of({"ckpt", "verify", id}, 1);
  EXPECT_EQ(verified.at("valid"), false);
  EXPECT_EQ(verified.at("checkpoints").at(0).at("valid"), false);
  EXPECT_NE(verified.at("checkpoints").at(0).at("problem").get<std::string>().find("block 0"),
            std::string::npos);
  EXPECT_EQ(verified.at("checkpoints").at(1).at("valid"), true);
}

TEST_F(RunCommands, DryRunShowsWhatStartsAndTheHashHoldsIt) {
  const json dry = json_of({"launch", spec_file(), "--dry-run"});
  EXPECT_FALSE(fs::exists(root_ / "runs")) << "nothing was made";
  EXPECT_EQ(dry.at("argv").at(1), "train");
  EXPECT_EQ(dry.at("argv").at(2), "--run");
  EXPECT_TRUE(dry.at("files").contains("spec.yaml"));
  EXPECT_GT(dry.at("cost").at("seconds").get<double>(), 0);
  const std::string hash = dry.at("hash");
  EXPECT_EQ(json_of({"launch", spec_file(), "--dry-run"}).at("hash"), hash) << "again the same";
  EXPECT_NE(run_teragpt({"launch", spec_file(), "--dry-run"}).out.find(hash), std::string::npos);

  const ProgramResult changed =
      run_teragpt({"launch", spec_file(), "--set", "training.num_steps=21", "--expect-hash", hash});
  EXPECT_EQ(changed.exit_code, 1);
  EXPECT_NE(changed.err.find(hash), std::string::npos);
  EXPECT_FALSE(fs::exists(root_ / "runs")) << "nothing was started";
  const json started = json_of({"launch", spec_file(), "--expect-hash", hash});
  EXPECT_EQ(started.at("hash"), hash);
  const fs::path dir = started.at("path").get<std::string>();
  std::ifstream job(dir / "launch/a001/job.json");
  EXPECT_EQ(json::parse(job).at("hash"), hash);
}

TEST_F(RunCommands, StopWritesACheckpointAndResumeGoesOn) {
  const std::string id = launch({"--set", "training.num_steps=100000"});
  const auto dir = run::RunDirectory::planned(posix_vfs(), root_ / "runs", id);
  for (int i = 0; i < 1000 && run::run_status(dir)->step < 3; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_EQ(run::run_status(dir)->state, run::RunState::running);
  EXPECT_EQ(run_teragpt({"launch", "--run", id}).exit_code, 1) << "never two at once";
  EXPECT_EQ(run_teragpt({"ckpt", "prune", id}).exit_code, 1) << "not under a running process";

  const json stopped = json_of({"stop", id});
  EXPECT_EQ(stopped.at("state"), "stopped");
  const std::int64_t step = stopped.at("step");
  EXPECT_EQ(json_of({"ckpt", "list", id}).at("checkpoints").at(0).at("step"), step);
  EXPECT_EQ(run_teragpt({"attach", id}).exit_code, 75);
  EXPECT_EQ(run_teragpt({"stop", id}).exit_code, 1) << "it does not run";

  const json resumed = json_of({"launch", "--run", id, "--resume"});
  EXPECT_EQ(resumed.at("attempt"), 2);
  for (int i = 0; i < 1000 && run::run_status(dir)->step <= step; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_GT(run::run_status(dir)->step, step);
  const json killed = json_of({"stop", id, "--force"});
  EXPECT_EQ(killed.at("state"), "died");
  EXPECT_NE(killed.at("detail").get<std::string>().find("killed on request"), std::string::npos);
  EXPECT_EQ(run_teragpt({"attach", id}).exit_code, 1);
}

TEST_F(RunCommands, TrainStreamsRecordsAndSaysWhenNothingIsLeft) {
  const ProgramResult trained = run_teragpt({"train", spec_file(), "--json"});
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  std::istringstream lines(trained.out);
  std::int64_t step = 0;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_EQ(line.rfind("{\"schema\":\"teragpt.metrics/1\",", 0), 0U) << line;
    EXPECT_EQ(json::parse(line).at("step"), ++step);
  }
  EXPECT_EQ(step, 20);
  const std::string id = json_of({"runs"}).at("runs").at(0).at("id");
  const ProgramResult again = run_teragpt({"train", "--run", id, "--resume"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.out.find("all 20 steps are done"), std::string::npos) << again.out;
}

TEST_F(RunCommands, OutputThatIsLostIsNotSuccess) {
  const std::string command = std::string(std::getenv("TERA_BINARY_DIR")) +
                              "/app/teragpt/teragpt init --list 2> /dev/null > ";
  EXPECT_EQ(std::system((command + "/dev/null").c_str()), 0);
  const int full = std::system((command + "/dev/full").c_str());
  ASSERT_TRUE(WIFEXITED(full));
  EXPECT_EQ(WEXITSTATUS(full), 1);
}

TEST_F(RunCommands, BadInputIsRefusedWithAHint) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"attach", "nothing"},
                                             {"stop", "nothing"},
                                             {"logs", "nothing"},
                                             {"ckpt", "list", "nothing"},
                                             {"launch"},
                                             {"launch", "--run", "nothing"},
                                             {"launch", spec_file(), "--on", "moon"},
                                             {"ckpt"},
                                             {"train", spec_file(), "--steps", "0"},
                                             {"train", "--run", "nothing", "--resume"},
                                             {"generate", "nothing"},
                                             {"bench", "train", "--seq", "100000000"},
                                             {"attach"}}) {
    const ProgramResult result = run_teragpt(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments.front() << ": " << result.err;
    EXPECT_TRUE(result.out.empty()) << result.out;
    EXPECT_FALSE(result.err.empty());
  }
  EXPECT_NE(run_teragpt({"attach", "nothing"}).err.find("hint:"), std::string::npos);
  for (const char* verb : {"runs", "attach", "stop", "logs", "launch", "ckpt"})
    EXPECT_NE(run_teragpt({verb, "--help"}).out.find("Example:"), std::string::npos) << verb;
}

}  // namespace
}  // namespace tera
