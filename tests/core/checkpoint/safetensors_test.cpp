#include "core/checkpoint/safetensors.h"

#include <cstring>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/fault_vfs.h"
#include "tests/core/checkpoint/sample_state.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A file of this header and this many bytes of data.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + std::string(data_bytes, '\1');
}

class Safetensors : public test::TempDirTest {
 protected:
  Result<SafetensorsFile> open(const std::string& bytes) const {
    std::ofstream(dir_ / "m.safetensors", std::ios::binary) << bytes;
    return SafetensorsFile::open(posix_vfs(), dir_ / "m.safetensors");
  }
  std::string error_of(const std::string& bytes) const {
    const Result<SafetensorsFile> file = open(bytes);
    return file ? "accepted" : file.error().message;
  }
};

TEST_F(Safetensors, ReadsAFileOfTheReferenceWriter) {
  // Written by the safetensors package 0.8: save({"a": i32 [2], "b": f32 [1, 2]}, {"format":
  // "pt"}).
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"I32","shape":[2],"data_offsets":[8,16]}}     )";
  const Result<SafetensorsFile> file = open(file_of(header, 16));
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->entries().size(), 2U);
  EXPECT_EQ(file->entries()[0].name, "b");
  EXPECT_EQ(file->entries()[0].shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(file->metadata().at("format"), "pt");
  const Result<std::vector<std::byte>> bytes = file->read(file->entries()[1]);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(*bytes, std::vector<std::byte>(8, std::byte{1}));
}

TEST_F(Safetensors, ReadsEmptyTensorsAndScalars) {
  const std::string header = R"({"none":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},)"
                             R"("one":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
                             R"("four":{"dtype":"F4","shape":[4],"data_offsets":[8,10]}})";
  const Result<SafetensorsFile> file = open(file_of(header, 10));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->entries().size(), 3U);
}

TEST_F(Safetensors, RefusesLengthsThatLie) {
  EXPECT_THAT(error_of(""), HasSubstr("0 bytes, too short"));
  EXPECT_THAT(error_of("1234567"), HasSubstr("too short"));
  std::string cut = file_of("{}", 0);
  EXPECT_EQ(error_of(cut), "accepted");
  cut.pop_back();
  EXPECT_THAT(error_of(cut), HasSubstr("a header of 2 bytes in a file of 9: it is cut off"));
  std::string huge = file_of("{}", 0);
  huge[3] = '\x10';  // 2^28 + 2
  EXPECT_THAT(error_of(huge), HasSubstr("a header of 268435458 bytes, expected at most 67108864"));
  huge[7] = '\x7F';
  EXPECT_THAT(error_of(huge), HasSubstr("expected at most 67108864"));
  EXPECT_THAT(error_of(file_of("", 0)), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(error_of(file_of(" {}", 0)), HasSubstr("does not begin with '{'"));
}

TEST_F(Safetensors, RefusesHeadersThatAreNotTheFormat) {
  const auto error = [this](const std::string& header, std::size_t data = 8) {
    return error_of(file_of(header, data));
  };
  EXPECT_THAT(error("{\"a\":"), HasSubstr("not JSON"));
  EXPECT_THAT(error("{\"a\":" + std::string(20, '[')), HasSubstr("nests deeper than 4"));
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  EXPECT_EQ(error("{" + a + "}"), "accepted");
  EXPECT_THAT(error("{" + a + "," + a + "}"), HasSubstr("\"a\" is given twice"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
              HasSubstr("\"dtype\" is given twice"));
  EXPECT_THAT(error(R"({"a":7})"), HasSubstr("tensor a: expected exactly dtype"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[2]}})"), HasSubstr("expected exactly dtype"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})"),
              HasSubstr("element type \"F33\" is not known"));
  EXPECT_THAT(error(R"({"a":{"dtype":3,"shape":[2],"data_offsets":[0,8]}})"),
              HasSubstr("element type 3"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"),
              HasSubstr("shape [-2]"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})"),
              HasSubstr("shape 2"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})"),
              HasSubstr("at most 8 whole numbers"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"),
              HasSubstr("data_offsets [8,0]"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})"),
              HasSubstr("expected [begin, end]"));
  EXPECT_THAT(error("{\"" + std::string(2000, 'x') + "\":{}}"), HasSubstr("name of 2000 bytes"));
  EXPECT_THAT(error(R"({"a\u0007b":{}})"), HasSubstr("expected 1 to 1024 printable"));
  EXPECT_THAT(error("{\"\xff\":{}}"), HasSubstr("not JSON"));
  EXPECT_THAT(error(R"({"__metadata__":{"step":3}})"),
              HasSubstr("__metadata__.step is not a text"));
}

TEST_F(Safetensors, RefusesShapesThatAreNotTheBytes) {
  const auto error = [this](const std::string& shape, const std::string& end, const char* dtype) {
    return error_of(file_of("{\"a\":{\"dtype\":\"" + std::string(dtype) + "\",\"shape\":[" + shape +
                                "],\"data_offsets\":[0," + end + "]}}",
                            8));
  };
  EXPECT_THAT(error("3", "8", "F32"), HasSubstr("F32 [3] has 12 bytes, but data_offsets span 8"));
  EXPECT_THAT(error("4294967296,4294967296", "8", "F32"), HasSubstr("more elements than"));
  EXPECT_THAT(error("9223372036854775807,2", "8", "U8"), HasSubstr("more elements than"));
  EXPECT_THAT(error("18446744073709551615", "8", "U8"), HasSubstr("whole numbers"));
  EXPECT_THAT(error("3", "1", "F4"), HasSubstr("ends inside a byte"));
}

TEST_F(Safetensors, RefusesHolesOverlapsAndMissingData) {
  const auto error = [this](int begin, int end, std::size_t data) {
    return error_of(file_of(
        R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[)" +
            std::to_string(end - begin) + "],\"data_offsets\":[" + std::to_string(begin) + "," +
            std::to_string(end) + "]}}",
        data));
  };
  EXPECT_EQ(error(8, 12, 12), "accepted");
  EXPECT_THAT(error(9, 12, 12), HasSubstr("b begins at byte 9, but the one before it ends at 8: a "
                                          "hole"));
  EXPECT_THAT(error(7, 12, 12), HasSubstr("they overlap"));
  EXPECT_THAT(error(0, 8, 8), HasSubstr("they overlap"));
  EXPECT_THAT(error(8, 12, 11), HasSubstr("b ends at byte 12 of the data, which has 11"));
  EXPECT_THAT(error(8, 12, 13), HasSubstr("the tensors end at byte 12, but the data has 13"));
}

// Every byte of a small file changed in every bit, and every prefix of it: refused, or read as
// something the format allows; never a crash.
TEST_F(Safetensors, SurvivesAnyDamage) {
  const std::string good = file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  int accepted = 0;
  for (std::size_t i = 0; i < good.size() * 8; ++i) {
    std::string bytes = good;
    bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << (i % 8)));
    accepted += open(bytes) ? 1 : 0;
  }
  EXPECT_LT(accepted, 9 * 8 + 2 * 8 + 8) << "data, the name, and digits that still agree";
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(open(good.substr(0, size))) << size;
}

Result<void> write_sample(Vfs& vfs, const fs::path& path) {
  const std::vector<SafetensorsEntry> entries = {{.name = "b", .dtype = "F32", .shape = {2}},
                                                 {.name = "z", .dtype = "I64", .shape = {1}},
                                                 {.name = "a\"", .dtype = "F32", .shape = {1}},
                                                 {.name = "h", .dtype = "BF16", .shape = {3}}};
  std::string data;
  return write_safetensors(
      vfs, path, entries, {{"format", "pt"}},
      [&](const SafetensorsEntry& entry) -> Result<std::span<const std::byte>> {
        data.assign(entry.num_bytes(), entry.name[0]);
        return std::as_bytes(std::span(data));
      });
}

TEST_F(Safetensors, WritesAsTheReferenceWriterDoes) {
  const fs::path path = dir_ / "w.safetensors";
  const Result<void> status = write_sample(posix_vfs(), path);
  ASSERT_TRUE(status) << status.error().message;
  std::ifstream stream(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  // Wider types first, then names; the header padded to a multiple of 8.
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"z":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("a\"":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},)"
      R"("h":{"dtype":"BF16","shape":[3],"data_offsets":[20,26]}})";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(bytes.substr(0, bytes.size() - 26), file_of(header + padding, 0));
  EXPECT_EQ(bytes.substr(bytes.size() - 26), "zzzzzzzzaaaabbbbbbbbhhhhhh");
  const Result<SafetensorsFile> file = SafetensorsFile::open(posix_vfs(), path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->entries()[1].name, "a\"");
}

TEST_F(Safetensors, ReportsEveryFaultOfTheDisk) {
  FaultVfs whole;
  ASSERT_TRUE(write_sample(whole, dir_ / "whole"));
  const auto operations = std::ssize(whole.operations());
  ASSERT_GT(operations, 6);
  for (std::int64_t at = 0; at < operations; ++at) {
    FaultVfs vfs;
    vfs.set_fault(FaultVfs::Fault::error, at);
    EXPECT_FALSE(write_sample(vfs, dir_ / std::to_string(at))) << "operation " << at;
  }
}

TEST(SafetensorsTypes, NamesGoBothWays) {
  for (const DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16, DType::fp8_e4m3,
                            DType::i64, DType::i32, DType::u16, DType::u8}) {
    EXPECT_EQ(dtype_from_safetensors(safetensors_dtype(dtype)), dtype);
  }
  EXPECT_EQ(dtype_from_safetensors("F8_E8M0"), std::nullopt);
  EXPECT_EQ(dtype_from_safetensors("X"), std::nullopt);
}

}  // namespace
}  // namespace tera::checkpoint
