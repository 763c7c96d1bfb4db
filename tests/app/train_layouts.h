// One model, any layout, through processes that mpirun starts: what a run of `teragpt train` leaves
// behind is what a run on one rank does, within the error of summation.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/spec/yaml.h"
#include "tests/app/run_program.h"
#include "tests/core/train/trainer_fixture.h"

namespace tera::train::test {

using tera::test::ProgramResult;
using tera::test::run_teragpt;

struct Layout {
  const char* name;
  int ranks;
  void (*change)(spec::ParallelLayout&);
};

class TrainLayouts : public TrainerTest {
 protected:
  static constexpr int kSteps = 20;

  // Plain gradient descent: an update is as far off as its gradient, which the other optimizers,
  // whose first steps have the size of the learning rate whatever the gradient, are not.
  spec::RunSpec layout_spec() const {
    spec::RunSpec spec = small_spec();
    spec.model.num_layers = 3;
    spec.training.num_steps = kSteps;
    spec.training.optimizer = spec::OptimizerKind::sgd;
    spec.training.sgd_momentum = 0;
    spec.training.learning_rate = 5e-2;
    spec.training.min_learning_rate = 5e-2;
    spec.training.checkpoint_interval = 0;
    spec.training.eval_interval = 10;
    return spec;
  }

  // What a run left.
  struct Trained {
    std::map<std::int64_t, run::MetricRecord> records;
    std::map<std::string, std::vector<char>> weights;  // f32
  };
  static Trained trained(const run::RunDirectory& dir) {
    return {records(dir), final_tensors(dir)};
  }
  static double largest_norm(const Trained& run) {
    double norm = 0;
    for (const auto& [step, record] : run.records)
      norm = std::max(norm, record.value("grad_norm", 0));
    return norm;
  }

  // Every layout adds up the same terms of a gradient, one for each of M micro-batches and reader
  // of the tensor, in another order: an element is off by at most (terms - 1) 2^-24 times the sum
  // of their sizes, whatever the layout (Higham 2002, section 4.2). The norms of these add up to at
  // most `terms` times the largest norm of a step here.
  static double gradient_tolerance(const spec::RunSpec& spec, const Trained& one) {
    const int readers = 1 + (spec.model.tie_embeddings ? 1 : 0) + spec.model.num_mtp_layers;
    const double terms =
        1.0 * readers * spec.training.global_batch_size / spec.layout.micro_batch_size;
    return (terms - 1) * std::ldexp(1, -24) * terms * largest_norm(one);
  }
  // In T steps of rate r weights move apart by r T of that, and as differences of weights change
  // gradients too, by a factor below e as long as r T times the curvature is below 1.
  static double weight_tolerance(const spec::RunSpec& spec, const Trained& one) {
    return std::exp(1.0) * kSteps * spec.training.learning_rate * gradient_tolerance(spec, one);
  }

  // How far `got` was from `one` at most, of what it may be.
  struct Distance {
    double loss = 0;
    double weights = 0;
  };
  // Of a run of `spec` on one rank, and of the same under another layout.
  static Distance expect_alike(const spec::RunSpec& spec, const Trained& one, const Trained& got) {
    // A loss differs by the distance of the weights times the norm of its gradient; a gradient, and
    // so its norm, by that distance times the curvature, below 1 / (r T), and by its own summation.
    const double of_weights = weight_tolerance(spec, one);
    const double of_loss = of_weights * largest_norm(one) + 1e-12;
    const double of_norm = (1 + std::exp(1.0)) * gradient_tolerance(spec, one);
    Distance far;
    EXPECT_EQ(got.records.size(), one.records.size());
    for (const auto& [step, record] : one.records) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      const auto found = got.records.find(step);
      if (found == got.records.end()) continue;
      const run::MetricRecord& other = found->second;
      EXPECT_EQ(other.expert_load, record.expert_load);
      EXPECT_EQ(other.data_chain, record.data_chain);
      const double off = std::abs(other.value("loss", 0) - record.value("loss", 99));
      far.loss = std::max(far.loss, off / of_loss);
      EXPECT_LE(off, of_loss);
      EXPECT_NEAR(other.value("eval_loss", 0), record.value("eval_loss", 0), of_loss);
      EXPECT_NEAR(other.value("grad_norm", -1), record.value("grad_norm", 0), of_norm);
    }
    far.weights = distance(one, got) / of_weights;
    EXPECT_LE(far.weights, 1);
    return far;
  }

  void SetUp() override {
    setenv("TERA_RUNS", (root_ / "runs").c_str(), 1);
    setenv("XDG_CACHE_HOME", (root_ / "cache").c_str(), 1);
  }
  spec::RunSpec one_thread_spec() const {
    spec::RunSpec spec = layout_spec();
    spec.launch.num_threads = 1;
    return spec;
  }
  // By the program, in a folder of its own.
  Trained train(const spec::RunSpec& spec) const {
    const fs::path runs = root_ / ("runs-" + std::to_string(spec.layout.world_size()));
    fs::remove_all(runs);
    std::ofstream(root_ / "spec.yaml") << spec::to_yaml(spec);
    const ProgramResult result = run_teragpt(
        {"train", (root_ / "spec.yaml").string(), "--runs-root", runs.string()}, {}, 300);
    if (result.exit_code != 0) throw std::runtime_error(result.err);
    const std::string id = fs::directory_iterator(runs)->path().filename();
    const auto logs = runs / id / "logs" / "a001";
    EXPECT_EQ(std::distance(fs::directory_iterator(logs), {}), spec.layout.world_size());
    return trained(run::RunDirectory::planned(posix_vfs(), runs, id));
  }
  void expect_each_trains_like_one_rank(const spec::RunSpec& spec,
                                        const std::vector<Layout>& layouts) const {
    const Trained one = train(spec);
    ASSERT_LT(one.records.at(kSteps).value("loss", 99), one.records.at(1).value("loss", 0) - 0.2);
    for (const Layout& layout : layouts) {
      SCOPED_TRACE(layout.name);
      spec::RunSpec other = spec;
      layout.change(other.layout);
      ASSERT_EQ(other.layout.world_size(), layout.ranks);
      const Distance far = expect_alike(spec, one, train(other));
      RecordProperty(layout.name, "of what it may be off, loss " +
                                      testing::PrintToString(far.loss) + ", weights " +
                                      testing::PrintToString(far.weights));
    }
  }

 private:
  static double distance(const Trained& one, const Trained& other) {
    double squares = 0;
    EXPECT_EQ(other.weights.size(), one.weights.size());
    for (const auto& [name, bytes] : one.weights) {
      const auto found = other.weights.find(name);
      if (found == other.weights.end() || found->second.size() != bytes.size()) {
        ADD_FAILURE() << name << " is missing, or has another size";
        continue;
      }
      for (std::size_t at = 0; at < bytes.size(); at += sizeof(float)) {
        float a = 0;
        float b = 0;
        std::memcpy(&a, bytes.data() + at, sizeof a);
        std::memcpy(&b, found->second.data() + at, sizeof b);
        squares += std::pow(static_cast<double>(a) - b, 2);
      }
    }
    return std::sqrt(squares);
  }
};

inline void split_heads(spec::ParallelLayout& layout) {
  layout.tensor_parallel_size = 2;
  layout.sequence_parallel = true;
}

}  // namespace tera::train::test
