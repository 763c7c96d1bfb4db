#include "gui/job.h"

#include <future>

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(LatestJob, DeliversOnTheThreadThatOwnsIt) {
  std::thread::id worked, delivered;
  int got = 0;
  LatestJob<int> job([&](int& value) {
    got = value;
    delivered = std::this_thread::get_id();
  });
  job.start([&] {
    worked = std::this_thread::get_id();
    return 7;
  });
  EXPECT_TRUE(job.busy());
  ASSERT_TRUE(test::waitFor([&] { return !job.busy(); }));
  EXPECT_EQ(got, 7);
  EXPECT_EQ(delivered, std::this_thread::get_id());
  EXPECT_NE(worked, delivered);
}

TEST(LatestJob, NewestWinsAndStaleResultsDrop) {
  std::vector<int> got;
  LatestJob<int> job([&](int& value) { got.push_back(value); });
  std::promise<void> started, gate;
  job.start([&] {
    started.set_value();
    gate.get_future().wait();
    return 1;
  });
  started.get_future().wait();  // the first runs
  bool secondRan = false;
  job.start([&] {
    secondRan = true;
    return 2;
  });
  job.start([] { return 3; });
  gate.set_value();
  ASSERT_TRUE(test::waitFor([&] { return !job.busy(); }));
  EXPECT_EQ(got, std::vector<int>{3});
  EXPECT_FALSE(secondRan) << "a job that waits is replaced";
}

TEST(LatestJob, AnExceptionArrivesAsWords) {
  QString problem;
  int delivered = 0;
  LatestJob<int> job([&](int&) { ++delivered; }, [&](const QString& words) { problem = words; });
  job.start([]() -> int { throw std::runtime_error("no memory left"); });
  ASSERT_TRUE(test::waitFor([&] { return !job.busy(); }));
  EXPECT_EQ(problem, "no memory left");
  EXPECT_EQ(delivered, 0);
  job.start([] { return 1; });  // and it works again
  ASSERT_TRUE(test::waitFor([&] { return delivered == 1; }));
}

TEST(LatestJob, NothingIsDeliveredAfterItsEnd) {
  int delivered = 0;
  bool ran = false;
  {
    LatestJob<int> job([&](int&) { ++delivered; });
    std::promise<void> started;
    job.start([&] {
      started.set_value();
      ran = true;
      return 1;
    });
    started.get_future().wait();
  }  // waits for the job that runs
  EXPECT_TRUE(ran);
  QCoreApplication::processEvents();
  EXPECT_EQ(delivered, 0);
}

TEST(JobThread, DrainWaitsForWhatRunsAndWaits) {
  JobThread thread;
  std::atomic<int> done = 0;
  thread.post([&] { ++done; });
  thread.drain();
  EXPECT_EQ(done, 1);
  thread.drain();  // nothing to wait for
}

}  // namespace
}  // namespace tera::gui
