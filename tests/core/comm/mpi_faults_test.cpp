// What the ranks of an MPI job say when something goes wrong, and that the job ends.
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/mpi_job.h"

namespace tera::comm {
namespace {

using test::JobEnd;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

const std::string kASecond = "1(\\.[0-9]+)? s";  // a busy machine notices its end a little later

JobEnd run_job(int ranks, const std::string& fault, const std::string& timeout_s) {
  return test::run_mpi_job("-n " + std::to_string(ranks) + " " + std::getenv("TERA_BINARY_DIR") +
                           "/tests/core/comm/mpi_faults " + fault + " " + timeout_s);
}

TEST(MpiFaults, TensorsThatDifferAreNamedOnEveryRank) {
  const JobEnd shape = run_job(2, "other_shape", "20");
  const std::string shapes =
      "world of ranks 0-1: rank 0 calls all_reduce (sum) of f32 [2], "
      "rank 1 calls all_reduce (sum) of f32 [3]\n";
  EXPECT_THAT(shape.output, HasSubstr("[0] " + shapes));
  EXPECT_THAT(shape.output, HasSubstr("[1] " + shapes));
  EXPECT_EQ(shape.exit_code, 3);
  const JobEnd rows = run_job(2, "other_rows", "20");
  EXPECT_THAT(rows.output,
              HasSubstr("all_to_all on world: rank 1 sends 1 rows to rank 0, which expects 2"));
  const JobEnd message = run_job(2, "other_message", "20");
  EXPECT_THAT(message.output, HasSubstr("[1] recv on world: rank 0 sent f32 [3], "
                                        "rank 1 expects f32 [2]\n"));
  EXPECT_THAT(message.output,
              HasSubstr("[0] barrier on world, rank 0: aborted: recv on world: rank 0 sent"));
}

TEST(MpiFaults, ATimeoutNamesTheAxisAndTheRanksThatAreMissing) {
  const JobEnd end = run_job(4, "missing", "1");
  EXPECT_THAT(end.output,
              ContainsRegex("\\[1\\] rank 3 does not answer: all_reduce on tensor, rank 1 "
                            "waited " +
                            kASecond + " for rank 3\n"));
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_LT(end.seconds, 20);
}

TEST(MpiFaults, WhoKeepsOthersWaitingIsFollowedToTheEnd) {
  const JobEnd chain = run_job(4, "chain", "1");
  EXPECT_THAT(chain.output,
              HasSubstr("rank 3 does not answer: all_reduce on data, rank 2 waited "));
  EXPECT_THAT(chain.output, Not(HasSubstr("rank 2 does not answer")));
  EXPECT_EQ(chain.exit_code, 3);
  const JobEnd ring = run_job(2, "ring", "1");
  EXPECT_THAT(ring.output, HasSubstr("ranks 0-1 wait for each other: recv on world, rank "));
  EXPECT_EQ(ring.exit_code, 3);
}

TEST(MpiFaults, AnAbortReachesEveryAxisWithinSeconds) {
  const JobEnd end = run_job(4, "aborts", "600");
  for (const char* who : {"rank 1", "rank 2", "rank 3"})
    EXPECT_THAT(end.output, HasSubstr(std::string(who) + ": aborted: rank 0 ran out of disk\n"));
  EXPECT_THAT(end.output, HasSubstr("[0] gives up"));
  EXPECT_LT(end.seconds, 20);
}

TEST(MpiFaults, ARankThatDiesEndsTheJob) {
  const JobEnd end = run_job(2, "dies", "600");
  EXPECT_EQ(end.exit_code, 137);
  EXPECT_LT(end.seconds, 20);
}

TEST(MpiFaults, ARankThatStopsIsNamed) {
  const JobEnd end = run_job(2, "stops", "1");
  EXPECT_THAT(end.output, ContainsRegex("\\[0\\] rank 1 does not answer: barrier on world, rank 0 "
                                        "waited " +
                                        kASecond + " for rank 1\n"));
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_LT(end.seconds, 20);
}

// MPI's own end would wait for it for ever.
TEST(MpiFaults, ARankThatStopsWhenAllIsDoneIsNamedToo) {
  const JobEnd end = run_job(4, "stops_at_the_end", "1");
  EXPECT_THAT(end.output, ContainsRegex("rank 1 does not answer: barrier on world, rank 0 waited " +
                                        kASecond + " for rank 1"));
  EXPECT_NE(end.exit_code, 0);
  EXPECT_LT(end.seconds, 20);
}

}  // namespace
}  // namespace tera::comm
