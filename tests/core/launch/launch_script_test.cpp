#include "core/launch/launch_script.h"

#include <random>

#include <nlohmann/json.hpp>

#include "core/base/hash.h"
#include "tests/core/launch/launch_fixture.h"
#include "tests/support/scoped_variable.h"

namespace tera::launch {
namespace {

namespace fs = std::filesystem;

class LaunchScriptTest : public test::LaunchFixture {
 protected:
  LaunchScript render(const run::RunDirectory& dir, const LaunchOptions& options) const {
    Result<LaunchScript> script = make_local_launcher()->render(dir, options);
    if (!script) throw std::runtime_error(script.error().message);
    return *script;
  }
};

TEST_F(LaunchScriptTest, RendersExactlyWhatWillRun) {
  const std::string teragpt = program("exit 0");
  const LaunchScript script = render(run_, {.program = teragpt});
  EXPECT_EQ(script.argv,
            (std::vector<std::string>{teragpt, "train", "--run", run_.path().string()}));
  EXPECT_EQ(script.attempt, 1);
  EXPECT_EQ(script.environment,
            (std::vector<std::pair<std::string, std::string>>{{"TERA_ATTEMPT", "1"}}));
  EXPECT_EQ(script.log, (run_.path() / "logs/a001/rank-00000.log").string());
  ASSERT_EQ(script.files.size(), 2U);
  EXPECT_EQ(script.files[0].first, "spec.yaml");
  EXPECT_EQ(script.files[0].second, content(run_.spec_file()));
  EXPECT_EQ(script.files[1].first, "launch/a001/argv.json");
  const nlohmann::json argv = nlohmann::json::parse(script.files[1].second);
  EXPECT_EQ(argv.at("argv"), script.argv);
  EXPECT_EQ(render(run_, {.program = teragpt, .resume = true}).argv.back(), "--resume");
  EXPECT_EQ(run_.last_attempt(), 0) << "rendering leaves nothing behind";
}

TEST_F(LaunchScriptTest, TheHashIsTheSameForEveryRunDirectoryAndChangesWithTheRest) {
  const std::string teragpt = program("exit 0");
  const std::string text = run::run_spec_text(spec::RunSpec{});
  const LaunchScript real = render(run_, {.program = teragpt});
  const auto planned = run::RunDirectory::planned(posix_vfs(), dir_ / "elsewhere", "some-id");
  const LaunchScript dry = render(planned, {.program = teragpt, .spec_text = text});
  EXPECT_EQ(dry.hash, real.hash);
  EXPECT_EQ(dry.hash.size(), 64U);
  EXPECT_FALSE(fs::exists(dir_ / "elsewhere"));

  EXPECT_NE(render(run_, {.program = teragpt, .resume = true}).hash, real.hash);
  EXPECT_NE(render(planned, {.program = teragpt, .spec_text = text + " "}).hash, real.hash);
  fs::copy_file(teragpt, dir_ / "other");
  EXPECT_NE(render(run_, {.program = (dir_ / "other").string()}).hash, real.hash);
  fs::create_directories(run_.launch_dir(1));
  EXPECT_NE(render(run_, {.program = teragpt}).hash, real.hash) << "another attempt";
}

TEST_F(LaunchScriptTest, AMissingProgramOrSpecIsNamed) {
  std::ofstream(dir_ / "text") << "no program";
  for (const std::string& given : {(dir_ / "none").string(), (dir_ / "text").string()}) {
    const auto script = make_local_launcher()->render(run_, {.program = given});
    ASSERT_FALSE(script);
    EXPECT_EQ(script.error().code, ErrorCode::not_found);
    EXPECT_NE(script.error().message.find(given), std::string::npos);
  }
  const auto planned = run::RunDirectory::planned(posix_vfs(), dir_, "none");
  EXPECT_FALSE(make_local_launcher()->render(planned, {.program = program("exit 0")}));
}

TEST_F(LaunchScriptTest, OnlyTheAllowListIsInherited) {
  const tera::test::ScopedVariable secret("SECRET_TOKEN", "canary");
  const tera::test::ScopedVariable attempt("TERA_ATTEMPT", "77");
  const tera::test::ScopedVariable language("LC_TEST", "C");
  const LaunchScript script = render(run_, {.program = program("exit 0")});
  const std::vector<std::string> all = full_environment(script);
  int attempts = 0;
  bool lc = false;
  for (const std::string& entry : all) {
    EXPECT_EQ(entry.find("canary"), std::string::npos);
    if (entry.rfind("TERA_ATTEMPT=", 0) == 0) {
      ++attempts;
      EXPECT_EQ(entry, "TERA_ATTEMPT=1") << "the script's value wins";
    }
    lc = lc || entry == "LC_TEST=C";
  }
  EXPECT_EQ(attempts, 1);
  EXPECT_TRUE(lc);
}

// quote(x), read by a real shell, is x again.
TEST_F(LaunchScriptTest, AShellReadsTheQuotedWordsBack) {
  std::mt19937 random(31);
  std::vector<std::string> words = {"",   "plain", "two words", "it's", "$HOME `id` \\ \"",
                                    "-n", "a\nb"};
  for (int i = 0; i < 30; ++i) {
    std::string word;
    for (auto size = random() % 20; size > 0; --size)
      word += static_cast<char>(1 + random() % 126);
    words.push_back(word);
  }
  std::string command = "printf '%s\\001'";
  std::string expected;
  for (const std::string& word : words) {
    if (word.find('\001') != std::string::npos) continue;
    command += " " + shell_quote(word);
    expected += word + '\001';
  }
  std::ofstream(dir_ / "script.sh") << command << "\n";
  ASSERT_EQ(std::system(
                ("sh " + (dir_ / "script.sh").string() + " > " + (dir_ / "out").string()).c_str()),
            0);
  EXPECT_EQ(content(dir_ / "out"), expected);
  EXPECT_EQ(shell_quote("/usr/bin/teragpt"), "/usr/bin/teragpt");
  LaunchScript script;
  script.argv = {"a b", "c"};
  EXPECT_EQ(script.command_line(), "'a b' c");
  script.environment = {{"TERA_ATTEMPT", "2"}, {"TERA_NOTE", "it's"}};
  EXPECT_EQ(script.command_line(), R"(TERA_ATTEMPT=2 TERA_NOTE='it'\''s' 'a b' c)");
}

TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace tera::launch
