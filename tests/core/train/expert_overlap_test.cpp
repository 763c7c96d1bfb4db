// Of two micro-batches in turns one is computed while rows of the other travel to their experts.
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/core/train/pipeline_fixture.h"
#include "tests/support/watched_ranks.h"

namespace tera::train {
namespace {

// Of one rank: the rows of the second micro-batch wait until the rank says its `meets`th thing to
// its tensor ranks, which every layer does that is computed, and that waits until those rows are on
// their way. Whoever comes second, both are seen at once, or never.
class Meeting {
 public:
  static constexpr std::size_t kRowsOfSecond = 3;  // forward sends rows, gates, and results back

  Meeting(int meets, std::chrono::seconds patience) : meets_(meets), patience_(patience) {}

  void before(const comm::Group& group, const comm::Operation& operation) {
    std::unique_lock lock(mutex_);
    if (group.axis == "tensor") {
      ++said_;
      changed_.notify_all();
      if (said_ == meets_) changed_.wait_for(lock, patience_, [&] { return rows_travel(); });
    } else if (group.axis == "expert" && operation.kind == comm::OperationKind::all_to_all) {
      said_before_.push_back(said_);
      changed_.notify_all();
      if (said_before_.size() == kRowsOfSecond + 1) {
        met_ = changed_.wait_for(lock, patience_, [&] { return said_ >= meets_; });
      }
    }
  }
  bool met() const { return met_; }
  // What the rank had said to its tensor ranks before its `exchange`th all-to-all.
  int said_before(std::size_t exchange) const { return said_before_.at(exchange); }

 private:
  bool rows_travel() const { return said_before_.size() > kRowsOfSecond; }

  const int meets_;
  const std::chrono::seconds patience_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> said_before_;
  int said_ = 0;
  bool met_ = false;
};

// The middle one of three layers has experts; the last has none, so that backward begins with what
// needs no rows.
spec::RunSpec two_micro_batches() {
  spec::RunSpec spec = test::pipeline_spec();
  test::add_experts(spec);
  spec.model.num_layers = 3;
  spec.model.num_dense_layers = 0;
  spec.model.moe_layer_interval = 2;
  spec.model.num_shared_experts = 0;
  spec.model.num_key_value_heads = 2;
  spec.training.seq_length = 8;
  spec.training.global_batch_size = 2;
  spec.layout.tensor_parallel_size = spec.layout.expert_parallel_size = 2;
  spec.layout.sequence_parallel = true;
  return spec;
}

void train(const spec::RunSpec& spec, Meeting& first, Meeting& second) {
  std::vector<tera::test::Watch> watches;
  for (Meeting* meeting : {&first, &second}) {
    watches.push_back(
        {.before = [meeting](const auto&... operation) { meeting->before(operation...); },
         .after = {}});
  }
  const tera::test::Worlds worlds = tera::test::watched_worlds(watches);
  tera::test::spawn_ranks(worlds, [&spec](comm::Communicator& world) {
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    SyntheticTrainer(spec, *backend, &world).step();
  });
}

// In turns, a rank says last, before backward of the first micro-batch needs rows: what it says
// before that one after the other, and what forward of the second says up to its rows.
int last_of_first() {
  const spec::RunSpec spec = two_micro_batches();
  Meeting first(0, {});
  Meeting second(0, {});
  train(spec, first, second);
  return first.said_before(Meeting::kRowsOfSecond) + first.said_before(0);
}

// Whether the two ranks compute the first micro-batch while rows of the second travel.
std::pair<bool, bool> meet(const spec::RunSpec& spec, std::chrono::seconds patience) {
  const int meets = last_of_first();
  Meeting first(meets, patience);
  Meeting second(meets, patience);
  train(spec, first, second);
  return {first.met(), second.met()};
}

TEST(ExpertOverlap, AnotherMicroBatchIsComputedWhileRowsTravel) {
  spec::RunSpec spec = two_micro_batches();
  ASSERT_TRUE(spec.model.is_moe_layer(1) && !spec.model.is_moe_layer(2));
  spec.software.expert_overlap = true;
  EXPECT_EQ(meet(spec, std::chrono::seconds(30)), std::pair(true, true));
}

TEST(ExpertOverlap, NobodyGoesOnUnlessAskedTo) {
  EXPECT_EQ(meet(two_micro_batches(), std::chrono::seconds(1)), std::pair(false, false));
}

}  // namespace
}  // namespace tera::train
