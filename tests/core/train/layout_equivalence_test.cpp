// One model, any layout: whatever axes a run is spread over, it trains like one rank. A new axis
// adds rows to layouts(); a new kind of layer a row to models().
#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/core/train/pipeline_cuts.h"
#include "tests/core/train/trainer_fixture.h"

namespace tera::train {
namespace {

using test::cut;

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

// Of two sequences in a micro-batch, eight in a batch: each may have one, two or four replicas.
const std::vector<Variant<spec::ParallelLayout>>& layouts() {
  using spec::ParallelLayout;
  using enum spec::ScheduleKind;
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
      {"pp2", [](ParallelLayout& l) { cut(l, one_f_one_b); }},
      {"pp2 gpipe", [](ParallelLayout& l) { cut(l, gpipe); }},
      {"pp2 interleaved", [](ParallelLayout& l) { cut(l, interleaved); }},
      {"pp2 zb-h1", [](ParallelLayout& l) { cut(l, zb_h1); }},
      {"pp2 zb-h2", [](ParallelLayout& l) { cut(l, zb_h2); }},
      {"pp2 zb-v", [](ParallelLayout& l) { cut(l, zb_v); }},
      {"pp2 dualpipe-v", [](ParallelLayout& l) { cut(l, dualpipe_v); }},
      {"pp3", [](ParallelLayout& l) { l.pipeline_parallel_size = 3; }},
      {"pp2 dp2", [](ParallelLayout& l) { cut(l, one_f_one_b), l.data_parallel_size = 2; }},
      {"pp2 dp2 zero1, stages side by side",
       [](ParallelLayout& l) {
         cut(l, interleaved);
         l.data_parallel_size = 2;
         l.zero_stage = 1;
         l.rank_order = spec::RankOrder::tp_cp_ep_pp_dp;
       }},
      {"pp2 zb-v dp2", [](ParallelLayout& l) { cut(l, zb_v), l.data_parallel_size = 2; }},
      {"pp2 dp4 zero1",
       [](ParallelLayout& l) { cut(l, one_f_one_b), l.data_parallel_size = 4, l.zero_stage = 1; }},
      {"pp2 tp2", [](ParallelLayout& l) { cut(l, one_f_one_b), split_heads(l); }},
      {"pp2 zb-v tp2 ep4 dp2 zero1",
       [](ParallelLayout& l) {
         cut(l, zb_v), split_heads(l);
         l.data_parallel_size = 2, l.expert_parallel_size = 4, l.zero_stage = 1;
       }},
      {"pp2 zb-h1 ep2 dp2",
       [](ParallelLayout& l) { cut(l, zb_h1), l.data_parallel_size = l.expert_parallel_size = 2; }},
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
    spec.model.num_layers = 3;
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

// Every layout adds up the same terms of a gradient, one for each of M micro-batches and reader of
// the tensor, in another order: an element is off by at most (terms - 1) 2^-24 times the sum of
// their sizes, whatever the layout (Higham 2002, section 4.2). The norms of these add up to at most
// `terms` times the largest norm of a step here. In T steps of rate r weights move apart by r T of
// that, and as differences of weights change gradients too, by a factor below e as long as r T
// times the curvature is below 1. A loss differs by that times the norm of its gradient.
double weight_tolerance(const spec::RunSpec& spec,
                        const std::map<std::int64_t, run::MetricRecord>& records) {
  double norm = 0;
  for (const auto& [step, record] : records)
    norm = std::max(norm, record.value("grad_norm", 0));
  const int readers = 1 + (spec.model.tie_embeddings ? 1 : 0) + spec.model.num_mtp_layers;
  const double terms =
      1.0 * readers * spec.training.global_batch_size / spec.layout.micro_batch_size;
  const double off = (terms - 1) * std::ldexp(1, -24) * terms * norm;
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

}  // namespace
}  // namespace tera::train
