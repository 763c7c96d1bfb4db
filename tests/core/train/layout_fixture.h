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

  static double largest_norm(const Records& records) {
    double norm = 0;
    for (const auto& [step, record] : records)
      norm = std::max(norm, value_of(record, "grad_norm"));
    return norm;
  }

  // Every layout adds up the same terms of a gradient, one for each of M micro-batches and reader
  // of the tensor, in another order: an element is off by at most (terms - 1) 2^-24 times the sum
  // of their sizes, whatever the layout (Higham 2002, section 4.2). The norms of these add up to at
  // most `terms` times the largest norm of a step here. In T steps of rate r weights move apart by
  // r T of that, and as differences of weights change gradients too, by a factor below e as long as
  // r T times the curvature is below 1. A loss differs by that times the norm of its gradient.
  static double weight_tolerance(const spec::RunSpec& spec, const Records& records) {
    const int readers = 1 + (spec.model.tie_embeddings ? 1 : 0) + spec.model.num_mtp_layers;
    const double terms =
        1.0 * readers * spec.training.global_batch_size / spec.layout.micro_batch_size;
    const double off = (terms - 1) * std::ldexp(1, -24) * terms * largest_norm(records);
    const auto steps = static_cast<double>(spec.training.num_steps);
    return std::exp(1.0) * steps * spec.training.learning_rate * off;
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

  // Trains the spec on one rank and over every layout, apart from those that are one already.
  void expect_trains_alike(const spec::RunSpec& spec, const std::vector<LayoutCase>& layouts) {
    const run::RunDirectory one = create(spec);
    run(one);
    const Records expected = records(one);
    ASSERT_EQ(expected.size(), static_cast<std::size_t>(kSteps));
    for (const char* name : {"eval_loss", "eval_loss_ema"})
      ASSERT_TRUE(expected.at(kSteps).has(name)) << name;
    const auto weights = final_tensors(one);
    const double tolerance = weight_tolerance(spec, expected);
    const double loss_tolerance = tolerance * largest_norm(expected) + 1e-12;
    // What is learnt is far more than what layouts may be apart.
    ASSERT_LT(value_of(expected.at(kSteps), "loss"),
              value_of(expected.at(1), "loss") - 100 * loss_tolerance);
    std::vector<spec::ParallelLayout> seen = {spec.layout};
    double farthest_loss = 0;
    double farthest_weights = 0;
    for (const LayoutCase& layout : layouts) {
      spec::RunSpec other = spec;
      layout.apply_to(other);
      if (std::find(seen.begin(), seen.end(), other.layout) != seen.end()) continue;
      seen.push_back(other.layout);
      SCOPED_TRACE(layout.name());
      const run::RunDirectory dir = create(other);
      run(dir);
      const Records got = records(dir);
      ASSERT_EQ(got.size(), expected.size());
      for (const auto& [step, record] : expected) {
        EXPECT_EQ(got.at(step).expert_load, record.expert_load) << "step " << step;
        EXPECT_EQ(got.at(step).data_chain, record.data_chain);
        farthest_loss =
            std::max(farthest_loss, expect_near_losses(got.at(step), record, loss_tolerance));
      }
      const double off = tensors_apart(final_tensors(dir), weights);
      EXPECT_LE(off, tolerance);
      farthest_weights = std::max(farthest_weights, off);
    }
    RecordProperty("layouts", static_cast<int>(seen.size() - 1));
    RecordProperty("farthest",
                   fmt::format("losses {:.3g} of {:.3g}, weights {:.3g} of {:.3g}", farthest_loss,
                               loss_tolerance, farthest_weights, tolerance));
  }
};

}  // namespace tera::train::test
