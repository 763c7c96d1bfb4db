// Every verb and what people get wrong: tests/golden/bad_input.txt holds the commands, what they
// must say on stderr and their exit codes. Each says what, got, expected and what to do, says the
// same as JSON, and leaves nothing behind.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include <sys/stat.h>
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

struct Case {
  std::string command;
  std::vector<std::string> arguments;
  std::string err;
  int exit_code = -1;
};

// Words at spaces; '' is an empty one.
std::vector<std::string> words_of(const std::string& command) {
  std::istringstream stream(command);
  std::vector<std::string> words;
  for (std::string word; stream >> word;)
    words.push_back(word == "''" ? "" : word);
  return words;
}

// "$ command", lines of stderr, "[exit code]"; lines that begin with # between cases are comments.
std::vector<Case> cases_of(const fs::path& file) {
  std::ifstream stream(file);
  std::vector<Case> cases;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("$ ")) {
      cases.emplace_back();
      cases.back().command = line.substr(2);
      cases.back().arguments = words_of(cases.back().command);
    } else if (!cases.empty() && cases.back().exit_code < 0) {
      if (line.starts_with("[")) {
        cases.back().exit_code = std::atoi(line.c_str() + 1);
      } else {
        cases.back().err += line + "\n";
      }
    }
  }
  return cases;
}

class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(root_ / "folder");
    before_ = fs::current_path();
    fs::current_path(root_);
    root_ = fs::current_path();
    cache_.emplace("XDG_CACHE_HOME", root_ / "cache");
    for (const char* name : {"empty", "empty.txt", "empty.yaml"})
      write(name, "");
    for (const char* name : {"garbage", "garbage.jsonl", "garbage.yaml"})
      write(name, "\x04 no sense \xff\n");
    write("docs.jsonl",
          "{\"text\": \"one day\"}\n{\"text\": \"two days\"}\n{\"text\": \"three\"}\n");
    std::ifstream table(fs::path(std::getenv("TERA_SOURCE_DIR")) /
                        "resources/validation/published.csv");
    std::string header;
    std::getline(table, header);
    write("header.csv", header + "\n");
    write("cells.csv", header + "\none,two\n\"three");
    write("short.csv", header + "\none,two\nthree\n");
    write("toy.yaml", "model: {preset: tiny-moe}\ndata: {datasets: [{path: corpus}]}\n");
    write("order.txt", "BW0 F0\n");
    fs::create_symlink("loop", "loop");
    for (const char* name : {"fifo", "fifo.txt"})
      ASSERT_EQ(mkfifo(name, 0600), 0);
    make({"tok", "train", "docs.jsonl", "--vocab", "258", "-o", "tokenizer.json"});
    make({"data", "prepare", "docs.jsonl", "-o", "corpus"});
    for (const char* prefix : {"corpus", "broken"})
      make({"data", "tokenize", "corpus.jsonl", "--tokenizer", "tokenizer.json", "-o", prefix});
    fs::resize_file("broken.bin", 10);
  }
  void TearDown() override { fs::current_path(before_); }

  static void write(const std::string& name, const std::string& text) {
    std::ofstream(name) << text;
  }
  static void make(const std::vector<std::string>& arguments) {
    const ProgramResult result = run_teragpt(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(root_))
      names.push_back(entry.path().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  // What is of this run of the test, by the words of the golden file.
  std::string without_root(std::string text) const {
    for (std::size_t at = 0; (at = text.find(root_.string(), at)) != std::string::npos;)
      text.replace(at, root_.string().size(), "ROOT");
    return text;
  }

  const test::TempDir dir_;
  fs::path root_ = dir_.path();
  const test::ScopedVariable runs_{"TERA_RUNS", "runs"};
  std::optional<test::ScopedVariable> cache_;
  fs::path before_;
};

// The answer of a verb that has one also then (check, data verify, the checks of launch), else the
// error document.
void expect_told_as_json(const Case& c, const std::string& err, const std::string& out) {
  const json document = json::parse(out, nullptr, false);
  ASSERT_TRUE(document.is_object()) << c.command << ": " << out;
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << "one document";
  EXPECT_EQ(out.rfind("{\"schema\":\"teragpt.", 0), 0U) << "schema is the first key";
  if (document.at("schema") != "teragpt.error/1") {
    EXPECT_THAT(c.arguments.front(), testing::AnyOf("check", "data", "launch")) << c.command;
    return;
  }
  EXPECT_EQ(document.at("exit_code"), c.exit_code) << c.command;
  ASSERT_FALSE(document.at("diagnostics").empty());
  for (const json& d : document.at("diagnostics")) {
    EXPECT_NE(err.find(d.at("message").get<std::string>()), std::string::npos) << c.command;
    EXPECT_NE(err.find(d.at("hint").get<std::string>()), std::string::npos) << c.command;
  }
}

TEST_F(BadInput, IsToldWithAHintAndLeavesNothing) {
  const std::vector<Case> cases =
      cases_of(fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/bad_input.txt");
  ASSERT_GT(cases.size(), 100U);
  const std::vector<std::string> before = names();
  for (const Case& c : cases) {
    const ProgramResult text = run_teragpt(c.arguments, {}, 20);
    EXPECT_EQ(text.exit_code, c.exit_code) << c.command;
    EXPECT_EQ(without_root(text.err), c.err) << c.command;
    EXPECT_NE(text.err.find("hint:"), std::string::npos) << c.command;
    if (c.arguments.front() != "check") {
      EXPECT_EQ(text.out, "") << c.command;
    }
    std::vector<std::string> with_json = {"--json"};
    with_json.insert(with_json.end(), c.arguments.begin(), c.arguments.end());
    const ProgramResult as_json = run_teragpt(with_json, {}, 20);
    EXPECT_EQ(as_json.exit_code, c.exit_code) << c.command;
    expect_told_as_json(c, as_json.err, as_json.out);
    ASSERT_EQ(names(), before) << c.command;
  }
}

}  // namespace
}  // namespace tera
