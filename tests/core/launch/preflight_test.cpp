#include "core/launch/preflight.h"

#include <algorithm>

#include "core/base/units.h"
#include "core/launch/launcher.h"
#include "core/plan/estimate.h"
#include "core/run/run_state.h"
#include "core/spec/presets.h"
#include "core/spec/yaml.h"
#include "tests/core/launch/launch_fixture.h"
#include "tests/support/toy_dataset.h"

namespace tera::launch {
namespace {

namespace fs = std::filesystem;

class PreflightTest : public test::LaunchFixture {
 protected:
  void SetUp() override {
    LaunchFixture::SetUp();
    tera::test::write_toy_dataset(dir_ / "toy");
    spec_.name = "toy";
    spec_.model = spec::model_preset("tiny-moe").value().model;
    spec_.cluster = spec::cluster_preset("this-machine").value().cluster;
    spec_.training.seq_length = 32;
    spec_.data.datasets.emplace_back().path = (dir_ / "toy").string();
  }

  run::RunDirectory planned() const {
    return run::RunDirectory::planned(posix_vfs(), dir_ / "new" / "runs", kPlannedRunId);
  }
  std::vector<Check> look() const { return preflight(spec_, planned()); }
  // The failed checks.
  std::vector<Check> failures() const {
    std::vector<Check> failed;
    for (const Check& check : look()) {
      if (check.state == CheckState::failed) failed.push_back(check);
    }
    return failed;
  }
  void truncate(const char* extension, std::uintmax_t bytes) const {
    fs::resize_file(dir_ / (std::string("toy") + extension), bytes);
  }

  spec::RunSpec spec_;
};

TEST_F(PreflightTest, APreparedSpecIsGreenAndLookingLeavesNothing) {
  const std::vector<Check> checks = look();
  std::string names;
  for (const Check& check : checks) {
    EXPECT_EQ(check.state, CheckState::ok) << check.name << ": " << check.detail;
    names += check.name + ";";
  }
  EXPECT_EQ(names, "spec;data;memory;disk;other runs;");
  EXPECT_TRUE(can_start(checks));
  // 54 documents of 200 tokens for training: 10,800 tokens are 337 windows of 32 and one token.
  EXPECT_EQ(checks[1].detail.rfind("10.8 k tokens to train on", 0), 0U) << checks[1].detail;
  EXPECT_FALSE(fs::exists(dir_ / "new"));
}

TEST_F(PreflightTest, TokenFilesThatAreMissingOrCutShortAreNamed) {
  truncate(".bin", 100);
  ASSERT_EQ(failures().size(), 1U);
  EXPECT_EQ(failures()[0].name, "data");
  EXPECT_EQ(failures()[0].code, ErrorCode::corrupt);
  EXPECT_NE(failures()[0].detail.find("toy.bin: got 100 bytes"), std::string::npos);
  truncate(".idx", 20);
  EXPECT_EQ(failures()[0].code, ErrorCode::corrupt);
  fs::remove(dir_ / "toy.tgd.json");
  EXPECT_EQ(failures()[0].code, ErrorCode::not_found);
  EXPECT_FALSE(failures()[0].hint.empty());
  spec_.data.datasets.clear();
  ASSERT_EQ(failures().size(), 1U) << "said once";
  EXPECT_EQ(failures()[0].name, "data");
  EXPECT_EQ(failures()[0].code, ErrorCode::invalid_input);
}

TEST_F(PreflightTest, AMissingTokenizerIsNamed) {
  spec_.data.tokenizer = (dir_ / "no-tokenizer.json").string();
  ASSERT_EQ(failures().size(), 1U);
  EXPECT_NE(failures()[0].detail.find("no-tokenizer.json"), std::string::npos)
      << failures()[0].detail;
}

TEST_F(PreflightTest, AScheduleThatCannotBePlayedIsNamed) {
  spec_.layout.schedule_file = (dir_ / "mine.txt").string();
  ASSERT_EQ(failures().size(), 1U);
  EXPECT_NE(failures()[0].detail.find("mine.txt"), std::string::npos) << failures()[0].detail;
  std::ofstream(dir_ / "mine.txt") << "B0 F0\n";
  ASSERT_EQ(failures().size(), 1U);
  EXPECT_EQ(failures()[0].name, "spec");
  EXPECT_NE(failures()[0].detail.find("mine.txt"), std::string::npos) << failures()[0].detail;
}

TEST_F(PreflightTest, ComputersMustHaveRoomForAllRanks) {
  spec_.layout.data_parallel_size = 4;
  spec_.training.global_batch_size = 4 * spec_.layout.micro_batch_size;
  const auto computers = [&] {
    for (const Check& check : preflight(spec_, planned(), (dir_ / "hosts").string())) {
      EXPECT_NE(check.name, "memory") << "of this computer";
      if (check.name == "computers") return check;
    }
    return Check{};
  };
  EXPECT_EQ(computers().code, ErrorCode::not_found);
  std::ofstream(dir_ / "hosts") << "node1 slots=2\nnode2 slots=1\n";
  EXPECT_EQ(computers().state, CheckState::failed);
  EXPECT_NE(computers().detail.find("take 3 ranks, the layout has 4"), std::string::npos)
      << computers().detail;
  std::ofstream(dir_ / "hosts") << "node1 slots=2\nnode2 slots=2\n";
  EXPECT_EQ(computers().state, CheckState::ok);
}

TEST_F(PreflightTest, EveryProblemIsListedAtOnce) {
  spec_.training.optimizer = spec::OptimizerKind::muon;
  spec_.layout.zero_stage = 1;
  spec_.training.gradient_precision = spec::GradientPrecision::bf16;
  spec_.data.datasets.front().path = (dir_ / "none").string();
  std::ofstream(dir_ / "new") << "a file where the folder of runs should be";
  std::string found;
  for (const Check& check : failures())
    found += check.name + ": " + check.detail + "\n";
  EXPECT_NE(found.find("spec: layout.zero_stage"), std::string::npos) << found;
  EXPECT_NE(found.find("spec: training.gradient_precision"), std::string::npos) << found;
  EXPECT_NE(found.find("data: "), std::string::npos) << found;
  EXPECT_NE(found.find("is not a folder"), std::string::npos) << found;
  EXPECT_FALSE(can_start(look()));
}

TEST_F(PreflightTest, ASpecThatIsNoSpecIsAllThatIsSaid) {
  spec_.model.num_layers = -3;
  const std::vector<Check> checks = look();
  ASSERT_FALSE(checks.empty());
  for (const Check& check : checks) {
    EXPECT_EQ(check.name, "spec");
    EXPECT_EQ(check.state, CheckState::failed);
  }
}

TEST_F(PreflightTest, MemoryAndDiskAreCountedAgainstThisMachine) {
  spec_.model.hidden_size = 1 << 17;
  spec_.model.num_layers = 200;
  std::string found;
  for (const Check& check : failures()) {
    EXPECT_EQ(check.code, ErrorCode::failed) << "the answer is no, the input is right";
    EXPECT_FALSE(check.hint.empty());
    found += check.name + ";";
  }
  EXPECT_EQ(found, "memory;disk;");
}

// Ranks share the memory of this machine; a checkpoint holds each tensor once.
TEST_F(PreflightTest, EveryRankIsCounted) {
  const auto detail = [this](const std::string& name, const std::string& until) {
    for (const Check& check : look()) {
      if (check.name == name) return check.detail.substr(0, check.detail.find(until));
    }
    return std::string();
  };
  const auto bytes = [this](int stage) {
    const plan::EngineBytes rank = plan::engine_bytes(spec_, stage);
    return static_cast<double>(rank.weights + rank.gradients + rank.optimizer + rank.activations);
  };
  spec_.training.global_batch_size = 2;
  spec_.layout.micro_batch_size = 1;
  const auto needs = [](double all) { return "training needs " + format_bytes(all); };
  EXPECT_EQ(detail("memory", " of memory"), needs(bytes(0)));
  const std::string disk = detail("disk", " on disk");
  spec_.layout.data_parallel_size = 2;
  spec_.layout.zero_stage = 1;
  EXPECT_EQ(detail("memory", " of memory"), needs(2 * bytes(0)));
  EXPECT_EQ(detail("disk", " on disk"), disk);
  spec_.layout.pipeline_parallel_size = 2;
  EXPECT_EQ(detail("memory", " of memory"), needs(2 * bytes(0) + 2 * bytes(1)));
  EXPECT_EQ(detail("disk", " on disk"), disk);
}

TEST_F(PreflightTest, APlanThatIsTooLargeForItsDeviceIsAWarning) {
  spec_.cluster.device.memory_bytes = 1e6;
  spec_.cluster.device.reserved_bytes = 0;
  bool warned = false;
  for (const Check& check : look())
    warned = warned || (check.name == "memory" && check.state == CheckState::warning);
  EXPECT_TRUE(warned);
  EXPECT_TRUE(can_start(look())) << "this computer has the memory";
}

TEST_F(PreflightTest, AClusterThatNobodyDescribedStillTrains) {
  spec_.cluster = {};
  EXPECT_TRUE(failures().empty()) << failures().front().detail;
}

TEST_F(PreflightTest, AnotherRunIsAWarningButNotTheRunItself) {
  const auto other = run::RunDirectory::create(posix_vfs(), dir_ / "new" / "runs", spec_).value();
  const run::RunLock lock = run::RunLock::acquire(other, 1).value();
  const auto warnings = [this](const run::RunDirectory& dir) {
    const std::vector<Check> checks = preflight(spec_, dir);
    return std::count_if(checks.begin(), checks.end(), [](const Check& check) {
      return check.state == CheckState::warning && check.name == "other runs";
    });
  };
  EXPECT_EQ(warnings(planned()), 1);
  EXPECT_EQ(warnings(other), 0);
}

TEST_F(PreflightTest, TheProgramIsTheOneThatWillStart) {
  const std::string teragpt = program("exit 0");
  EXPECT_EQ(check_program(teragpt).detail, teragpt);
  const Check none = check_program((dir_ / "none").string());
  EXPECT_EQ(none.state, CheckState::failed);
  EXPECT_EQ(none.code, ErrorCode::not_found);
}

}  // namespace
}  // namespace tera::launch
