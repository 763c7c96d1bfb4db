#include "core/checkpoint/shard_io.h"

#include <cstring>
#include <fstream>
#include <numeric>
#include <set>

#include <nlohmann/json.hpp>

#include "core/base/fault_vfs.h"
#include "core/base/hash.h"
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
    std::vector<bool> held(tensor.size());
    for (std::int64_t i = 0; i < box.size[0]; ++i) {
      for (std::int64_t j = 0; j < box.size[1]; ++j) {
        for (std::int64_t k = 0; k < box.size[2]; ++k) {
          const std::array at = {i + box.offset[0], j + box.offset[1], k + box.offset[2]};
          stored.push_back(element(at[0], at[1], at[2]));
          held[static_cast<std::size_t>((at[0] * 5 + at[1]) * 6 + at[2])] = true;
        }
      }
    }
    box.num_bytes = stored.size() * sizeof(std::uint16_t);
    // Runs of the tensor, apart from each other or not, packed from the last to the first.
    std::vector<ElementRun> runs;
    for (std::int64_t at = below(9); at < 120;) {
      runs.push_back({.from = at, .count = std::min<std::int64_t>(1 + below(30), 120 - at)});
      at += runs.back().count + below(12);
    }
    std::int64_t packed = 0;
    for (auto run = runs.rbegin(); run != runs.rend(); ++run)
      packed = (run->to = packed) + run->count;
    std::vector<std::uint16_t> filled(static_cast<std::size_t>(packed));
    std::vector<std::uint16_t> expected(filled.size());
    for (const ElementRun& run : runs) {
      for (std::int64_t i = 0; i < run.count; ++i) {
        const auto at = static_cast<std::size_t>(run.from + i);
        if (held[at]) expected[static_cast<std::size_t>(run.to + i)] = tensor[at];
      }
    }
    std::uint64_t end = 0;
    for (const BoxPiece& piece : pieces_of(box, info, runs)) {
      ASSERT_LE(end, piece.begin);
      ASSERT_LT(piece.begin, piece.end);
      end = piece.end;
      std::memcpy(reinterpret_cast<std::byte*>(filled.data()) + piece.to,
                  reinterpret_cast<const std::byte*>(stored.data()) + piece.begin,
                  piece.end - piece.begin);
    }
    ASSERT_LE(end, box.num_bytes);
    ASSERT_EQ(filled, expected);
  }
}

// Of a tensor of 12 blocks, cut into two boxes, and one behind it.
TEST_F(ShardIo, RunsReadTheirBlocksAlone) {
  constexpr std::int64_t kRow = kBlockBytes / 8;  // elements
  std::vector<float> values(24 * kRow);
  std::iota(values.begin(), values.end(), 0.0F);
  const TensorInfo info{"w", "weight", DType::f32, {24, kRow}};
  const TensorSource source{.info = info, .data = values.data()};
  const Result<fs::path> saved = save(posix_vfs(), dir_, {.step = 1, .json = "{}"},
                                      std::span(&source, 1), {.max_shard_bytes = 16 * 4 * kRow});
  ASSERT_TRUE(saved) << saved.error().message;
  FaultVfs vfs;
  const Result<Reader> reader = Reader::open(vfs, *saved);
  ASSERT_TRUE(reader) << reader.error().message;
  const auto bytes_read = [&vfs] {
    std::uint64_t bytes = 0;
    for (const FaultVfs::Operation& operation : vfs.operations())
      bytes += operation.kind == FaultVfs::Kind::read ? operation.num_bytes : 0;
    return bytes;
  };
  const auto blocks_read = [&](const std::vector<ElementRun>& runs) {
    const std::uint64_t before = bytes_read();
    std::vector<float> got(values.size());
    EXPECT_TRUE(reader->read(info, runs, got.data()).has_value());
    std::vector<float> expected(values.size());
    for (const ElementRun& run : runs)
      std::copy_n(values.begin() + run.from, run.count, expected.begin() + run.to);
    EXPECT_EQ(got, expected);
    return static_cast<double>(bytes_read() - before) / kBlockBytes;
  };
  // A box begins 4 KiB behind a block, so two rows are in two blocks; the last block is short.
  EXPECT_EQ(blocks_read({{.from = 0, .to = 5, .count = 1}}), 1);
  EXPECT_EQ(blocks_read({{.from = 2 * kRow, .to = 0, .count = 2 * kRow}}), 2);
  EXPECT_EQ(blocks_read({{.from = 4 * kRow, .to = kRow, .count = 1},
                         {.from = 10 * kRow, .to = 0, .count = 1}}),
            2);
  const double whole = blocks_read({{.from = 0, .to = 0, .count = 24 * kRow}});
  EXPECT_GT(whole, 12);
  EXPECT_LT(whole, 14);
  std::vector<ElementRun> columns;  // half of every row: all blocks, each once
  for (std::int64_t row = 0; row < 24; ++row)
    columns.push_back({.from = row * kRow, .to = row * kRow / 2, .count = kRow / 2});
  EXPECT_LE(blocks_read(columns), whole);
  EXPECT_EQ(blocks_read({}), 0);
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
