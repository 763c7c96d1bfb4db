#include "core/base/hash.h"
#include "core/checkpoint/shard_io.h"

#include <cstring>
#include <fstream>
#include <numeric>
#include <set>

#include <nlohmann/json.hpp>

#include "core/checkpoint/file_hasher.h"
#include "tests/core/checkpoint/sample_state.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::make_sample;
using test::SampleState;

class ShardIo : public test::TempDirTest {};

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The rules of the safetensors format, checked by an independent reading of the bytes: header
// length, JSON, and entries that cover the data without holes or overlaps.
TEST_F(ShardIo, EveryShardIsAValidSafetensorsFile) {
  const SampleState sample = make_sample(11);
  const Result<fs::path> saved = sample.save_to(posix_vfs(), dir_, {.max_shard_bytes = 12288});
  ASSERT_TRUE(saved) << saved.error().message;
  std::set<std::string> names;
  std::map<std::string, std::string> contents;
  int num_shards = 0;
  for (const auto& entry : fs::directory_iterator(*saved)) {
    if (entry.path().extension() != ".safetensors") continue;
    ++num_shards;
    const std::string bytes = read_file(entry.path());
    ASSERT_GE(bytes.size(), 8U);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    ASSERT_LE(8 + length, bytes.size());
    EXPECT_EQ((8 + length) % 4096, 0U) << "the data starts aligned";
    EXPECT_EQ(bytes[8], '{');
    const json header = json::parse(bytes.substr(8, length));
    std::map<std::uint64_t, std::uint64_t> ranges;
    for (const auto& [name, info] : header.items()) {
      if (name == "__metadata__") {
        EXPECT_EQ(info.at("checkpoint"), "tgck/1");
        continue;
      }
      const auto begin = info.at("data_offsets").at(0).get<std::uint64_t>();
      const auto end = info.at("data_offsets").at(1).get<std::uint64_t>();
      const std::map<std::string, std::uint64_t> sizes = {{"F64", 8}, {"F32", 4},     {"BF16", 2},
                                                          {"F16", 2}, {"F8_E4M3", 1}, {"I64", 8},
                                                          {"I32", 4}, {"U16", 2},     {"U8", 1}};
      std::uint64_t expected = sizes.at(info.at("dtype"));
      for (const json& dim : info.at("shape"))
        expected *= dim.get<std::uint64_t>();
      EXPECT_EQ(end - begin, expected) << name;
      if (end > begin) ranges[begin] = end;
      if (name.starts_with("padding/")) continue;
      EXPECT_EQ(begin % 4096, 0U) << name;
      EXPECT_TRUE(names.insert(name).second) << name << " is in two shards";
      contents[name] = bytes.substr(8 + length + begin, end - begin);
    }
    std::uint64_t at = 0;
    for (const auto& [begin, end] : ranges) {
      EXPECT_EQ(begin, at) << "a hole or an overlap";
      at = end;
    }
    EXPECT_EQ(8 + length + at, bytes.size()) << "the entries cover the data";
  }
  EXPECT_GT(num_shards, 1);
  EXPECT_EQ(names.size(), sample.infos.size());
  const std::string query = contents.at("exp_avg/layers.0.attention.query@0,0");
  ASSERT_EQ(query.size(), sample.data[1].size());
  EXPECT_EQ(std::memcmp(query.data(), sample.data[1].data(), query.size()), 0);
  EXPECT_EQ(contents.at("weight/scale@").size(), 8U);
}

// Boxes of any layout: every element of a tensor comes from the box that holds it.
TEST_F(ShardIo, BoxesOfAnyShapeFindTheirPlace) {
  const TensorInfo info{"w", "weight", DType::u16, {4, 5, 6}};
  std::vector<std::uint16_t> tensor(4 * 5 * 6);
  std::iota(tensor.begin(), tensor.end(), std::uint16_t{1});
  const auto element = [&](std::int64_t i, std::int64_t j, std::int64_t k) {
    return tensor[static_cast<std::size_t>((i * 5 + j) * 6 + k)];
  };
  std::mt19937 random(3);
  const auto below = [&](int n) {
    return static_cast<std::int64_t>(random() % static_cast<unsigned>(n));
  };
  for (int round = 0; round < 300; ++round) {
    Box box;
    for (const int extent : {4, 5, 6}) {
      box.offset.push_back(below(extent));
      box.size.push_back(1 + below(extent - static_cast<int>(box.offset.back())));
    }
    std::vector<std::uint16_t> stored;
    std::vector<std::uint16_t> expected(tensor.size(), 0);
    for (std::int64_t i = 0; i < box.size[0]; ++i) {
      for (std::int64_t j = 0; j < box.size[1]; ++j) {
        for (std::int64_t k = 0; k < box.size[2]; ++k) {
          const std::array at = {i + box.offset[0], j + box.offset[1], k + box.offset[2]};
          stored.push_back(element(at[0], at[1], at[2]));
          expected[static_cast<std::size_t>((at[0] * 5 + at[1]) * 6 + at[2])] = stored.back();
        }
      }
    }
    std::vector<std::uint16_t> filled(tensor.size(), 0);
    BoxWriter writer(box, info, reinterpret_cast<std::byte*>(filled.data()));
    std::span<const std::byte> rest = std::as_bytes(std::span(stored));
    while (!rest.empty()) {  // pieces that split elements, too
      const std::size_t size = std::min<std::size_t>(rest.size(), 1 + random() % 9);
      writer.append(rest.first(size));
      rest = rest.subspan(size);
    }
    ASSERT_EQ(filled, expected);
  }
}

TEST_F(ShardIo, HashesDoNotDependOnThePieces) {
  std::vector<std::byte> bytes(3 * kBlockBytes + 12345);
  std::mt19937 random(5);
  for (std::byte& byte : bytes)
    byte = static_cast<std::byte>(random());
  FileHasher hasher;
  std::span<const std::byte> rest(bytes);
  while (!rest.empty()) {
    const std::size_t size = std::min<std::size_t>(rest.size(), 1 + random() % 700000);
    hasher.update(rest.first(size));
    rest = rest.subspan(size);
  }
  const std::vector<std::uint64_t> blocks = hasher.blocks();
  ASSERT_EQ(blocks.size(), 4U);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::size_t begin = i * kBlockBytes;
    const std::size_t size = std::min<std::size_t>(kBlockBytes, bytes.size() - begin);
    EXPECT_EQ(blocks[i], xxh3_64(std::span(bytes).subspan(begin, size)));
  }
  EXPECT_EQ(hasher.whole_hex(),
            to_hex(xxh3_128({reinterpret_cast<const char*>(bytes.data()), bytes.size()})));
  // Published test value of XXH3-128 for the empty input.
  EXPECT_EQ(to_hex(xxh3_128("")), "99aa06d3014798d86001c324468d497f");
  EXPECT_TRUE(FileHasher().blocks().empty());
}

}  // namespace
}  // namespace tera::checkpoint
