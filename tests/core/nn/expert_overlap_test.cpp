// Shared experts are computed while rows travel to the ranks of theirs, and their gradients while
// those of rows do.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include <gtest/gtest.h>

#include "core/comm/mesh_groups.h"
#include "core/plan/rank_mesh.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/spawn_ranks.h"

namespace tera::nn::test {
namespace {

// What a rank has said to the others that compute a shared expert with it.
struct TensorCalls {
  std::mutex mutex;
  std::condition_variable changed;
  int made = 0;
  int made_before_rows = 0;
  int exchanges = 0;
  bool waited_in_vain = false;

  void rows_come_next() { made_before_rows = made; }  // with the mutex held
};

// Between the beginning of a layer's backward and the rows of its experts nothing is said.
class TellBackward final : public PartWatcher {
 public:
  explicit TellBackward(TensorCalls& calls) : calls_(calls) {}
  void before_forward(int) override {}
  void after_forward(int) override {}
  void before_backward(int) override {
    const std::scoped_lock lock(calls_.mutex);
    calls_.rows_come_next();
  }
  void after_backward(int) override {}

 private:
  TensorCalls& calls_;
};

// Holds up rows to experts until the rank has said something more along the tensor axis, which
// shared experts do.
class HoldingTransport final : public comm::Transport {
 public:
  HoldingTransport(std::unique_ptr<comm::Transport> inner, TensorCalls& calls)
      : Transport(inner->group()), inner_(std::move(inner)), calls_(calls) {}

  void run(const comm::Operation& operation) override {
    using comm::OperationKind;
    const bool of_experts = group().axis == "expert";
    if (of_experts && operation.kind == OperationKind::all_to_all) {
      std::unique_lock lock(calls_.mutex);
      ++calls_.exchanges;
      const auto goes_on = [&] {
        return calls_.waited_in_vain || calls_.made > calls_.made_before_rows;
      };
      if (!calls_.changed.wait_for(lock, std::chrono::seconds(20), goes_on))
        calls_.waited_in_vain = true;
    }
    inner_->run(operation);
    const std::scoped_lock lock(calls_.mutex);
    if (of_experts && operation.kind == OperationKind::all_gather)  // of counts, before the rows
      calls_.rows_come_next();
    if (group().axis == "tensor") {
      ++calls_.made;
      calls_.changed.notify_all();
    }
  }
  std::unique_ptr<comm::Transport> split(comm::SplitRequest request, std::string axis) override {
    return std::make_unique<HoldingTransport>(inner_->split(request, std::move(axis)), calls_);
  }
  void abort(std::string_view reason) noexcept override { inner_->abort(reason); }

 private:
  std::unique_ptr<comm::Transport> inner_;
  TensorCalls& calls_;
};

TEST(ExpertParallel, SharedExpertsAreComputedWhileRowsTravel) {
  spec::RunSpec spec;
  spec.model = moe_config();
  spec.model.num_experts = 8;
  spec.model.num_shared_experts = 1;
  spec.layout.tensor_parallel_size = spec.layout.expert_parallel_size = 2;
  spec.layout.sequence_parallel = true;
  const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
  std::vector<TensorCalls> calls(2);
  tera::test::Worlds worlds;
  std::size_t number = 0;
  for (auto& transport : comm::make_thread_transports(2, 60)) {
    worlds.push_back(std::make_unique<comm::Communicator>(
        std::make_unique<HoldingTransport>(std::move(transport), calls[number++])));
  }
  tera::test::spawn_ranks(worlds, [&](comm::Communicator& world) {
    ThreadPool pool(1);
    const auto backend = make_cpu_backend(pool);
    comm::MeshGroups groups(mesh, world);
    ParamStore params(
        *backend, plan::local_table(spec, mesh, world.rank()),
        {.compute = DType::f64, .parallel = {.groups = &groups, .sequence_parallel = true}});
    init_params(params, spec.model, 7);
    Model model(spec.model, params);
    const Batch batch = random_batch(*backend, 2, 8, spec.model.vocab_size, 11);
    Stash stash(*backend);
    TensorCalls& of_rank = calls[static_cast<std::size_t>(world.rank())];
    TellBackward watcher(of_rank);
    Pass pass{.batch = batch,
              .stash = stash,
              .loss_scale = 1.0 / 13,
              .batch_share = 1,
              .watcher = &watcher};
    model.forward(pass, true);
    const int of_forward = std::exchange(of_rank.exchanges, 0);
    EXPECT_GE(of_forward, 3 * spec.model.num_layers) << "rows, gates and results";
    EXPECT_FALSE(std::exchange(of_rank.waited_in_vain, false)) << "forward";
    model.backward(pass);
    EXPECT_GE(of_rank.exchanges, 3 * spec.model.num_layers) << "and of their gradients";
    EXPECT_FALSE(of_rank.waited_in_vain) << "backward";
  });
}

}  // namespace
}  // namespace tera::nn::test
