// Disks that are full and people who press Ctrl-C: nothing half-written stays, nothing runs on.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>

#include <sys/resource.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using test::RunningTeragpt;
using testing::ElementsAre;
using testing::HasSubstr;

class Interrupted : public testing::Test {
 protected:
  std::string file(const std::string& name) const { return (root_ / name).string(); }
  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_))
      names.insert(entry.path().filename().string());
    return names;
  }
  static void wait_for(const fs::path& path) {
    for (int i = 0; i < 3000 && !fs::exists(path); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(fs::exists(path)) << path;
  }

  const test::TempDir dir_;
  const fs::path root_ = dir_.path();
  const test::ScopedVariable cache_{"XDG_CACHE_HOME", root_ / "cache"};
};

// Files of the programs that are started while it lives may not grow beyond `bytes`.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

TEST_F(Interrupted, ADiskThatTakesNoMoreIsAnErrorOfTheWrite) {
  std::string text;
  for (int i = 0; i < 300; ++i)
    text += "{\"text\": \"document " + std::to_string(i) + " of some length\"}\n";
  std::ofstream(file("docs.jsonl")) << text;
  ASSERT_EQ(run_teragpt({"tok", "train", file("docs.jsonl"), "--vocab", "300", "-o",
                         file("tokenizer.json")})
                .exit_code,
            0);
  const std::string golden =
      std::string(std::getenv("TERA_SOURCE_DIR")) + "/tests/golden/hugging_face/gpt2";
  const std::set<std::string> before = names();
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"init", "-o", file("x.yaml")},
           {"tok", "train", file("docs.jsonl"), "--vocab", "300", "-o", file("x.json")},
           {"convert", golden, "--from", "hugging-face", "-o", file("x")},
           {"data", "prepare", file("docs.jsonl"), "-o", file("x")},
           {"data", "tokenize", file("docs.jsonl"), "--tokenizer", file("tokenizer.json"), "-o",
            file("x")}}) {
    std::vector<std::string> with_json = arguments;
    with_json.emplace_back("--json");
    const FileSizeLimit limit(1000);
    const ProgramResult result = run_teragpt(with_json);
    EXPECT_EQ(result.exit_code, 1) << arguments.front() << ": " << result.err;
    EXPECT_THAT(result.err, HasSubstr("cannot write " + file("")));
    EXPECT_THAT(result.err, HasSubstr("File too large"));
    EXPECT_THAT(result.err, HasSubstr("ulimit -f"));
    EXPECT_EQ(json::parse(result.out, nullptr, false).value("exit_code", 0), 1) << result.out;
    EXPECT_EQ(names(), before) << arguments.front();
  }
}

// The first is taken at the next piece of work, the second at once: here while a file is hashed.
TEST_F(Interrupted, ASecondCtrlCLeavesNoTemporaryFile) {
  std::ofstream(file("big.txt")) << "text\n";
  fs::resize_file(file("big.txt"), std::uintmax_t{1} << 30);  // sparse; read for a second or so
  RunningTeragpt program({"data", "prepare", file("big.txt"), "-o", file("out")},
                         RunningTeragpt::Output::pipe);
  wait_for(file("out.unshuffled.part"));
  program.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  program.send(SIGINT);
  EXPECT_EQ(program.wait(60), 130);
  EXPECT_THAT(names(), ElementsAre("big.txt"));
}

// Both ways to stop: at the next tensor or prompt, and at once.
TEST_F(Interrupted, ConvertLeavesNoHalfModel) {
  fs::copy(fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/hugging_face/gpt2",
           file("gpt2"));
  std::ofstream(file("gpt2/vocab.json"));
  fs::resize_file(file("gpt2/vocab.json"), std::uintmax_t{60} << 20);  // sparse; takes a while
  for (const int signals : {1, 2}) {
    RunningTeragpt program(
        {"convert", file("gpt2"), "--from", "hugging-face", "-o", file("out"), "--json"},
        RunningTeragpt::Output::pipe);
    for (int i = 0; i < 3000 && names().size() == 1; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (int i = 0; i < signals; ++i)
      program.send(SIGINT);
    EXPECT_THAT(program.wait(60), testing::AnyOf(1, 130));
    EXPECT_THAT(names(), ElementsAre("gpt2"));
  }
}

// A peer that never answers: Ctrl-C ends the wait for it, and the peer.
TEST_F(Interrupted, BenchStopsAndTakesItsPeerAlong) {
  std::ofstream(file("peer")) << "#!/bin/sh\n"
                                 "echo $$ > "
                              << file("peer.tmp")
                              << "\n"
                                 "mv "
                              << file("peer.tmp") << " " << file("peer.pid")
                              << "\n"
                                 "echo '{\"ready\": true}'\n"
                                 "exec sleep 1000\n";
  fs::permissions(file("peer"), fs::perms::owner_all);
  RunningTeragpt program({"bench", "train", "--model", "tiny-moe", "--precision", "fp32", "--batch",
                          "1", "--seq", "16", "--vs", "torch", "--python", file("peer"), "--json"},
                         RunningTeragpt::Output::pipe);
  wait_for(file("peer.pid"));
  pid_t peer = 0;
  std::ifstream(file("peer.pid")) >> peer;
  ASSERT_GT(peer, 1);
  program.send(SIGINT);
  const json told = json::parse(program.read_line(60).value_or(""), nullptr, false);
  ASSERT_TRUE(told.is_object());
  EXPECT_EQ(told.at("schema"), "teragpt.error/1");
  EXPECT_EQ(told.at("diagnostics").at(0).at("message"), "bench train was stopped");
  EXPECT_EQ(program.wait(60), 1);
  EXPECT_NE(kill(peer, 0), 0) << "the peer runs on";
}

}  // namespace
}  // namespace tera
