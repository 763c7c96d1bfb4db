#include "core/comm/lone_work.h"

#include <chrono>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>

#include "core/tensor/cpu_backend.h"
#include "tests/support/spawn_ranks.h"

namespace tera::comm {
namespace {

using test::RankErrors;

constexpr double kTimeoutS = 2;

RankErrors work_of(int num_ranks, const std::function<void()>& work, int missing = -1) {
  return test::spawn_ranks_catching(num_ranks, kTimeoutS, [&](Communicator& world) {
    if (world.rank() == missing) return;
    ThreadPool pool(1);
    const auto backend = make_cpu_backend(pool);
    do_on_rank_0(world, *backend, work);
  });
}

std::string what_of(const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::exception& thrown) {
    return thrown.what();
  }
  return "";
}

TEST(LoneWork, IsWaitedForAsLongAsItTakes) {
  for (const int ranks : {1, 2, 3}) {
    int times = 0;
    const auto slow = [&] {
      std::this_thread::sleep_for(std::chrono::duration<double>(1.25 * kTimeoutS));
      ++times;
    };
    for (const std::exception_ptr& error : work_of(ranks, slow))
      EXPECT_EQ(what_of(error), "") << ranks;
    EXPECT_EQ(times, 1) << ranks;
  }
}

TEST(LoneWork, OfARankThatIsMissingEndsAllOthers) {
  const RankErrors errors = work_of(
      3, [] {}, 1);
  for (const std::size_t rank : {0, 2})
    EXPECT_THAT(what_of(errors[rank]), testing::HasSubstr("broadcast on world")) << rank;
}

TEST(LoneWork, FailsOnRankZeroAlone) {
  const RankErrors errors = work_of(2, [] { throw std::runtime_error("no disk"); });
  EXPECT_EQ(what_of(errors[0]), "no disk");
  EXPECT_EQ(what_of(errors[1]), "");
}

}  // namespace
}  // namespace tera::comm
