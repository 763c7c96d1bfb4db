#include "core/checkpoint/manifest.h"

#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace tera::checkpoint {
namespace {

using nlohmann::json;

// One tensor of 4 x 6 f32 in four boxes that a tensor-parallel times pipeline layout could write.
json sample() {
  json document = {
      {"format", "tgck/1"},
      {"step", 12},
      {"save_id", std::string(32, 'a')},
      {"state", "{}"},
      {"tensors",
       json::array({{{"name", "w"}, {"role", "weight"}, {"dtype", "f32"}, {"shape", {4, 6}}}})},
      {"files", json::array({{{"name", "shard-00000.safetensors"},
                              {"bytes", 8192},
                              {"xxh3_128", std::string(32, '0')},
                              {"blocks", {std::string(16, 'f')}}}})},
      {"boxes", json::array()}};
  for (const auto& [row, column, rows, columns] :
       {std::array{0, 0, 1, 2}, std::array{0, 2, 1, 4}, std::array{1, 0, 3, 5},
        std::array{1, 5, 3, 1}}) {
    document["boxes"].push_back({{"tensor", 0},
                                 {"offset", {row, column}},
                                 {"size", {rows, columns}},
                                 {"file", 0},
                                 {"file_offset", 4096},
                                 {"bytes", rows * columns * 4}});
  }
  return document;
}

std::string error_of(const json& document) {
  const Result<Manifest> manifest = parse_manifest(document.dump());
  return manifest ? "" : manifest.error().message;
}

TEST(ManifestTest, AcceptsBoxesOfAnyLayoutAndWritesThemBack) {
  const Result<Manifest> manifest = parse_manifest(sample().dump());
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->state.step, 12);
  ASSERT_EQ(manifest->boxes.size(), 4U);
  EXPECT_EQ(manifest->boxes_of[0], (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(json::parse(to_json(*manifest)), sample());
}

TEST(ManifestTest, EveryRuleIsEnforcedByName) {
  struct Case {
    const char* pointer;
    json value;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"/format", "tgck/2", "expected \"tgck/1\""},
      {"/step", -1, "step"},
      {"/step", 1.5, "step"},
      {"/step", "12", "step"},
      {"/save_id", "xyz", "save_id"},
      {"/state", 3, "state"},
      {"/tensors", 3, "tensors"},
      {"/tensors/0/dtype", "f33", "unknown dtype \"f33\""},
      {"/tensors/0/shape", json::array({4, -6}), "shape"},
      {"/tensors/0/shape", json::array({1LL << 40, 1LL << 40}), "does not fit"},
      {"/tensors/0/shape", json::array({1, 1, 1, 1, 1, 1, 1, 4, 6}), "at most 8"},
      {"/tensors/0/name", "", "name"},
      {"/tensors/0/name", "a\nb", "name"},
      {"/tensors/0/name", std::string(1025, 'n'), "name"},
      {"/files/0/name", "../../etc/passwd", "expected shard-00000.safetensors"},
      {"/files/0/bytes", 1 << 21, "blocks: got 1, expected 2"},
      {"/files/0/xxh3_128", "0", "xxh3_128"},
      {"/files/0/blocks/0", "F000000000000000", "16 hex digits"},
      {"/boxes/0/tensor", 1, "tensor"},
      {"/boxes/0/file", 1, "file"},
      {"/boxes/0/offset", json::array({0}), "rank differs"},
      {"/boxes/0/offset", json::array({4, 0}), "leaves w in dim 0"},
      {"/boxes/0/offset", json::array({std::numeric_limits<std::int64_t>::max(), 0}), "leaves w"},
      {"/boxes/0/size", json::array({1, 3}), "expected 12"},
      {"/boxes/0/bytes", 9, "expected 8"},
      {"/boxes/0/file_offset", 8190, "leaves shard-00000.safetensors"},
      {"/boxes/0/file_offset", std::numeric_limits<std::uint64_t>::max(), "file_offset"},
      {"/boxes/1/offset", json::array({0, 1}), "overlap"},
  };
  for (const Case& c : cases) {
    json document = sample();
    document[json::json_pointer(c.pointer)] = c.value;
    const std::string message = error_of(document);
    EXPECT_NE(message.find(c.message), std::string::npos)
        << c.pointer << " = " << c.value << ": " << message;
  }
}

TEST(ManifestTest, MissingUnknownAndIncompletePartsAreRefused) {
  for (const char* name : {"format", "step", "save_id", "state", "tensors", "files", "boxes"}) {
    json document = sample();
    document.erase(name);
    EXPECT_NE(error_of(document).find(name), std::string::npos) << name;
  }
  json document = sample();
  document["extra"] = 1;
  EXPECT_NE(error_of(document).find("unknown member \"extra\""), std::string::npos);
  document = sample();
  document["boxes"].erase(3);
  EXPECT_NE(error_of(document).find("boxes hold 84 bytes, the tensor 96"), std::string::npos)
      << error_of(document);
  document = sample();
  document["tensors"].push_back(document["tensors"][0]);
  EXPECT_NE(error_of(document).find("listed twice"), std::string::npos);
  document["tensors"][1]["name"] = "v";
  EXPECT_NE(error_of(document).find("weight/v: got 0 boxes"), std::string::npos);
  document = sample();
  document["tensors"] = json::array();
  EXPECT_NE(error_of(document), "");
}

// Whatever the bytes, the parser answers: it neither crashes nor hangs nor throws.
TEST(ManifestTest, SurvivesMutatedText) {
  const std::string good = sample().dump();
  std::mt19937 random(7);
  const auto pick = [&](std::size_t n) { return random() % n; };
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    for (std::size_t edits = 1 + pick(4); edits > 0; --edits) {
      switch (pick(3)) {
        case 0:
          text[pick(text.size())] = static_cast<char>(random());
          break;
        case 1:
          text.erase(pick(text.size()), 1 + pick(20));
          break;
        default:
          text.insert(pick(text.size()), text.substr(pick(text.size()), 1 + pick(30)));
          break;
      }
      if (text.empty()) text = "{";
    }
    const Result<Manifest> manifest = parse_manifest(text);
    accepted += manifest ? 1 : 0;
    if (!manifest) {
      EXPECT_FALSE(manifest.error().message.empty());
    }
  }
  EXPECT_LT(accepted, 2000) << "edits inside hex digits and names stay valid, little else";
  EXPECT_FALSE(parse_manifest(std::string(100000, '[')));
  EXPECT_FALSE(parse_manifest(""));
}

TEST(CommitTest, OneSpellingOnly) {
  const Commit commit{.manifest_hex = std::string(32, '1'),
                      .manifest_bytes = 345,
                      .step = 7,
                      .save_id = std::string(32, 'c')};
  const std::string line = to_line(commit);
  const Result<Commit> parsed = parse_commit(line);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->manifest_bytes, 345U);
  EXPECT_EQ(parsed->step, 7);
  std::vector<std::string> bad = {"",          "\n",       line.substr(0, line.size() - 1),
                                  line + "\n", " " + line, "tgck2" + line.substr(5)};
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{" 345 ", " 0345 "},
                                                        {" 345 ", "  345 "},
                                                        {" 345 ", " -345 "},
                                                        {" 7 ", " 7x "},
                                                        {" 345 ", " 99999999999999999999999 "},
                                                        {"ccc", "CCC"},
                                                        {"111", "11"}}) {
    std::string changed = line;
    changed.replace(changed.find(from), from.size(), to);
    bad.push_back(changed);
  }
  for (const std::string& text : bad)
    EXPECT_FALSE(parse_commit(text)) << text;
}

}  // namespace
}  // namespace tera::checkpoint
