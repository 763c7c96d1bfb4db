// Stores past the caches write what ordinary ones do, wherever an output begins and ends.
#include "kernels/cpu/streaming.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/last_level_cache.h"
#include "tests/kernels/support/executors.h"
#include "tests/kernels/support/targets.h"
#include "tests/support/temp_dir.h"

namespace tera::kernels::test {
namespace {

// body(first element, number of elements): lines of 64 bytes begin at all places within the first,
// and end at all places within the last.
template <class Body>
void for_each_range(std::int64_t per_line, Body&& body) {
  for (std::int64_t first = 0; first < per_line; ++first) {
    for (std::int64_t n = 0; n < 3 * per_line; n += first % 3 + 1)
      body(first, n);
  }
}

constexpr std::int64_t kRoom = 256;  // elements, more than a range and its surroundings

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

TEST(Streaming, WritesWhatOrdinaryStoresDo) {
  std::vector<float> values(kRoom);
  std::mt19937 rng(5);
  std::normal_distribution<float> normal;
  for (float& value : values)
    value = normal(rng);
  values[7] = std::numeric_limits<float>::quiet_NaN();
  values[40] = std::numeric_limits<float>::infinity();
  std::vector<Bf16> halves(kRoom);
  cpu::round_row(values.data(), halves.data(), kRoom, false);
  for_each_target([&](const char* target) {
    SCOPED_TRACE(target);
    for_each_range(64, [&](std::int64_t first, std::int64_t n) {
      std::vector<std::byte> got(kRoom, std::byte{9});
      std::vector<std::byte> expected = got;
      std::fill_n(expected.begin() + first, n, std::byte{0});
      cpu::stream_zeros(got.data() + first, n);
      ASSERT_TRUE(same(got, expected)) << n << " zeros at " << first;
    });
    for_each_range(16, [&](std::int64_t first, std::int64_t n) {
      std::vector<float> got(kRoom, 9.0F);
      std::vector<float> expected = got;
      cpu::widen_row(halves.data() + 3, expected.data() + first, n);
      cpu::stream_widened(halves.data() + 3, got.data() + first, n);
      ASSERT_TRUE(same(got, expected)) << n << " f32 at " << first;
    });
    for_each_range(32, [&](std::int64_t first, std::int64_t n) {
      std::vector<Bf16> got(kRoom, Bf16(9.0F));
      std::vector<Bf16> expected = got;
      cpu::round_row(values.data() + 3, expected.data() + first, n, false);
      cpu::stream_rounded(values.data() + 3, got.data() + first, n);
      ASSERT_TRUE(same(got, expected)) << n << " bf16 at " << first;
    });
  });
}

// One worker's share of the cache is passed by little memory.
TEST(Streaming, OpsOnLargeOutputsWriteWhatTheyDoOnSmallOnes) {
  ThreadExecutor executor(1);
  const Context context{&executor};
  std::int64_t n = 1 << 20;
  while (!cpu::streams_past_caches(context, 2 * n) && n < std::int64_t{1} << 26)
    n *= 2;
  n += 13;
  const auto view = [](void* data, DType dtype, std::int64_t count) {
    return View{.data = data,
                .dtype = dtype,
                .rank = 1,
                .shape = {count, 1, 1, 1},
                .strides = {1, 0, 0, 0}};
  };
  std::vector<float> values(static_cast<std::size_t>(n + 1));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i % 8191) * 0.37F;
  std::vector<Bf16> halves(values.size(), Bf16(9.0F));
  const OpTable& ops = cpu_ops();
  ops.copy(context, view(values.data(), DType::f32, n), view(halves.data() + 1, DType::bf16, n));
  EXPECT_EQ(static_cast<float>(halves[0]), 9.0F);
  for (std::int64_t i = 0; i < n; ++i)
    ASSERT_EQ(static_cast<float>(halves[static_cast<std::size_t>(i + 1)]),
              static_cast<float>(Bf16(values[static_cast<std::size_t>(i)])))
        << i;
  ops.copy(context, view(halves.data() + 1, DType::bf16, n), view(values.data(), DType::f32, n));
  for (std::int64_t i = 0; i < n; ++i)
    ASSERT_EQ(values[static_cast<std::size_t>(i)],
              static_cast<float>(halves[static_cast<std::size_t>(i + 1)]))
        << i;
  values.back() = 9;
  ops.zero(context, view(values.data(), DType::f32, n));
  EXPECT_TRUE(std::all_of(values.begin(), values.end() - 1, [](float v) { return v == 0; }));
  EXPECT_EQ(values.back(), 9);
}

// A folder of caches as Linux lists them.
class CacheFolder : public testing::Test {
 protected:
  void add(int index, const char* level, const char* type, const char* size, const char* list) {
    const std::filesystem::path cache = folder_ / ("index" + std::to_string(index));
    std::filesystem::create_directories(cache);
    std::ofstream(cache / "level") << level << '\n';
    std::ofstream(cache / "type") << type << '\n';
    std::ofstream(cache / "size") << size << '\n';
    std::ofstream(cache / "shared_cpu_list") << list << '\n';
  }
  std::int64_t share() const { return cpu::last_level_cache_share(folder_.path()); }

  const tera::test::TempDir folder_;
};

TEST_F(CacheFolder, TheLastLevelIsSharedOut) {
  EXPECT_EQ(share(), 0);  // none listed
  add(0, "1", "Data", "32K", "0,64");
  add(1, "1", "Instruction", "64K", "0,64");
  EXPECT_EQ(share(), 16 << 10);
  add(2, "2", "Unified", "1024K", "0,64");
  add(3, "3", "Unified", "32768K", "0-7,64-71");
  EXPECT_EQ(share(), 2 << 20);
  add(3, "3", "Unified", "many", "0-7");
  EXPECT_EQ(share(), 0);
  add(3, "3", "Unified", "32768K", "");
  EXPECT_EQ(share(), 0);
}

}  // namespace
}  // namespace tera::kernels::test
