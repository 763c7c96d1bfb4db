// Of two micro-batches in turns one is computed while rows of the other travel to their experts.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include <gtest/gtest.h>

#include "tests/core/train/pipeline_fixture.h"
#include "tests/support/watched_ranks.h"

namespace tera::train {
namespace {

// Holds the rows of the second micro-batch of a rank up until the rank says something to its tensor
// ranks, which every layer does that is computed.
class Holder {
 public:
  explicit Holder(std::chrono::seconds patience) : patience_(patience) {}

  void before(const comm::Group& group, const comm::Operation& operation) {
    std::unique_lock lock(mutex_);
    if (group.axis == "tensor") {
      ++of_tensor_ranks_;
      changed_.notify_all();
    } else if (group.axis == "expert" && operation.kind == comm::OperationKind::all_to_all &&
               exchanges_++ == kRowsOfSecond) {
      went_on_ = changed_.wait_for(
          lock, patience_, [&, before = of_tensor_ranks_] { return of_tensor_ranks_ > before; });
    }
  }
  // While rows were held up.
  bool went_on() const {
    EXPECT_GT(exchanges_, kRowsOfSecond);
    return went_on_;
  }

 private:
  static constexpr int kRowsOfSecond = 3;  // forward sends rows and gates, and takes results back
  const std::chrono::seconds patience_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int exchanges_ = 0;
  int of_tensor_ranks_ = 0;
  bool went_on_ = false;
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

// Whether the two ranks go on while rows are held up.
std::pair<bool, bool> go_on(const spec::RunSpec& spec, std::chrono::seconds patience) {
  Holder first(patience);
  Holder second(patience);
  std::vector<tera::test::Watch> watches;
  for (Holder* holder : {&first, &second}) {
    watches.push_back(
        {.before = [holder](const auto&... operation) { holder->before(operation...); },
         .after = {}});
  }
  const tera::test::Worlds worlds = tera::test::watched_worlds(watches);
  tera::test::spawn_ranks(worlds, [&spec](comm::Communicator& world) {
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    SyntheticTrainer(spec, *backend, &world).step();
  });
  return {first.went_on(), second.went_on()};
}

TEST(ExpertOverlap, AnotherMicroBatchIsComputedWhileRowsTravel) {
  spec::RunSpec spec = two_micro_batches();
  ASSERT_TRUE(spec.model.is_moe_layer(1) && !spec.model.is_moe_layer(2));
  spec.software.expert_overlap = true;
  EXPECT_EQ(go_on(spec, std::chrono::seconds(60)), std::pair(true, true));
}

TEST(ExpertOverlap, NobodyGoesOnUnlessAskedTo) {
  EXPECT_EQ(go_on(two_micro_batches(), std::chrono::seconds(1)), std::pair(false, false));
}

}  // namespace
}  // namespace tera::train
