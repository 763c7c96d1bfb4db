// Runs that train adapters: only those move, resume is bit for bit, the weights they are of must
// stay what they were, and merged they compute the same.
#include <fstream>

#include <gmock/gmock.h>

#include "core/base/thread_pool.h"
#include "core/checkpoint/weights.h"
#include "core/infer/compare_weights.h"
#include "core/infer/load_model.h"
#include "core/infer/merge_adapters.h"
#include "core/nn/model.h"
#include "core/plan/adapter_table.h"
#include "core/tensor/cpu_backend.h"
#include "tests/core/train/trained_precisions.h"
#include "tests/core/train/trainer_fixture.h"
#include "tests/support/distance.h"

namespace tera::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Tensors = std::map<std::string, std::vector<char>>;

class LoraTraining : public test::TrainerTest {
 protected:
  void SetUp() override {
    TrainerTest::SetUp();
    spec::RunSpec spec = small_spec();
    spec.training.num_steps = 6;
    base_.emplace(create(spec));
    EXPECT_EQ(run(*base_), TrainEnd::completed);
  }

  spec::RunSpec lora_spec() const {
    spec::RunSpec spec = small_spec();
    spec.training.init_from = base_->path().string();
    spec.lora = {.rank = 4,
                 .alpha = 8,
                 .use_rslora = false,
                 .target_modules = {"attention.q", "attention.v", "attention.out", "experts.in",
                                    "experts.out", "head"}};
    return spec;
  }

  fs::path last_checkpoint(const run::RunDirectory& dir) const {
    return checkpoint::list(posix_vfs(), dir.checkpoints_dir())->front().path;
  }

  checkpoint::Reader reader_of(const fs::path& path) const {
    std::vector<std::string> skipped;
    auto reader = checkpoint::open_weights(posix_vfs(), path, skipped);
    if (!reader) throw std::runtime_error(reader.error().message);
    return *reader;
  }

  // Logits of a fixed text, of the model with the parameters of `table`.
  std::vector<float> logits(const spec::RunSpec& spec,
                            const plan::ParamTable& table,
                            const checkpoint::Reader& reader) const {
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    nn::ParamStore params(
        *backend, table,
        {.compute = plan::compute_dtype(spec.training.precision), .gradients = false});
    const Result<void> loaded = infer::load_weights(reader, params);
    if (!loaded) throw std::runtime_error(loaded.error().message);
    nn::Model model(spec.model, params);
    const std::vector<std::int32_t> tokens = {1, 2, 3, 5, 8, 13, 21, 34};
    nn::KvCache cache = model.make_cache(static_cast<int>(tokens.size()));
    const Tensor rows = model.decode(tokens, cache);
    return {rows.data<float>(), rows.data<float>() + rows.num_elements()};
  }

  std::optional<run::RunDirectory> base_;
};

TEST_F(LoraTraining, StartsFromTheBaseAndMovesAdaptersAlone) {
  const spec::RunSpec spec = lora_spec();
  const Tensors before = final_tensors(*base_);
  const run::RunDirectory dir = create(spec);
  EXPECT_EQ(run(dir), TrainEnd::completed);
  const auto found = records(dir);
  const auto base = records(*base_);
  // Step 1 computes what the base does; the base learnt for 6 steps.
  EXPECT_LT(found.at(1).value("loss", 99), base.at(1).value("loss", 0) - 0.3);
  EXPECT_LT(found.at(12).value("loss", 99), found.at(1).value("loss", 0) - 0.05);
  EXPECT_EQ(final_tensors(*base_), before);
  // The checkpoint holds the adapters and their moments, nothing of the base.
  std::map<std::string, int> roles;
  const checkpoint::Reader reader = reader_of(dir.path());
  for (const checkpoint::TensorInfo& info : reader.tensors()) {
    EXPECT_THAT(info.name, HasSubstr(".lora_"));
    EXPECT_EQ(info.dtype, DType::f32);
    ++roles[info.role];
  }
  EXPECT_EQ(roles,
            (std::map<std::string, int>{{"weight", 22}, {"exp_avg", 22}, {"exp_avg_sq", 22}}));
}

// B = 0: the first loss is the base model's to the bit, in every precision.
TEST_F(LoraTraining, FirstLossIsThatOfTheBase) {
  for (const spec::Precision precision : test::trained_precisions()) {
    spec::RunSpec spec = lora_spec();
    spec.training.precision = precision;
    spec.training.num_steps = 1;
    spec.training.warmup_steps = 0;
    SCOPED_TRACE(std::string(enum_name(spec.training.precision)));
    const run::RunDirectory adapted = create(spec);
    EXPECT_EQ(run(adapted), TrainEnd::completed);
    spec.lora = {};
    const run::RunDirectory whole = create(spec);
    EXPECT_EQ(run(whole), TrainEnd::completed);
    EXPECT_EQ(records(adapted).at(1).value("loss", -1), records(whole).at(1).value("loss", -2));
    EXPECT_NE(records(adapted).at(1).value("grad_norm", -1),
              records(whole).at(1).value("grad_norm", -1));
  }
}

TEST_F(LoraTraining, ResumeIsBitExact) {
  for (const spec::Precision precision : {spec::Precision::fp32, spec::Precision::bf16}) {
    spec::RunSpec spec = lora_spec();
    spec.training.precision = precision;
    const run::RunDirectory whole = create(spec);
    EXPECT_EQ(run(whole), TrainEnd::completed);
    const run::RunDirectory parts = create(spec);
    EXPECT_EQ(run(parts, {.stop_at_step = 5}), TrainEnd::stopped);
    EXPECT_EQ(run(parts, {.resume = true}), TrainEnd::completed);
    EXPECT_EQ(final_tensors(parts), final_tensors(whole));
    EXPECT_EQ(records(parts).at(12).value("loss", -1), records(whole).at(12).value("loss", -2));
    spec.layout.pipeline_parallel_size = 2;
    const run::RunDirectory stages = create(spec);
    EXPECT_EQ(run(stages, {.stop_at_step = 5}), TrainEnd::stopped);
    EXPECT_EQ(run(stages, {.resume = true}), TrainEnd::completed);
    EXPECT_EQ(final_tensors(stages), final_tensors(whole));
  }
}

TEST_F(LoraTraining, ABaseThatChangedIsRefused) {
  const run::RunDirectory dir = create(lora_spec());
  EXPECT_EQ(run(dir, {.stop_at_step = 5}), TrainEnd::stopped);
  const fs::path base = last_checkpoint(*base_);
  fs::rename(base, root_ / "away");
  const Result<TrainEnd> gone = run_training(dir, {.resume = true});
  ASSERT_FALSE(gone.has_value());
  EXPECT_THAT(gone.error().message, HasSubstr("which cannot be read"));
  // Another model under the same name.
  spec::RunSpec other = small_spec();
  other.training.num_steps = 6;
  other.seed = 4321;
  const run::RunDirectory another = create(other);
  EXPECT_EQ(run(another), TrainEnd::completed);
  fs::rename(last_checkpoint(another), base);
  const Result<TrainEnd> changed = run_training(dir, {.resume = true});
  ASSERT_FALSE(changed.has_value());
  EXPECT_THAT(changed.error().message, HasSubstr("which has changed since"));
  fs::remove_all(base);
  fs::rename(root_ / "away", base);
  EXPECT_EQ(run(dir, {.resume = true}), TrainEnd::completed);
}

// f32: the sums of W x + s B (A x) and (W + s B A) x differ by roundings of 6e-8 over up to 32
// terms in each of 2 layers. bf16: W + s B A is rounded to 8 bits, 2^-9 of each weight, and so are
// activations: the error of a product of 32 terms is about 2^-9 |y|, over some 10 products in a
// row; 5 % of the largest logit is twice that bound.
TEST_F(LoraTraining, MergedWeightsGiveTheSameLogits) {
  for (const spec::Precision precision : {spec::Precision::fp32, spec::Precision::bf16}) {
    spec::RunSpec spec = lora_spec();
    spec.training.precision = precision;
    const bool exact = precision == spec::Precision::fp32;
    const run::RunDirectory dir = create(spec);
    EXPECT_EQ(run(dir), TrainEnd::completed);
    const checkpoint::Reader adapters = reader_of(dir.path());
    const fs::path out = root_ / (exact ? "merged" : "merged-bf16");
    const auto merged = infer::merge_adapters(posix_vfs(), adapters, out, {.num_threads = 1});
    ASSERT_TRUE(merged.has_value()) << merged.error().message;
    EXPECT_EQ(merged->num_adapters, 11);
    const std::vector<float> expected = logits(spec, plan::make_param_table(spec), adapters);
    const std::vector<float> got = logits(spec, plan::make_param_table(spec.model), reader_of(out));
    const std::vector<float> base =
        logits(spec, plan::make_param_table(spec.model), reader_of(base_->path()));
    const double tolerance = exact ? 2e-5 : 0.05;
    EXPECT_GT(tera::test::relative_distance(base, expected), 2 * tolerance)
        << "training changed the model";
    EXPECT_LT(tera::test::relative_distance(got, expected), tolerance);
    // A run goes on from the merged model.
    spec::RunSpec next = small_spec();
    next.training.precision = precision;
    next.training.num_steps = 1;
    next.training.warmup_steps = 0;
    next.training.init_from = out.string();
    EXPECT_EQ(run(create(next)), TrainEnd::completed);
  }
}

TEST_F(LoraTraining, AdaptersAloneAreNoModel) {
  const run::RunDirectory dir = create(lora_spec());
  EXPECT_EQ(run(dir, {.stop_at_step = 2}), TrainEnd::stopped);
  spec::RunSpec next = small_spec();
  next.training.init_from = dir.path().string();
  const Result<TrainEnd> refused = run_training(create(next), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("holds adapters, not a whole model"));
  EXPECT_THAT(refused.error().hint, HasSubstr("teragpt ckpt merge"));
  const auto merged =
      infer::merge_adapters(posix_vfs(), reader_of(base_->path()), root_ / "no", {});
  ASSERT_FALSE(merged.has_value());
  EXPECT_THAT(merged.error().message, HasSubstr("holds a whole model, no adapters"));
  EXPECT_FALSE(fs::exists(root_ / "no"));
}

}  // namespace
}  // namespace tera::train
