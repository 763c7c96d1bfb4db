// One model, any layout: trains it on one rank and over layouts, and compares.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "tests/core/train/layout_cases.h"
#include "tests/core/train/trainer_fixture.h"

namespace tera::train::test {

struct ModelCase {
  const char* name;
  void (*change)(spec::ModelConfig&);
  friend std::ostream& operator<<(std::ostream& out, const ModelCase& model) {
    return out << model.name;
  }
};

inline std::vector<float> floats_of(const std::vector<char>& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Euclidean distance of two sets of f32 tensors of the same names and sizes.
inline double tensors_apart(const std::map<std::string, std::vector<char>>& got,
                            const std::map<std::string, std::vector<char>>& expected) {
  double squares = 0;
  EXPECT_EQ(got.size(), expected.size());
  for (const auto& [name, bytes] : expected) {
    const auto found = got.find(name);
    if (found == got.end() || found->second.size() != bytes.size()) {
      ADD_FAILURE() << name << " is missing or of another size";
      return std::nan("");
    }
    const std::vector<float> a = floats_of(found->second);
    const std::vector<float> b = floats_of(bytes);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double off = double{a[i]} - double{b[i]};
      squares += off * off;
    }
  }
  return std::sqrt(squares);
}

class LayoutTest : public TrainerTest {
 protected:
  static constexpr int kSteps = 20;

  // Plain gradient descent: an update is as far off as its gradient, which the other optimizers,
  // whose first steps have the size of the learning rate whatever the gradient, are not. Of two
  // sequences in a micro-batch, eight in a batch: each may have one, two or four replicas.
  spec::RunSpec descent_spec() const {
    spec::RunSpec spec = small_spec();
    spec.model.num_layers = 3;
    spec.training.num_steps = kSteps;
    spec.training.optimizer = spec::OptimizerKind::sgd;
    spec.training.sgd_momentum = 0;
    spec.training.learning_rate = 5e-2;
    spec.training.min_learning_rate = 5e-2;
    spec.training.checkpoint_interval = 0;
    spec.training.eval_interval = 10;
    spec.training.ema_decay = 0.9;
    return spec;
  }

  // What a run left.
  struct Trained {
    Records records;
    std::map<std::string, std::vector<char>> tensors;  // f32, of its last checkpoint
  };
  static Trained trained(const run::RunDirectory& dir) {
    return {records(dir), final_tensors(dir)};
  }
  // A whole run; ranks are threads.
  virtual Trained train(const spec::RunSpec& spec) const {
    const run::RunDirectory dir = create(spec);
    run(dir);
    return trained(dir);
  }

  static double largest_norm(const Records& records) {
    double norm = 0;
    for (const auto& [step, record] : records)
      norm = std::max(norm, value_of(record, "grad_norm"));
    return norm;
  }

  // How far what a run leaves may be from what it leaves under another layout.
  struct Tolerances {
    double tensors = 0;
    double losses = 0;
    double grad_norms = 0;
  };
  // Every layout adds up the same terms of a gradient, one for each of M micro-batches and reader
  // of the tensor, in another order: an element is off by at most (terms - 1) 2^-24 times the sum
  // of their sizes, whatever the layout (Higham 2002, section 4.2). The norms of these add up to at
  // most `terms` times the largest norm of a step here. In T steps of rate r weights move apart by
  // r T of that, and as differences of weights change gradients too, by a factor below e as long as
  // r T times the curvature is below 1; momentum keeps a difference of gradients for
  // 1 / (1 - momentum) steps. A loss differs by the distance of the weights times the norm of its
  // gradient; a gradient, and so its norm, by that distance times the curvature and by its own sum.
  static Tolerances tolerances(const spec::RunSpec& spec, const Records& records) {
    const int readers = 1 + (spec.model.tie_embeddings ? 1 : 0) + spec.model.num_mtp_layers;
    const double terms =
        1.0 * readers * spec.training.global_batch_size / spec.layout.micro_batch_size;
    const double gradient = (terms - 1) * std::ldexp(1, -24) * terms * largest_norm(records);
    const double way = static_cast<double>(spec.training.num_steps) * spec.training.learning_rate;
    const double weights = std::exp(1.0) * way * gradient / (1 - spec.training.sgd_momentum);
    return {.tensors = weights,
            .losses = weights * largest_norm(records) + 1e-12,
            .grad_norms = gradient + weights / way};
  }

  // The losses of a record, present in both or in neither; returns how far apart they are at most.
  static double expect_near_losses(const run::MetricRecord& got,
                                   const run::MetricRecord& expected,
                                   double tolerance) {
    double farthest = 0;
    for (const char* name : {"loss", "mtp_loss", "eval_loss", "eval_loss_ema"}) {
      EXPECT_EQ(got.has(name), expected.has(name)) << name;
      if (!got.has(name) || !expected.has(name)) continue;
      const double off = std::abs(value_of(got, name) - value_of(expected, name));
      EXPECT_LE(off, tolerance) << name << " at step " << expected.step;
      farthest = std::max(farthest, off);
    }
    return farthest;
  }

  // How far one was from the other at most, of what it may be.
  struct Distance {
    double losses = 0;
    double tensors = 0;
  };
  // Of runs of `spec` under two layouts.
  static Distance expect_alike(const spec::RunSpec& spec, const Trained& one, const Trained& got) {
    const Tolerances may = tolerances(spec, one.records);
    Distance far;
    EXPECT_EQ(got.records.size(), one.records.size());
    for (const auto& [step, record] : one.records) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      const auto found = got.records.find(step);
      if (found == got.records.end()) {
        ADD_FAILURE() << "no record";
        continue;
      }
      const run::MetricRecord& other = found->second;
      EXPECT_EQ(other.expert_load, record.expert_load);
      EXPECT_EQ(other.data_chain, record.data_chain);
      EXPECT_TRUE(record.has("loss"));
      far.losses = std::max(far.losses, expect_near_losses(other, record, may.losses) / may.losses);
      EXPECT_NEAR(value_of(other, "grad_norm"), value_of(record, "grad_norm"), may.grad_norms);
    }
    far.tensors = tensors_apart(got.tensors, one.tensors) / may.tensors;
    EXPECT_LE(far.tensors, 1);
    return far;
  }

  // Trains the spec on one rank, where the loss falls by `least_learnt` or more, and over every
  // layout, apart from those that are one already.
  void expect_trains_alike(const spec::RunSpec& spec,
                           const std::vector<LayoutCase>& layouts,
                           double least_learnt = 0) {
    const Trained one = train(spec);
    ASSERT_EQ(one.records.size(), static_cast<std::size_t>(kSteps));
    const run::MetricRecord& last = one.records.at(kSteps);
    for (const char* name : {"eval_loss", "eval_loss_ema"})
      ASSERT_TRUE(last.has(name)) << name;
    // What is learnt is far more than what layouts may be apart.
    const double learnt = value_of(one.records.at(1), "loss") - value_of(last, "loss");
    ASSERT_GT(learnt, std::max(least_learnt, 100 * tolerances(spec, one.records).losses));
    std::vector<spec::ParallelLayout> seen = {spec.layout};
    Distance farthest;
    for (const LayoutCase& layout : layouts) {
      spec::RunSpec other = spec;
      layout.apply_to(other);
      if (std::find(seen.begin(), seen.end(), other.layout) != seen.end()) continue;
      seen.push_back(other.layout);
      SCOPED_TRACE(layout.name());
      const Distance far = expect_alike(spec, one, train(other));
      farthest.losses = std::max(farthest.losses, far.losses);
      farthest.tensors = std::max(farthest.tensors, far.tensors);
    }
    RecordProperty("layouts", static_cast<int>(seen.size() - 1));
    RecordProperty("farthest", fmt::format("of what they may be: losses {:.3g}, tensors {:.3g}",
                                           farthest.losses, farthest.tensors));
  }
};

}  // namespace tera::train::test
