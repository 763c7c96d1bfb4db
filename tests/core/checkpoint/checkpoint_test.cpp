#include "core/checkpoint/checkpoint.h"

#include <fstream>

#include "core/base/fault_vfs.h"
#include "tests/core/checkpoint/sample_state.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::expect_equal;
using test::make_sample;
using test::SampleState;

class CheckpointTest : public test::TempDirTest {
 protected:
  fs::path save(const SampleState& sample, const SaveOptions& options = {}) const {
    const Result<fs::path> saved = sample.save_to(posix_vfs(), dir_, options);
    EXPECT_TRUE(saved) << saved.error().message;
    return saved ? *saved : fs::path();
  }
  // Opens and reads everything, which must find damage without a verify before it.
  static Result<void> check(const fs::path& path, const SampleState& sample) {
    TERA_TRY(const Reader reader, Reader::open(posix_vfs(), path));
    for (std::size_t i = 0; i < sample.infos.size(); ++i) {
      std::vector<std::byte> read(sample.data[i].size());
      TERA_TRY_VOID(reader.read(sample.infos[i], read.data()));
      if (read != sample.data[i]) return fail(ErrorCode::failed, "UNDETECTED");
    }
    return {};
  }
};

TEST_F(CheckpointTest, RoundTripIsBitExact) {
  const SampleState sample = make_sample(100);
  const fs::path path = save(sample);
  EXPECT_EQ(path, dir_ / "step-000000100");
  EXPECT_EQ(names(), std::vector<std::string>{"step-000000100"});
  const Result<Reader> reader = Reader::open(posix_vfs(), path);
  ASSERT_TRUE(reader) << reader.error().message;
  expect_equal(*reader, sample);
  EXPECT_TRUE(reader->verify());
  std::uint64_t on_disk = 0;
  for (const auto& entry : fs::directory_iterator(path))
    on_disk += entry.file_size();
  EXPECT_EQ(reader->num_bytes(), on_disk);
}

TEST_F(CheckpointTest, NothingToSaveIsStillACheckpoint) {
  const SampleState sample = make_sample(0, {});
  const Result<Reader> reader = Reader::open(posix_vfs(), save(sample));
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE(reader->tensors().empty());
  EXPECT_TRUE(reader->verify());
}

TEST_F(CheckpointTest, ShardsSplitAtTheLimitAndReadBack) {
  // 40 rows of 1 KiB against shards of 8 KiB: five boxes; the blocks of 1 MiB are also crossed.
  const SampleState sample = make_sample(7, {{"wide", "weight", DType::f32, {40, 256}},
                                             {"big", "weight", DType::bf16, {3, 700000}},
                                             {"tail", "weight", DType::f32, {2, 3}}});
  const fs::path path = save(sample, {.max_shard_bytes = 8192});
  EXPECT_TRUE(fs::exists(path / "shard-00004.safetensors"));
  EXPECT_TRUE(fs::exists(path / "shard-00007.safetensors"));
  const Result<Reader> reader = Reader::open(posix_vfs(), path);
  ASSERT_TRUE(reader) << reader.error().message;
  expect_equal(*reader, sample);
  EXPECT_TRUE(reader->verify());
}

TEST_F(CheckpointTest, AMismatchSaysWhatDiffers) {
  const SampleState sample = make_sample(3);
  const Result<Reader> reader = Reader::open(posix_vfs(), save(sample));
  ASSERT_TRUE(reader);
  TensorInfo wanted = sample.infos.front();
  wanted.shape = {8, 16};
  std::vector<std::byte> bytes(512);
  Result<void> status = reader->read(wanted, bytes.data());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_input);
  EXPECT_NE(status.error().message.find("f32 [16, 8], expected f32 [8, 16]"), std::string::npos)
      << status.error().message;
  wanted = sample.infos.front();
  wanted.dtype = DType::bf16;
  EXPECT_FALSE(reader->read(wanted, bytes.data()));
  wanted = sample.infos.front();
  wanted.role = "master";
  status = reader->read(wanted, bytes.data());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::not_found);
}

TEST_F(CheckpointTest, BadInputIsRefusedBeforeAnythingIsWritten) {
  SampleState twice =
      make_sample(1, {{"a", "weight", DType::f32, {1}}, {"a", "weight", DType::f32, {1}}});
  EXPECT_FALSE(twice.save_to(posix_vfs(), dir_));
  SampleState negative = make_sample(1, {});
  negative.state.step = -1;
  EXPECT_FALSE(negative.save_to(posix_vfs(), dir_));
  SampleState no_json = make_sample(1, {});
  no_json.state.json = "{";
  EXPECT_FALSE(no_json.save_to(posix_vfs(), dir_));
  const std::vector<TensorSource> no_data = {{{"a", "weight", DType::f32, {1}}, nullptr}};
  EXPECT_FALSE(checkpoint::save(posix_vfs(), dir_, make_sample(1, {}).state, no_data));
  EXPECT_TRUE(names().empty());
}

TEST_F(CheckpointTest, AFullDiskNamesNeedAndFree) {
  FaultVfs vfs;
  vfs.set_free_bytes(10000);
  const Result<fs::path> saved = make_sample(1).save_to(vfs, dir_);
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code, ErrorCode::io);
  EXPECT_NE(saved.error().message.find("9.77 KiB free"), std::string::npos)
      << saved.error().message;
  EXPECT_NE(saved.error().message.find("needs"), std::string::npos);
  EXPECT_TRUE(names().empty());
}

TEST_F(CheckpointTest, AGoodCheckpointIsNeverReplacedADamagedOneIs) {
  const SampleState sample = make_sample(5);
  const fs::path path = save(sample);
  const Result<fs::path> again = sample.save_to(posix_vfs(), dir_);
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("never replaced"), std::string::npos);
  fs::resize_file(path / "shard-00000.safetensors", 4096);
  EXPECT_EQ(save(sample), path);
  EXPECT_TRUE(check(path, sample));
  EXPECT_EQ(names().size(), 2U) << "the damaged one was kept aside as evidence";
  EXPECT_TRUE(prune(posix_vfs(), dir_, 2));
  EXPECT_EQ(names(), std::vector<std::string>{"step-000000005"});
}

// Exhaustive: each byte of each file, changed in one bit, must be noticed.
TEST_F(CheckpointTest, EverySingleFlippedByteIsDetected) {
  const SampleState sample =
      make_sample(42, {{"a", "weight", DType::f32, {5, 3}}, {"a", "exp_avg", DType::f32, {5, 3}}});
  const fs::path path = save(sample);
  ASSERT_TRUE(check(path, sample));
  std::int64_t num_flips = 0;
  for (const auto& entry : fs::directory_iterator(path)) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto size = static_cast<std::int64_t>(entry.file_size());
    for (std::int64_t at = 0; at < size; ++at, ++num_flips) {
      const auto put = [&](char byte) {
        file.seekp(at);
        file.put(byte);
        file.flush();
      };
      file.seekg(at);
      const char byte = static_cast<char>(file.get());
      put(static_cast<char>(byte ^ (1 << (at % 8))));
      const Result<void> status = check(path, sample);
      const Result<Reader> reader = Reader::open(posix_vfs(), path);
      const bool verified = reader && reader->verify();
      put(byte);
      ASSERT_FALSE(verified) << entry.path() << " byte " << at;
      ASSERT_FALSE(status) << entry.path() << " byte " << at;
      ASSERT_NE(status.error().message, "UNDETECTED") << entry.path() << " byte " << at;
      ASSERT_NE(status.error().message.find("step-000000042"), std::string::npos)
          << status.error().message;
    }
  }
  EXPECT_TRUE(check(path, sample)) << "all flips were taken back";
  EXPECT_GT(num_flips, 8192 + 500) << "shard, manifest and COMMIT";
}

TEST_F(CheckpointTest, DamageIsNamedByFileBlockAndTensor) {
  const SampleState sample = make_sample(
      1, {{"first", "weight", DType::u8, {3 << 20}}, {"second", "weight", DType::u8, {1 << 20}}});
  const fs::path path = save(sample);
  std::fstream file(path / "shard-00000.safetensors",
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096 + (3 << 20) + 77);  // the header has 4096 bytes
  file.put('\x01');
  file.put('\x02');
  file.close();
  const Result<Reader> reader = Reader::open(posix_vfs(), path);
  ASSERT_TRUE(reader) << "the damage is in the data, the catalog is whole";
  const Result<void> verified = reader->verify();
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, ErrorCode::corrupt);
  for (const char* part : {"shard-00000.safetensors", "block 3", "weight/second"})
    EXPECT_NE(verified.error().message.find(part), std::string::npos) << verified.error().message;
  // A tensor whose blocks are whole is still read.
  std::vector<std::byte> bytes(1 << 20);
  EXPECT_FALSE(reader->read(sample.infos[1], bytes.data()));
}

TEST_F(CheckpointTest, MissingAndTruncatedFilesAreRefused) {
  const SampleState sample = make_sample(9);
  const fs::path path = save(sample);
  for (const char* name : {"COMMIT", "manifest.json", "shard-00000.safetensors"}) {
    const fs::path whole = dir_ / "whole";
    fs::rename(path / name, whole);
    EXPECT_FALSE(Reader::open(posix_vfs(), path)) << "without " << name;
    const std::uintmax_t size = fs::file_size(whole);
    for (std::uintmax_t kept = 0; kept<size; kept += size> 5000 ? 911 : 1) {
      fs::copy_file(whole, path / name, fs::copy_options::overwrite_existing);
      fs::resize_file(path / name, kept);
      EXPECT_FALSE(Reader::open(posix_vfs(), path)) << name << " cut to " << kept;
    }
    fs::rename(whole, path / name);
    EXPECT_TRUE(check(path, sample)) << name << " is back";
  }
}

TEST_F(CheckpointTest, ARenamedOrMixedCheckpointIsRefused) {
  const fs::path one = save(make_sample(1));
  const fs::path two = save(make_sample(2));
  fs::copy(one, dir_ / "step-000000003", fs::copy_options::recursive);
  EXPECT_FALSE(Reader::open(posix_vfs(), dir_ / "step-000000003")) << "another step's name";
  // Files of two saves mixed: each is whole, together they are not.
  fs::copy_file(one / "COMMIT", two / "COMMIT", fs::copy_options::overwrite_existing);
  EXPECT_FALSE(Reader::open(posix_vfs(), two));
  fs::copy_file(one / "manifest.json", two / "manifest.json", fs::copy_options::overwrite_existing);
  const Result<Reader> mixed = Reader::open(posix_vfs(), two);
  EXPECT_FALSE(mixed);
}

}  // namespace
}  // namespace tera::checkpoint
