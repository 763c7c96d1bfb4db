// A model cut into chunks computes what the whole one does, bit for bit, wherever it is cut and
// whether the halves of backward are together or apart.
#include "core/nn/model_chunk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {
namespace {

// The links of a pipeline over a model, each with its own stash, one store for all.
class Chain {
 public:
  // cuts: the first layer of each link but the first.
  Chain(TinyModel& tiny, std::vector<int> cuts) : tiny_(tiny) {
    cuts.insert(cuts.begin(), 0);
    cuts.push_back(tiny.config.num_layers);
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      const plan::StageChunk parts{.link = static_cast<int>(i),
                                   .layers = {cuts[i], cuts[i + 1]},
                                   .has_embedding = i == 0,
                                   .has_head = i + 2 == cuts.size()};
      chunks_.push_back(std::make_unique<ModelChunk>(tiny.config, parts, tiny.params));
      stashes_.emplace_back(*tiny.backend);
    }
  }

  // As TinyModel::train.
  double train(const Batch& batch, double loss_scale, bool halves_apart) {
    std::vector<RouterStats> stats(static_cast<std::size_t>(tiny_.config.num_all_layers()));
    PredictionStats prediction;
    std::vector<Pass> passes;
    for (Stash& stash : stashes_) {
      passes.push_back({.batch = batch,
                        .stash = stash,
                        .loss_scale = loss_scale,
                        .router_stats = &stats,
                        .prediction_stats = &prediction,
                        .training = tiny_.place,
                        .recompute = tiny_.recompute});
    }
    ModelChunk::Output output;
    for (std::size_t i = 0; i < chunks_.size(); ++i)
      output = chunks_[i]->forward(output.hidden, passes[i], true);
    EXPECT_FALSE(output.hidden.present());
    Tensor dy;
    for (std::size_t i = chunks_.size(); i-- > 0;) {
      dy = halves_apart ? chunks_[i]->backward_input(dy, passes[i])
                        : chunks_[i]->backward(dy, passes[i]);
    }
    EXPECT_FALSE(dy.present());
    for (std::size_t i = 0; halves_apart && i < chunks_.size(); ++i)
      chunks_[i]->backward_weight(passes[i]);
    return loss_scale * output.loss_sum + loss_scale * tiny_.weighted(prediction) +
           TinyModel::auxiliary(stats);
  }

 private:
  TinyModel& tiny_;
  std::vector<std::unique_ptr<ModelChunk>> chunks_;
  std::vector<Stash> stashes_;
};

class ChunksOfModel : public testing::TestWithParam<NamedConfig> {};

TEST_P(ChunksOfModel, ComputeWhatTheModelDoes) {
  spec::ModelConfig config = GetParam().config;
  config.num_layers = 3;
  for (const auto recompute :
       {spec::RecomputeKind::none, spec::RecomputeKind::selective, spec::RecomputeKind::full}) {
    TinyModel whole(config, DType::f32);
    whole.recompute = recompute;
    const Batch batch = random_batch(*whole.backend, 2, 6, config.vocab_size, 3);
    const double loss = whole.train(batch, 0.1);
    for (const std::vector<int>& cuts :
         std::vector<std::vector<int>>{{1}, {1, 2}, {0, 3}, {2, 2}}) {
      for (const bool halves_apart : {false, true}) {
        TinyModel cut(config, DType::f32);
        cut.recompute = recompute;
        EXPECT_EQ(Chain(cut, cuts).train(batch, 0.1, halves_apart), loss);
        for (std::size_t i = 0; i < cut.params.params().size(); ++i) {
          const Param& got = cut.params.params()[i];
          const Param& expected = whole.params.params()[i];
          if (!expected.trained) continue;
          ASSERT_EQ(got.grad.present(), expected.grad.present()) << got.spec.name;
          if (!expected.grad.present()) continue;
          // The embedding's own gradient comes before that of multi-token prediction then.
          const bool reordered =
              halves_apart && config.num_mtp_layers > 0 && got.spec.name == "embedding.tokens";
          const auto values = values_of(got.grad);
          if (reordered) {
            EXPECT_THAT(values,
                        testing::Pointwise(testing::DoubleNear(1e-6), values_of(expected.grad)));
          } else {
            EXPECT_EQ(values, values_of(expected.grad))
                << got.spec.name << " cut before " << testing::PrintToString(cuts)
                << (halves_apart ? ", halves apart" : "");
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         ChunksOfModel,
                         testing::ValuesIn(all_and_training_configs()),
                         testing::PrintToStringParamName());

TEST(ModelChunk, NamesWhatIsWrong) {
  const auto message_of = [](const auto& body) -> std::string {
    try {
      body();
    } catch (const ContractError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  TinyModel tiny(llama_config());
  ModelChunk first(tiny.config,
                   {.link = 0, .layers = {0, 1}, .has_embedding = true, .has_head = false},
                   tiny.params);
  ModelChunk last(tiny.config,
                  {.link = 1, .layers = {1, 2}, .has_embedding = false, .has_head = true},
                  tiny.params);
  const Batch batch = random_batch(*tiny.backend, 1, 4, 17, 1);
  Stash stash(*tiny.backend);
  Pass pass{.batch = batch, .stash = stash};
  EXPECT_THAT(message_of([&] { last.forward({}, pass, true); }),
              testing::HasSubstr("link 1 of the pipeline has no activation to begin with"));
  const Tensor hidden = first.forward({}, pass, true).hidden;
  stash.clear();
  EXPECT_THAT(message_of([&] { first.forward(hidden, pass, true); }),
              testing::HasSubstr("begins with the embedding, got an activation too"));
  EXPECT_THAT(message_of([&] { first.backward({}, pass); }),
              testing::HasSubstr("link 0 of the pipeline has no gradient"));
  EXPECT_THAT(message_of([&] { last.backward(hidden, pass); }),
              testing::HasSubstr("ends with the loss, got a gradient too"));
}

}  // namespace
}  // namespace tera::nn::test
