// The engine against PyTorch: losses and gradients of a model of each family, computed once by
// tests/referee/nn/make_torch_models.py from its own formulas with autograd in f64.
#include <cmath>
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {
namespace {

using nlohmann::json;

const json& golden() {
  static const json kDocument = [] {
    std::ifstream file(std::string(std::getenv("TERA_SOURCE_DIR")) +
                       "/tests/golden/nn/torch_models.json");
    return json::parse(file);
  }();
  return kDocument;
}

// The referee's weights, by name and index: 16 scrambled bits as a number in [-0.5, 0.5).
double scrambled(const std::string& name, std::int64_t index) {
  std::uint64_t x = name_hash(name) + static_cast<std::uint64_t>(index) * 0x9E3779B97F4A7C15ULL;
  x ^= x >> 31U;
  x *= 0xBF58476D1CE4E5B9ULL;
  return static_cast<double>(x >> 48U) / 65536.0 - 0.5;
}

double referee_weight(const std::string& name, std::int64_t index) {
  const double value = scrambled(name, index);
  if (name.find("norm.weight") != std::string::npos) return 1.0 + value / 2.0;
  const bool bias = name.size() > 5 && name.compare(name.size() - 5, 5, ".bias") == 0;
  return bias ? value / 2.0 : value;
}

struct ConfigReader {
  const json& values;
  template <class T>
  void operator()(const Field& field, T& member) const {
    const auto at = values.find(std::string(field.name));
    if (at == values.end()) return;
    if constexpr (std::is_enum_v<T>) {
      member = enum_from_name<T>(at->get<std::string>()).value();
    } else {
      member = at->get<T>();
    }
  }
};

Tensor ids(Backend& backend, const json& rows, bool flat) {
  const auto batch = static_cast<std::int64_t>(rows.size());
  const auto length = static_cast<std::int64_t>(rows[0].size());
  Tensor tensor = Tensor::empty(backend, {batch, length}, DType::i32, MemoryKind::workspace);
  for (std::int64_t i = 0; i < tensor.num_elements(); ++i) {
    tensor.data<std::int32_t>()[i] =
        rows[static_cast<std::size_t>(i / length)][static_cast<std::size_t>(i % length)];
  }
  return flat ? tensor.reshape({batch * length}) : tensor;
}

struct Tolerance {
  double loss;
  double gradient;  // relative to the norm of the parameter's gradient
};

void compare(const json& expected, DType dtype, CpuOps ops, Tolerance tolerance) {
  spec::ModelConfig config;
  spec::ModelConfig::visit_fields(config, ConfigReader{expected["config"]});
  TinyModel tiny(config, dtype, ops);
  for (const Param& param : tiny.params.params()) {
    for (std::int64_t i = 0; i < param.value.num_elements(); ++i) {
      const double value = referee_weight(param.spec.name, i);
      if (dtype == DType::f64) {
        param.value.data<double>()[i] = value;
      } else {
        param.value.data<float>()[i] = static_cast<float>(value);  // exact
      }
    }
  }
  const json& rows = golden()["batch"];
  const Batch batch{.batch_size = static_cast<int>(rows["tokens"].size()),
                    .seq_length = static_cast<int>(rows["tokens"][0].size()),
                    .tokens = ids(*tiny.backend, rows["tokens"], true),
                    .targets = ids(*tiny.backend, rows["targets"], true),
                    .positions = ids(*tiny.backend, rows["positions"], true),
                    .first_key = ids(*tiny.backend, rows["first_key"], false)};
  Stash stash(*tiny.backend);
  std::vector<RouterStats> stats(static_cast<std::size_t>(config.num_all_layers()));
  PredictionStats prediction;
  const double scale = 1.0 / static_cast<double>(num_targets(batch));
  Pass pass{.batch = batch,
            .stash = stash,
            .loss_scale = scale,
            .batch_share = golden()["batch_share"].get<double>(),
            .router_stats = &stats,
            .prediction_stats = &prediction,
            .training = TrainingPlace{}};
  const double loss = scale * tiny.model.forward(pass, true);
  tiny.model.backward(pass);
  double balance_loss = 0;
  double z_loss = 0;
  for (const RouterStats& layer : stats) {
    balance_loss += layer.balance_loss;
    z_loss += layer.z_loss;
  }
  EXPECT_NEAR(loss, expected["loss"].get<double>(), tolerance.loss);
  const double mtp_loss = tiny.weighted(prediction);
  EXPECT_NEAR(scale * mtp_loss, expected["mtp_loss"].get<double>(), tolerance.loss);
  EXPECT_NEAR(balance_loss, expected["balance_loss"].get<double>(), tolerance.loss);
  EXPECT_NEAR(z_loss, expected["z_loss"].get<double>(), tolerance.loss);

  std::size_t compared = 0;
  for (const Param& param : tiny.params.params()) {
    if (!param.trained) continue;
    SCOPED_TRACE(param.spec.name);
    const json& theirs = expected["gradients"].at(param.spec.name);
    const double norm = theirs["norm"].get<double>();
    double squares = 0;
    double along = 0;
    for (std::int64_t i = 0; i < param.grad.num_elements(); ++i) {
      const double g = value_at(param.grad, i);
      squares += g * g;
      along += g * scrambled("along " + param.spec.name, i);
    }
    const double allowed = tolerance.gradient * norm;
    EXPECT_NEAR(std::sqrt(squares), norm, allowed);
    EXPECT_NEAR(along, theirs["along"].get<double>(), allowed);
    for (std::size_t i = 0; i < theirs["at"].size(); ++i) {
      EXPECT_NEAR(value_at(param.grad, theirs["at"][i].get<std::int64_t>()),
                  theirs["values"][i].get<double>(), allowed);
    }
    ++compared;
  }
  EXPECT_EQ(compared, expected["gradients"].size());
}

const std::vector<std::string>& families() {
  static const std::vector<std::string> names = {
      "gpt2",       "gpt_neox", "llama3",   "llama_linear", "mistral",
      "qwen2_yarn", "olmo2",    "nemotron", "grok1",        "qwen3",
      "olmoe",      "mixtral",  "deepseek", "deepseek_v2",  "deepseek_v3",
      "qwen2_moe",  "switch",   "capacity", "expert_choice"};
  return names;
}

class TorchModels : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Families,
                         TorchModels,
                         testing::ValuesIn(families()),
                         [](const auto& test) { return test.param; });

TEST(TorchModelsFile, EveryFamilyOfTheFileIsCompared) {
  EXPECT_EQ(golden()["models"].size(), families().size());
}

// Two f64 computations of a few hundred roundings of 1e-16 each.
TEST_P(TorchModels, AgreeInF64) {
  compare(golden()["models"][GetParam()], DType::f64, CpuOps::reference, {1e-12, 1e-11});
}

// The fast f32 ops: roundings of 6e-8.
TEST_P(TorchModels, AgreeInF32WithTheFastOps) {
  compare(golden()["models"][GetParam()], DType::f32, CpuOps::fast, {1e-5, 1e-5});
}

}  // namespace
}  // namespace tera::nn::test
