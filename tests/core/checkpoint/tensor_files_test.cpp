#include "core/checkpoint/tensor_files.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/checkpoint/sample_state.h"

namespace tera::checkpoint {
namespace {

using testing::HasSubstr;

class TensorFilesTest : public test::TempDirTest {
 protected:
  void shard(const std::string& file, const std::vector<std::string>& tensors) const {
    std::vector<SafetensorsEntry> entries;
    for (const std::string& name : tensors)
      entries.push_back({.name = name, .dtype = "U8", .shape = {1}});
    std::vector<std::byte> byte(1);
    const Result<void> written =
        write_safetensors(posix_vfs(), dir_ / file, entries, {},
                          [&](const SafetensorsEntry& entry) -> Result<std::span<const std::byte>> {
                            byte[0] = static_cast<std::byte>(entry.name[0]);
                            return std::span<const std::byte>(byte);
                          });
    ASSERT_TRUE(written) << written.error().message;
  }
  void index(const std::string& weight_map) const {
    std::ofstream(dir_ / "model.safetensors.index.json")
        << R"({"metadata": {"total_size": 3}, "weight_map": )" << weight_map << "}";
  }
  std::string error() const {
    const Result<TensorFiles> files = TensorFiles::open(posix_vfs(), dir_);
    return files ? "accepted" : files.error().message;
  }
};

TEST_F(TensorFilesTest, OneFileOrShards) {
  shard("model.safetensors", {"a", "b"});
  EXPECT_EQ(error(), "accepted");
  std::filesystem::remove(dir_ / "model.safetensors");
  shard("one.safetensors", {"a", "c"});
  shard("two.safetensors", {"b"});
  index(R"({"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"})");
  const Result<TensorFiles> files = TensorFiles::open(posix_vfs(), dir_);
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->names(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(files->num_bytes(), 3U);
  EXPECT_EQ(files->find("x"), nullptr);
  EXPECT_EQ(*files->read("b"), std::vector<std::byte>{std::byte{'b'}});
}

TEST_F(TensorFilesTest, NamesWhatIsMissing) {
  EXPECT_THAT(error(), HasSubstr("holds neither model.safetensors nor"));
  std::ofstream(dir_ / "pytorch_model.bin") << "x";
  EXPECT_THAT(TensorFiles::open(posix_vfs(), dir_).error().hint, HasSubstr("pickles"));
  shard("one.safetensors", {"a"});
  index(R"({"a": "one.safetensors", "b": "two.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("two.safetensors is missing, which the index names"));
  shard("two.safetensors", {"c"});
  EXPECT_THAT(error(), HasSubstr("tensor b is not in two.safetensors"));
}

TEST_F(TensorFilesTest, RefusesAnIndexThatLies) {
  shard("one.safetensors", {"a", "b"});
  shard("two.safetensors", {"b"});
  index(R"({"a": "one.safetensors", "b": "two.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("tensor b is in another shard already"));
  for (const char* name : {"../one.safetensors", "/etc/passwd", "sub/one.safetensors", "..", "",
                           "one.safetensors\\u0000", "o ne"}) {
    index(std::string(R"({"a": ")") + name + "\"}");
    EXPECT_THAT(error(), HasSubstr("expected a plain file name")) << name;
  }
  index(R"({"a": 3})");
  EXPECT_THAT(error(), HasSubstr("expected a plain file name"));
  index("{}");
  EXPECT_THAT(error(), HasSubstr("has no weight_map"));
  index(R"({"a": "one.safetensors", "a": "two.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("\"a\" is given twice"));
  std::ofstream(dir_ / "model.safetensors.index.json") << "{";
  EXPECT_THAT(error(), HasSubstr("not JSON"));
}

}  // namespace
}  // namespace tera::checkpoint
