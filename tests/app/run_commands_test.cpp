// runs, launch, attach, logs, stop and ckpt on real runs of a toy model.
#include <chrono>
#include <optional>
#include <sstream>
#include <thread>

#include <sys/wait.h>

#include <fmt/format.h>

#include "core/run/metric_stream.h"
#include "tests/app/toy_run.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;

class RunCommands : public test::ToyRun {};

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
  EXPECT_EQ(list.at("checkpoints").at(0).at("state"), "sizes checked") << "no byte was read";
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
  EXPECT_EQ(verified.at("checkpoints").at(0).at("state"), "damaged");
  EXPECT_EQ(verified.at("checkpoints").at(1).at("state"), "verified");
  EXPECT_NE(verified.at("checkpoints").at(0).at("problem").get<std::string>().find("block 0"),
            std::string::npos);
  EXPECT_EQ(verified.at("checkpoints").at(1).at("valid"), true);
}

TEST_F(RunCommands, DryRunShowsWhatStartsAndTheHashHoldsIt) {
  const json dry = json_of({"launch", spec_file(), "--dry-run"});
  EXPECT_FALSE(fs::exists(root_ / "runs")) << "nothing was made";
  EXPECT_EQ(dry.at("argv").at(1), "train");
  EXPECT_EQ(dry.at("argv").at(2), "--run");
  EXPECT_EQ(dry.at("run"), launch::kPlannedRunId);
  for (const json& check : dry.at("checks"))
    EXPECT_NE(check.at("state"), "failed") << check;
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

// What would end at once is not started: every problem is named, and nothing is left behind.
TEST_F(RunCommands, LaunchAndTrainRefuseWhatWouldEndAtOnce) {
  fs::resize_file(root_ / "toy.bin", 100);
  for (const char* verb : {"launch", "train"}) {
    const ProgramResult refused = run_teragpt({verb, spec_file()});
    EXPECT_EQ(refused.exit_code, 1) << verb << ": " << refused.err;
    EXPECT_NE(refused.err.find("toy.bin: got 100 bytes"), std::string::npos) << refused.err;
    EXPECT_EQ(refused.out, "");
  }
  const json document = json_of({"launch", spec_file()}, 1);
  EXPECT_FALSE(document.contains("pid"));
  EXPECT_EQ(document.at("run"), launch::kPlannedRunId) << "no run has been made";
  bool named = false;
  for (const json& check : document.at("checks"))
    named = named || (check.at("check") == "data" && check.at("state") == "failed");
  EXPECT_TRUE(named) << document.at("checks");
  // A dry run shows what would run, and its exit code says whether it can.
  const ProgramResult dry = run_teragpt({"launch", spec_file(), "--dry-run"});
  EXPECT_EQ(dry.exit_code, 1);
  EXPECT_NE(dry.out.find("command      TERA_ATTEMPT=1 "), std::string::npos) << dry.out;
  EXPECT_NE(dry.out.find("check        failed   data: "), std::string::npos) << dry.out;

  fs::remove(root_ / "toy.tgd.json");
  std::ofstream(root_ / "file") << "no folder";
  const std::string runs = (root_ / "file" / "runs").string();
  for (const char* verb : {"launch", "train"}) {
    const ProgramResult both = run_teragpt(
        {verb, spec_file(), "--runs-root", runs, "--set", "training.gradient_precision=bf16"});
    EXPECT_EQ(both.exit_code, 2) << both.err;
    for (const char* what : {"training.gradient_precision", "no token files at", "is not a folder"})
      EXPECT_NE(both.err.find(what), std::string::npos) << verb << " " << what << "\n" << both.err;
  }
  const json broken = json_of({"launch", spec_file(), "--set", "model.num_layers=-1"}, 2);
  EXPECT_NE(broken.at("diagnostics").at(0).at("message").get<std::string>().find("num_layers"),
            std::string::npos)
      << broken;
  EXPECT_FALSE(fs::exists(root_ / "runs"));
}

// A process that refuses the run itself is told by launch, not only to who attaches.
TEST_F(RunCommands, LaunchSaysWhenTheProcessEndsAtOnce) {
  const std::string id = launch();
  EXPECT_EQ(run_teragpt({"attach", id}).exit_code, 0);
  const ProgramResult again = run_teragpt({"launch", "--run", id});
  EXPECT_EQ(again.exit_code, 1) << "it has checkpoints: only --resume goes on";
  EXPECT_NE(again.err.find("ended before training began"), std::string::npos) << again.err;
  EXPECT_NE(again.err.find("teragpt logs " + id), std::string::npos) << again.err;
}

TEST_F(RunCommands, AttachTellsWhatNeedsAPersonOnce) {
  const auto dir =
      run::RunDirectory::create(posix_vfs(), root_ / "runs", spec::load_run_spec(spec_file()).spec);
  ASSERT_TRUE(dir) << dir.error().message;
  std::optional<run::RunLock> lock = run::RunLock::acquire(*dir, 1).value();  // it is alive
  run::MetricWriter writer = run::MetricWriter::open(posix_vfs(), dir->metrics_file(1)).value();
  const auto write = [&](int step) {
    run::MetricRecord record;
    record.step = step;
    record.values = {{"loss", step == 150 ? 9.0 : 4 + 0.01 * (step % 5)}};
    record.expert_layers = {0};
    record.expert_load = {{10, 10, 10, 10, 10, 10, 10, 10, 10, 100.0 + step}};
    ASSERT_TRUE(writer.write(record));
  };
  for (int step = 1; step <= 200; ++step)
    write(step);
  test::RunningTeragpt attached({"attach", dir->id()}, test::RunningTeragpt::Output::terminal);
  std::string all;
  const auto read_until = [&](const std::string& text) {
    while (const auto line = attached.read_line()) {
      all += *line + "\n";
      if (line->find(text) != std::string::npos) return;
    }
    FAIL() << "no \"" << text << "\" in\n" << all;
  };
  read_until("layer 0 expert 9: hot");
  for (int step = 201; step <= 203; ++step) {  // its load grows, and is no news
    write(step);
    read_until(fmt::format("step {:>6}/", step));
  }
  ASSERT_TRUE(run::append_event(*dir, {.time_s = 1, .attempt = 1, .state = "completed"}));
  lock.reset();
  read_until("completed");
  EXPECT_EQ(attached.wait(), 0);
  EXPECT_NE(all.find("warning: loss: spike at step 150"), std::string::npos) << all;
  EXPECT_EQ(all.find("expert 9: hot"), all.rfind("expert 9: hot")) << all;
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
  const ProgramResult attached = run_teragpt({"attach", id, "--json"});
  EXPECT_EQ(attached.exit_code, 1);
  EXPECT_NE(attached.out.find("{\"schema\":\"teragpt.error/1\",\"exit_code\":1,"),
            std::string::npos)
      << "the stream ends with how the run ended";
  EXPECT_NE(attached.err.find("died: "), std::string::npos) << attached.err;
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

TEST_F(RunCommands, ADenseCheckpointIsUpcycledToExperts) {
  const std::vector<std::string> dense = {
      "--set", "model.num_experts=0",      "--set", "model.ffn_hidden_size=32",
      "--set", "model.router_top_k=0",     "--set", "model.moe_ffn_hidden_size=0",
      "--set", "training.eval_interval=1", "--set", "training.eval_sequences=4",
      "--set", "training.num_steps=6"};
  std::vector<std::string> train = {"train", spec_file(), "--json"};
  train.insert(train.end(), dense.begin(), dense.end());
  const ProgramResult trained = run_teragpt(train);
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const auto last_line = [](const std::string& text) {
    return json::parse(text.substr(text.rfind('\n', text.size() - 2) + 1));
  };
  const double dense_loss = last_line(trained.out).at("eval_loss");
  const std::string source = json_of({"runs"}).at("runs").at(0).at("id");

  const std::string run = (root_ / "upcycled").string();
  const std::vector<std::string> upcycle = {"ckpt",  "upcycle",
                                            source,  spec_file(),
                                            "-o",    run,
                                            "--set", "model.router_renormalize=true",
                                            "--set", "training.learning_rate=0",
                                            "--set", "training.min_learning_rate=0",
                                            "--set", "training.eval_interval=1",
                                            "--set", "training.eval_sequences=4"};
  const json made = json_of(upcycle);
  EXPECT_EQ(made.at("path"), run);
  EXPECT_EQ(made.at("source_step"), 6);
  EXPECT_EQ(made.at("keeps_outputs"), true);
  const ProgramResult resumed =
      run_teragpt({"train", "--run", run, "--resume", "--steps", "1", "--json"});
  ASSERT_EQ(resumed.exit_code, 75) << resumed.err;
  // Nothing is learnt at rate 0: the experts compute what the dense model did, up to rounding.
  EXPECT_NEAR(last_line(resumed.out).at("eval_loss").get<double>(), dense_loss, 1e-5);

  EXPECT_NE(run_teragpt(upcycle).exit_code, 0) << "the run exists";
  const ProgramResult wrong =
      run_teragpt({"ckpt", "upcycle", source, spec_file(), "-o", (root_ / "other").string(),
                   "--set", "model.moe_ffn_hidden_size=48"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_NE(wrong.err.find("moe_ffn_hidden_size: got 48"), std::string::npos) << wrong.err;
  EXPECT_FALSE(fs::exists(root_ / "other"));
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
