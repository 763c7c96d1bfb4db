// One model, any layout: whatever axes a run is spread over, it trains like one rank. A new axis
// adds rows to layouts(); a new kind of layer a row to models().
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "core/spec/yaml.h"
#include "tests/core/train/trainer_fixture.h"

namespace tera::train {
namespace {

constexpr int kSteps = 20;

template <class Changed>
struct Variant {
  const char* name;
  void (*change)(Changed&);
};

void split_heads(spec::ParallelLayout& layout) {
  layout.tensor_parallel_size = 2;
  layout.sequence_parallel = true;
}

// Of four sequences in a micro-batch, eight in a batch: each may have one, two or four replicas.
const std::vector<Variant<spec::ParallelLayout>>& layouts() {
  using spec::ParallelLayout;
  static const std::vector<Variant<ParallelLayout>> kLayouts = {
      {"dp2", [](ParallelLayout& l) { l.data_parallel_size = 2; }},
      {"dp2 zero1", [](ParallelLayout& l) { l.data_parallel_size = 2, l.zero_stage = 1; }},
      {"dp2 zero2", [](ParallelLayout& l) { l.data_parallel_size = 2, l.zero_stage = 2; }},
      {"dp2 zero3", [](ParallelLayout& l) { l.data_parallel_size = 2, l.zero_stage = 3; }},
      {"dp4", [](ParallelLayout& l) { l.data_parallel_size = 4; }},
      {"dp4 zero3", [](ParallelLayout& l) { l.data_parallel_size = 4, l.zero_stage = 3; }},
      {"tp2", [](ParallelLayout& l) { split_heads(l); }},
      {"tp2 dp2", [](ParallelLayout& l) { split_heads(l), l.data_parallel_size = 2; }},
      {"tp2 dp2 zero3",
       [](ParallelLayout& l) { split_heads(l), l.data_parallel_size = 2, l.zero_stage = 3; }},
      {"ep2", [](ParallelLayout& l) { l.data_parallel_size = l.expert_parallel_size = 2; }},
      {"ep2 zero2",
       [](ParallelLayout& l) {
         l.data_parallel_size = 4, l.expert_parallel_size = 2, l.zero_stage = 2;
       }},
      {"etp2", [](ParallelLayout& l) { l.data_parallel_size = l.expert_tensor_parallel_size = 2; }},
      {"tp2 ep2", [](ParallelLayout& l) { split_heads(l), l.expert_parallel_size = 2; }},
      {"tp2 ep4 zero1",
       [](ParallelLayout& l) {
         split_heads(l), l.data_parallel_size = 2, l.expert_parallel_size = 4, l.zero_stage = 1;
       }},
      {"tp2 ep2 etp2",
       [](ParallelLayout& l) {
         split_heads(l), l.data_parallel_size = 2;
         l.expert_parallel_size = l.expert_tensor_parallel_size = 2;
       }},
  };
  return kLayouts;
}

const std::vector<Variant<spec::ModelConfig>>& models() {
  using spec::ModelConfig;
  static const std::vector<Variant<ModelConfig>> kModels = {
      {"dense",
       [](ModelConfig& m) {
         m.num_experts = 0;
         m.ffn_hidden_size = 48;
         m.tie_embeddings = true;
       }},
      {"softmax router", [](ModelConfig&) {}},
      {"sigmoid router with groups, shared experts and prediction",
       [](ModelConfig& m) {
         m.router_score = spec::RouterScore::sigmoid;
         m.router_num_groups = 2;
         m.num_shared_experts = 1;
         m.num_dense_layers = 1;
         m.num_mtp_layers = 1;
         m.ffn_hidden_size = 48;
       }},
  };
  return kModels;
}

class LayoutEquivalence : public test::TrainerTest {
 protected:
  // Plain gradient descent: an update is as far off as its gradient, which the other optimizers,
  // whose first steps have the size of the learning rate whatever the gradient, are not.
  spec::RunSpec spec_for(const Variant<spec::ModelConfig>& model) const {
    spec::RunSpec spec = small_spec();
    model.change(spec.model);
    spec.training.num_steps = kSteps;
    spec.training.optimizer = spec::OptimizerKind::sgd;
    spec.training.sgd_momentum = 0;
    spec.training.learning_rate = 5e-2;
    spec.training.min_learning_rate = 5e-2;
    spec.training.checkpoint_interval = 0;
    spec.training.eval_interval = 10;
    return spec;
  }
};

float as_float(const std::vector<char>& bytes, std::size_t i) {
  float value = 0;
  std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
  return value;
}

// Every layout adds up the gradients of the same M micro-batches, in another order: an element is
// off by at most (M - 1) 2^-24 times the sum of their sizes, whatever the layout (Higham 2002,
// section 4.2). The norms of these add up to at most M times the largest norm of a step here. In T
// steps of rate r weights move apart by r T of that, and as differences of weights change gradients
// too, by a factor below e as long as r T times the curvature is below 1. A loss differs by that
// times the norm of its gradient.
double weight_tolerance(const spec::RunSpec& spec,
                        const std::map<std::int64_t, run::MetricRecord>& records) {
  double norm = 0;
  for (const auto& [step, record] : records)
    norm = std::max(norm, record.value("grad_norm", 0));
  const double micro_batches = 1.0 * spec.training.global_batch_size / spec.layout.micro_batch_size;
  const double off = (micro_batches - 1) * std::ldexp(1, -24) * micro_batches * norm;
  return std::exp(1.0) * kSteps * spec.training.learning_rate * off;
}

TEST_F(LayoutEquivalence, EveryLayoutTrainsLikeOneRank) {
  for (const auto& model : models()) {
    const spec::RunSpec spec = spec_for(model);
    const run::RunDirectory one = create(spec);
    run(one);
    const auto expected = records(one);
    const auto weights = final_tensors(one);
    ASSERT_LT(expected.at(kSteps).value("loss", 99), expected.at(1).value("loss", 0) - 0.2);
    const double tolerance = weight_tolerance(spec, expected);
    double norm = 0;
    for (const auto& [step, record] : expected)
      norm = std::max(norm, record.value("grad_norm", 0));
    for (const auto& layout : layouts()) {
      SCOPED_TRACE(testing::Message() << model.name << ", " << layout.name);
      spec::RunSpec other = spec;
      layout.change(other.layout);
      if (other.model.num_experts == 0)
        other.layout.expert_parallel_size = other.layout.expert_tensor_parallel_size = 1;
      const run::RunDirectory dir = create(other);
      run(dir);
      const auto got = records(dir);
      ASSERT_EQ(got.size(), expected.size());
      double farthest = 0;
      for (const auto& [step, record] : expected) {
        EXPECT_EQ(got.at(step).expert_load, record.expert_load) << "step " << step;
        EXPECT_EQ(got.at(step).data_chain, record.data_chain);
        const double off = std::abs(got.at(step).value("loss", 0) - record.value("loss", 99));
        farthest = std::max(farthest, off);
        EXPECT_LE(off, tolerance * norm + 1e-12) << "step " << step;
        EXPECT_NEAR(got.at(step).value("eval_loss", 0), record.value("eval_loss", 0),
                    tolerance * norm);
      }
      double squares = 0;
      const auto found = final_tensors(dir);
      ASSERT_EQ(found.size(), weights.size());
      for (const auto& [name, bytes] : weights) {
        ASSERT_EQ(found.at(name).size(), bytes.size()) << name;
        for (std::size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
          const double off = as_float(found.at(name), i) - as_float(bytes, i);
          squares += off * off;
        }
      }
      EXPECT_LE(std::sqrt(squares), tolerance);
      RecordProperty(std::string(model.name) + ", " + layout.name,
                     testing::PrintToString(farthest) + " of " +
                         testing::PrintToString(tolerance * norm) + ", weights " +
                         testing::PrintToString(std::sqrt(squares)) + " of " +
                         testing::PrintToString(tolerance));
    }
  }
}

TEST_F(LayoutEquivalence, StagesOfZeroGiveTheSameBits) {
  for (const auto precision : {spec::Precision::fp32, spec::Precision::bf16,
                               spec::Precision::bf16_stochastic, spec::Precision::fp16}) {
    for (const int ranks : {2, 4}) {
      spec::RunSpec spec = small_spec();
      spec.training.precision = precision;
      spec.training.ema_decay = ranks == 2 ? 0.9 : 0;
      spec.training.grad_clip = 0.5;
      spec.model.num_mtp_layers = ranks == 2 ? 1 : 0;
      spec.model.tie_embeddings = ranks == 2;
      spec.layout.data_parallel_size = ranks;
      const run::RunDirectory replicated = create(spec);
      run(replicated);
      const auto expected = records(replicated);
      const auto tensors = final_tensors(replicated);
      for (const int stage : {1, 2, 3}) {
        SCOPED_TRACE(testing::Message()
                     << enum_name(precision) << ", " << ranks << " ranks, ZeRO " << stage);
        spec.layout.zero_stage = stage;
        const run::RunDirectory dir = create(spec);
        run(dir);
        const auto got = records(dir);
        for (const auto& [step, record] : expected) {
          for (const char* name : {"loss", "grad_norm", "eval_loss", "eval_loss_ema"})
            EXPECT_EQ(got.at(step).value(name, -1), record.value(name, -1)) << name << " " << step;
        }
        EXPECT_EQ(final_tensors(dir), tensors);
      }
    }
  }
}

// What one layout saves another goes on with: states are kept by tensor, whoever held them.
TEST_F(LayoutEquivalence, ACheckpointServesEveryLayout) {
  spec::RunSpec spec = small_spec();
  spec.training.precision = spec::Precision::bf16;
  spec.training.ema_decay = 0.9;
  spec.layout.data_parallel_size = 2;
  const run::RunDirectory whole = create(spec);
  run(whole);
  const auto expected = final_tensors(whole);
  for (const auto& [from, to] : {std::pair(0, 3), {3, 1}, {1, 2}, {2, 0}}) {
    SCOPED_TRACE(testing::Message() << "ZeRO " << from << ", then " << to);
    spec.layout.zero_stage = from;
    const run::RunDirectory dir = create(spec);
    EXPECT_EQ(run(dir, {.stop_at_step = 5}), TrainEnd::stopped);
    spec.layout.zero_stage = to;
    std::ofstream(dir.path() / "spec.yaml") << spec::to_yaml(spec);
    EXPECT_EQ(run(dir, {.resume = true}), TrainEnd::completed);
    EXPECT_EQ(final_tensors(dir), expected);
  }
}

}  // namespace
}  // namespace tera::train
