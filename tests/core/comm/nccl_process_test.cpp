// How a rank that NCCL connects waits, of itself: what it makes of a store that is slow or gone.
#include "core/comm/nccl_process.h"

#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/comm/peer_aborted.h"
#include "tests/core/comm/fake_nccl.h"

namespace tera::comm {
namespace {

using test::FakeNccl;
using testing::ContainsRegex;

// What a wait for rank 1 in a barrier throws.
std::string message_of(NcclProcess& process, const NcclProcess::Done& done) {
  const Group world{.axis = "world", .ranks = {0, 1}, .rank = 0};
  try {
    process.wait({&world, OperationKind::barrier}, {1}, done);
  } catch (const PeerAborted& error) {
    return std::string("PeerAborted: ") + error.what();
  } catch (const CommunicationError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// Of a busy machine: the word of rank 1 comes while this rank is asleep.
class SlowStore final : public Store {
 public:
  bool set(std::string_view name, std::string_view value) override {
    return values_.set(name, value);
  }
  std::optional<std::string> get(std::string_view name) override {
    std::optional<std::string> value = values_.get(name);
    if (!value && name == "abort") {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      values_.set(name, "rank 1 ran out of disk");
    }
    return value;
  }
  std::string text() const override { return "a slow store"; }

 private:
  MemoryStore values_;
};

TEST(NcclProcess, HearsWhyAPeerIsGoneOnABusyMachine) {
  FakeNccl fake;
  NcclProcess process(fake.device(0), std::make_unique<SlowStore>(), 0, 60);
  EXPECT_EQ(message_of(process,
                       []() -> bool { throw CommunicationError("NCCL: remote process exited"); }),
            "PeerAborted: barrier on world, rank 0: aborted: rank 1 ran out of disk");
}

class LostStore final : public Store {
 public:
  bool set(std::string_view name, std::string_view /*value*/) override {
    throw CommunicationError(std::string("set ") + std::string(name) + ": rank 0 is gone");
  }
  std::optional<std::string> get(std::string_view /*name*/) override { return std::nullopt; }
  std::string text() const override { return "a store that is gone"; }
};

TEST(NcclProcess, AbortsAtATimeoutWhenItCannotAskWhoIsMissing) {
  FakeNccl fake;
  NcclProcess process(fake.device(0), std::make_unique<LostStore>(), 0, 0.05);
  EXPECT_THAT(message_of(process, [] { return false; }),
              ContainsRegex("^rank 1 does not answer: barrier on world, rank 0 waited [0-9.]+ s for "
                            "rank 1; set stuck: rank 0 is gone$"));
  EXPECT_TRUE(process.aborted());
}

}  // namespace
}  // namespace tera::comm
