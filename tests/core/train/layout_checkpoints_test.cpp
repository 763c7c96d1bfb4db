// What one layout saves any other goes on with: tensors are whole in a checkpoint, whoever held
// which part.
#include "core/base/fault_vfs.h"
#include "core/base/thread_pool.h"
#include "core/comm/mesh_groups.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/grad_sync.h"
#include "core/train/train_state.h"
#include "tests/core/train/layout_fixture.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train {
namespace {

namespace fs = std::filesystem;
using test::LayoutCase;
using enum spec::ScheduleKind;

// What a rank trains with.
struct Rank {
  Rank(const spec::RunSpec& spec, const plan::RankMesh& mesh, comm::Communicator& world)
      : groups(mesh, world),
        params(make_param_store(*backend, spec, groups)),
        optimizer(params, spec),
        parts(groups, params, optimizer) {}

  ThreadPool pool{1};
  std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  comm::MeshGroups groups;
  nn::ParamStore params;
  Optimizer optimizer;
  TensorParts parts;
};

class LayoutCheckpoints : public test::LayoutTest {
 protected:
  // Reads the newest checkpoint of `from` as the ranks of the spec and writes it to `to`.
  static void read_and_write(const spec::RunSpec& spec, const fs::path& from, const fs::path& to) {
    const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
    tera::test::spawn_ranks(mesh.world_size(), [&](comm::Communicator& world) {
      Rank rank(spec, mesh, world);
      std::vector<std::string> skipped;
      const auto reader = checkpoint::open_latest_valid(posix_vfs(), from, skipped);
      ASSERT_TRUE(reader.has_value());
      const Result<TrainState> state = load_state(*reader, spec, rank.parts);
      ASSERT_TRUE(state.has_value()) << state.error().message;
      const auto saved = save_state(posix_vfs(), to, spec, *state, rank.parts);
      ASSERT_TRUE(saved.has_value()) << saved.error().message;
    });
  }
};

// Weights, masters, moments and means of a model with every kind of tensor.
TEST_F(LayoutCheckpoints, EveryLayoutReadsAndWritesTheSameTensors) {
  for (const auto precision : {spec::Precision::fp32, spec::Precision::bf16}) {
    spec::RunSpec spec = small_spec();
    spec.model.num_layers = 3;
    spec.model.num_dense_layers = 1;
    spec.model.ffn_hidden_size = 48;
    spec.model.num_shared_experts = 1;
    spec.model.num_mtp_layers = 1;
    spec.model.tie_embeddings = precision == spec::Precision::bf16;
    spec.training.precision = precision;
    spec.training.ema_decay = 0.9;
    spec.training.num_steps = 3;
    const run::RunDirectory whole = create(spec);
    run(whole);
    const auto expected = final_tensors(whole);
    fs::path from = whole.checkpoints_dir();
    for (const LayoutCase& layout : test::layout_cases()) {
      SCOPED_TRACE(testing::Message() << enum_name(precision) << ", " << layout.name());
      spec::RunSpec other = spec;
      layout.apply_to(other);
      const fs::path to = root_ / enum_name(precision) / layout.name();
      read_and_write(other, from, to);
      std::vector<std::string> skipped;
      EXPECT_EQ(tensors_of(checkpoint::open_latest_valid(posix_vfs(), to, skipped)), expected);
      from = to;  // the next layout reads what this one wrote
    }
  }
}

// Of experts that take most of a model each of four ranks reads a quarter, and only the first,
// which chooses the checkpoint, reads it whole to see that nothing of it is damaged.
TEST_F(LayoutCheckpoints, RanksReadWhatTheyHold) {
  spec::RunSpec spec = small_spec();
  spec.model.num_layers = 1;
  spec.model.hidden_size = 256;
  spec.model.num_experts = 64;
  spec.model.moe_ffn_hidden_size = 256;
  spec.training.optimizer = spec::OptimizerKind::sgd;
  spec.training.sgd_momentum = 0;
  spec.training.num_steps = 1;
  spec.training.warmup_steps = 0;
  spec.training.eval_interval = 0;
  const run::RunDirectory dir = create(spec);
  run(dir);
  // Bytes that each rank reads: to choose, and to fill its parts.
  const auto read_over = [&](const LayoutCase& layout) {
    spec::RunSpec other = spec;
    layout.apply_to(other);
    const plan::RankMesh mesh = *plan::RankMesh::make(other.layout);
    std::vector<std::pair<double, double>> bytes(static_cast<std::size_t>(mesh.world_size()));
    tera::test::spawn_ranks(mesh.world_size(), [&](comm::Communicator& world) {
      Rank rank(other, mesh, world);
      FaultVfs vfs;
      const auto bytes_read = [&vfs] {
        double sum = 0;
        for (const FaultVfs::Operation& operation : vfs.operations()) {
          if (operation.kind == FaultVfs::Kind::read)
            sum += static_cast<double>(operation.num_bytes);
        }
        return sum;
      };
      const auto reader = open_chosen(vfs, rank.parts, [&](std::vector<std::string>& skipped) {
        return checkpoint::open_latest_valid(vfs, dir.checkpoints_dir(), skipped);
      });
      ASSERT_TRUE(reader.has_value());
      const double choice = bytes_read();
      ASSERT_TRUE(load_state(*reader, other, rank.parts).has_value());
      bytes[static_cast<std::size_t>(world.rank())] = {choice, bytes_read() - choice};
    });
    return bytes;
  };
  const auto [chosen, whole] = read_over({}).front();
  const auto split = read_over({.dp = 4, .ep = 4});
  for (std::size_t rank = 0; rank < split.size(); ++rank) {
    const auto [choice, parts] = split[rank];
    if (rank == 0) {
      EXPECT_EQ(choice, chosen);
    } else {
      EXPECT_LT(choice, 0.01 * chosen);
    }
    EXPECT_LT(parts, 0.5 * whole) << "rank " << rank;
  }
  const auto [first_choice, first] = read_over({.dp = 2, .zero = 3}).front();
  EXPECT_LT(first, 0.75 * whole);
}

TEST_F(LayoutCheckpoints, AnotherLayoutGoesOnLikeTheFirst) {
  const std::vector<std::pair<LayoutCase, LayoutCase>> pairs = {
      {{.tp = 2}, {.dp = 2, .ep = 2}},
      {{.dp = 2, .etp = 2}, {.pp = 2, .schedule = zb_v}},
      {{.tp = 2, .ep = 2}, {.dp = 2, .pp = 2, .zero = 1, .schedule = interleaved}},
      {{}, {.tp = 2, .dp = 2, .ep = 4, .pp = 2, .zero = 1, .schedule = zb_v}},
      {{.dp = 2, .zero = 3}, {.tp = 2, .dp = 2, .ep = 2, .etp = 2}},
      {{.dp = 4, .ep = 2, .zero = 2}, {.pp = 3}},
      {{.tp = 2, .dp = 2, .zero = 3}, {.dp = 2, .ep = 2, .pp = 2, .schedule = zb_h1}}};
  spec::RunSpec spec = descent_spec();
  spec.model.num_mtp_layers = 1;
  spec.training.num_steps = 8;
  spec.training.eval_interval = 4;
  spec.training.sgd_momentum = 0.5;
  const auto without_momentum = [](Trained run) {
    std::erase_if(run.tensors, [](const auto& at) { return at.first.starts_with("momentum"); });
    return run;
  };
  for (const auto& [one, two] : pairs) {
    for (const auto& [from, to] : {std::pair(one, two), std::pair(two, one)}) {
      SCOPED_TRACE(from.name() + " to " + to.name());
      spec::RunSpec first = spec;
      from.apply_to(first);
      spec::RunSpec second = spec;
      to.apply_to(second);
      const Trained whole = train(first);
      const run::RunDirectory moved = create(first);
      EXPECT_EQ(run(moved, {.stop_at_step = 3}), TrainEnd::stopped);
      rewrite(moved, second);
      EXPECT_EQ(run(moved, {.resume = true}), TrainEnd::completed);
      const Trained got = trained(moved);
      expect_alike(spec, without_momentum(whole), without_momentum(got));
      EXPECT_TRUE(got.records.at(8).has("eval_loss"));
      EXPECT_TRUE(got.records.at(8).has("eval_loss_ema"));
    }
  }
}

}  // namespace
}  // namespace tera::train
