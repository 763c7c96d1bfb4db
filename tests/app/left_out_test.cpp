// The errors that plans quote (resources/validation/left_out.csv) are those of this build. After a
// change of the models, TERA_RENEW_GUIDE=1 writes the new ones.
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "core/base/vfs.h"
#include "core/plan/left_out_error.h"
#include "tests/app/run_program.h"
#include "tests/support/temp_dir.h"

namespace tera {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  return read_text(posix_vfs(), path, 1 << 20).value_or("");
}

TEST(LeftOutErrors, AreThoseOfThisBuild) {
  const fs::path data = fs::path(std::getenv("TERA_SOURCE_DIR")) / "resources/validation";
  const test::TempDir scratch;
  const fs::path made = scratch.path() / "left_out.csv";
  const std::string table = (data / "published.csv").string();
  constexpr double kTimeoutS = 900;
  const test::ProgramResult validate = test::run_teragpt(
      {"validate", table, "--calibrate", table, "--left-out", made.string()}, {}, kTimeoutS);
  ASSERT_EQ(validate.exit_code, 0) << validate.err;
  if (std::getenv("TERA_RENEW_GUIDE") != nullptr) {
    fs::copy_file(made, data / "left_out.csv", fs::copy_options::overwrite_existing);
    return;
  }
  for (const bool has_experts : {false, true}) {
    const auto kept = plan::read_left_out_error(text_of(data / "left_out.csv"), has_experts);
    const auto now = plan::read_left_out_error(text_of(made), has_experts);
    ASSERT_TRUE(kept && now);
    EXPECT_EQ(kept->num_rows, now->num_rows);
    // What a plan prints has one digit behind the point, in percent; a fit may end a little aside.
    EXPECT_NEAR(kept->mean, now->mean, 0.002) << "renew it with TERA_RENEW_GUIDE=1";
    EXPECT_NEAR(kept->median, now->median, 0.002) << "renew it with TERA_RENEW_GUIDE=1";
  }
}

}  // namespace
}  // namespace tera
