#include "core/run/rank_errors.h"

#include <fstream>

#include "tests/core/run/temp_dir.h"

namespace tera::run {
namespace {

class RankErrors : public test::TempDirTest {
 protected:
  const RunDirectory run_ = RunDirectory::planned(posix_vfs(), dir_ / "runs", "one");

  void note(int rank, double time_s, Error error) const {
    const Result<void> noted =
        note_rank_error(run_, 2, {.rank = rank, .error = std::move(error), .time_s = time_s});
    ASSERT_TRUE(noted) << noted.error().message;
  }
};

TEST_F(RankErrors, TheFirstOneIsTheCause) {
  EXPECT_FALSE(first_rank_error(run_, 2));
  note(0, 12, {ErrorCode::failed, "lost rank 3", {}});
  note(3, 11, {ErrorCode::not_found, "no data", "copy it"});
  const auto first = first_rank_error(run_, 2);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->rank, 3);
  EXPECT_EQ(first->error.code, ErrorCode::not_found);
  EXPECT_EQ(first->error.message, "no data");
  EXPECT_EQ(first->error.hint, "copy it");
  EXPECT_FALSE(first_rank_error(run_, 1));
}

// Clocks of computers differ: who was told may seem to have known first.
TEST_F(RankErrors, WhoWasToldSaysLessThanWhoFoundOut) {
  note(0, 10, {ErrorCode::failed, "no data", {}});
  note(3, 11, {ErrorCode::not_found, "no data", "copy it"});
  EXPECT_EQ(first_rank_error(run_, 2)->rank, 3);
}

TEST_F(RankErrors, RanksWithoutANumberAndDamagedFilesAreNoTrouble) {
  note(-1, 10, {ErrorCode::failed, "another program", "install it"});
  std::ofstream(run_.launch_dir(2) / "error-00007.json") << "{\"rank\": 7, ";
  std::ofstream(run_.launch_dir(2) / "argv.json") << "[]";
  EXPECT_EQ(first_rank_error(run_, 2)->rank, -1);
}

}  // namespace
}  // namespace tera::run
