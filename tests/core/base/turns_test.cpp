#include "core/base/turns.h"

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tera {
namespace {

// What ran, in order: "a0 b0 a1 ...".
class TurnsTest : public testing::Test {
 protected:
  std::function<void()> body(std::string name, int steps) {
    return [this, name = std::move(name), steps] {
      for (int i = 0; i < steps; ++i) {
        if (i > 0) turns_.pass_on();
        order_ += (order_.empty() ? "" : " ") + name + std::to_string(i);
      }
    };
  }

  Turns turns_;
  std::string order_;
};

TEST_F(TurnsTest, AlternateAndTheLongerGoesOnAlone) {
  turns_.run(body("a", 2), body("b", 4));
  EXPECT_EQ(order_, "a0 b0 a1 b1 b2 b3");
}

TEST_F(TurnsTest, TheFirstGoesOnAloneToo) {
  turns_.run(body("a", 4), body("b", 1));
  EXPECT_EQ(order_, "a0 b0 a1 a2 a3");
}

TEST_F(TurnsTest, RunAgainOnTheSameThreads) {
  std::vector<std::thread::id> threads;
  for (int i = 0; i < 3; ++i) {
    turns_.run([&] { EXPECT_NE(std::this_thread::get_id(), std::thread::id()); },
               [&] { threads.push_back(std::this_thread::get_id()); });
  }
  ASSERT_EQ(threads.size(), 3U);
  EXPECT_EQ(threads[0], threads[2]);
  EXPECT_NE(threads[0], std::this_thread::get_id());
}

TEST_F(TurnsTest, AloneNobodyWaits) {
  turns_.pass_on();
  body("a", 3)();
  EXPECT_EQ(order_, "a0 a1 a2");
}

TEST_F(TurnsTest, AFailureEndsTheOtherBody) {
  bool unwound = false;
  const auto fails = [&] {
    turns_.pass_on();
    throw std::runtime_error("no rows");
  };
  const auto waits = [&] {
    struct Notice {
      bool& seen;
      ~Notice() { seen = true; }
    } notice{unwound};
    for (int i = 0; i < 10; ++i)
      turns_.pass_on();
    ADD_FAILURE() << "went on";
  };
  const auto message_of = [&](const auto& first, const auto& second) -> std::string {
    try {
      turns_.run(first, second);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message_of(fails, waits), "no rows");
  EXPECT_TRUE(unwound);
  unwound = false;
  EXPECT_EQ(message_of(waits, fails), "no rows");
  EXPECT_TRUE(unwound);
}

TEST_F(TurnsTest, ABodyThatHasNotBegunDoesNotBegin) {
  EXPECT_THROW(
      turns_.run([] { throw std::runtime_error("at once"); }, [] { ADD_FAILURE() << "began"; }),
      std::runtime_error);
  turns_.run(body("a", 1), body("b", 1));
  EXPECT_EQ(order_, "a0 b0") << "and the next run is whole";
}

}  // namespace
}  // namespace tera
