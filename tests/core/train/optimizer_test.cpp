// Every optimizer against torch.optim (tests/referee/train/make_optimizer_steps.py), and what holds
// for all of them.
#include "core/train/optimizer.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/plan/optimizer_state.h"
#include "kernels/bf16.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::train {
namespace {

using nlohmann::json;
using spec::OptimizerKind;

const json& golden() {
  static const json kDocument = [] {
    std::ifstream file(std::string(std::getenv("TERA_SOURCE_DIR")) +
                       "/tests/golden/train/optimizer_steps.json");
    return json::parse(file);
  }();
  return kDocument;
}

// The referee's tensors as rows of a table.
plan::ParamTable golden_table() {
  plan::ParamTable table;
  for (const auto& [name, tensor] : golden().at("tensors").items()) {
    plan::ParamSpec param;
    param.name = name;
    param.shape = tensor.at("shape").get<std::vector<std::int64_t>>();
    param.row_parts = tensor.at("row_parts").get<std::vector<std::int64_t>>();
    param.layer = 0;
    param.kind = name == "vector"    ? plan::ParamKind::norm
                 : name == "experts" ? plan::ParamKind::expert
                                     : plan::ParamKind::matrix;
    table.push_back(param);
  }
  return table;
}

spec::RunSpec golden_spec(const std::string& result) {
  spec::RunSpec spec;
  spec::TrainingConfig& t = spec.training;
  t.optimizer = *enum_from_name<OptimizerKind>(result.substr(0, result.find(' ')));
  t.weight_decay = golden().at("weight_decay").get<double>();
  t.param_groups.norm.weight_decay_multiplier = 1;
  if (result == "sgd") t.sgd_momentum = 0;
  t.sgd_nesterov = result == "sgd nesterov";
  t.muon_nesterov = result != "muon plain momentum";
  if (result == "muon original") t.muon_adjust_lr = spec::MuonAdjustLr::original;
  return spec;
}

void assign(Tensor& tensor, const json& numbers) {
  ASSERT_EQ(tensor.num_elements(), static_cast<std::int64_t>(numbers.size()));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    tensor.data<float>()[i] = numbers[i].get<float>();
}

class Optimizers : public testing::Test {
 protected:
  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = make_cpu_backend(pool_);
};

TEST_F(Optimizers, FollowTorch) {
  ASSERT_EQ(golden().at("results").size(), 9U);
  for (const auto& [result, expected] : golden().at("results").items()) {
    const spec::RunSpec spec = golden_spec(result);
    nn::ParamStore params(*backend_, golden_table(), {});
    for (nn::Param& param : params.params())
      assign(param.value, golden().at("weights").at(param.spec.name));
    Optimizer optimizer(params, spec);
    for (const json& gradients : golden().at("gradients")) {
      for (nn::Param& param : params.params())
        assign(param.grad, gradients.at(param.spec.name));
      optimizer.step(golden().at("learning_rate").get<double>(),
                     golden().at("grad_scale").get<double>());
    }
    // Weights are of size 1 and both sides round them in every step; Newton-Schulz multiplies the
    // errors of its input by up to 3.4 in each of five iterations, on updates of 1 % of a weight.
    const bool muon = spec.training.optimizer == OptimizerKind::muon;
    const double tolerance = muon ? 4 * 0.02 * 500 * 0x1p-23 : 4 * 4 * 0x1p-23;
    for (nn::Param& param : params.params()) {
      const json& wanted = expected.at(param.spec.name);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const double want = wanted[i].get<double>();
        EXPECT_NEAR(static_cast<double>(param.value.data<float>()[i]), want,
                    tolerance * std::max(1.0, std::abs(want)))
            << result << " " << param.spec.name << " " << i;
      }
    }
  }
}

void fill(Tensor& tensor, std::uint64_t stream) {
  const Philox rng(5, RngPurpose::test, stream);
  for (std::int64_t i = 0; i < tensor.num_elements(); ++i) {
    const float value = rng.uniform(0, static_cast<std::uint64_t>(i)) - 0.5F;
    if (tensor.dtype() == DType::bf16) {
      tensor.data<kernels::Bf16>()[i] = kernels::Bf16(value);
    } else {
      tensor.data<float>()[i] = value;
    }
  }
}

// A model with random weights after three steps on random gradients.
struct Trained {
  Trained(Backend& backend, const spec::RunSpec& spec)
      : params(backend,
               plan::make_param_table(spec.model),
               {.compute = plan::compute_dtype(spec.training.precision)}) {
    std::uint64_t stream = 0;
    for (nn::Param& param : params.params())
      fill(param.value, ++stream);
    optimizer = std::make_unique<Optimizer>(params, spec);
    for (int step = 0; step < 3; ++step) {
      for (nn::Param& param : params.params()) {
        if (param.grad.present()) fill(param.grad, ++stream);
      }
      optimizer->step(0.01, 0.5);
    }
  }
  std::vector<double> weights() const {
    std::vector<double> values;
    for (const nn::Param& param : params.params()) {
      for (std::int64_t i = 0; i < param.value.num_elements(); ++i) {
        values.push_back(
            param.value.dtype() == DType::bf16
                ? static_cast<double>(static_cast<float>(param.value.data<kernels::Bf16>()[i]))
                : static_cast<double>(param.value.data<float>()[i]));
      }
    }
    return values;
  }

  nn::ParamStore params;
  std::unique_ptr<Optimizer> optimizer;
};

std::vector<spec::RunSpec> every_optimizer(spec::Precision precision) {
  std::vector<spec::RunSpec> specs;
  for (std::size_t kind = 0; kind < EnumNames<OptimizerKind>::value.size(); ++kind) {
    spec::RunSpec spec;
    spec.model = nn::test::moe_config();
    spec.training.optimizer = static_cast<OptimizerKind>(kind);
    spec.training.precision = precision;
    specs.push_back(spec);
  }
  return specs;
}

TEST_F(Optimizers, GiveTheSameBitsForEveryNumberOfThreads) {
  ThreadPool one(1);
  const auto alone = make_cpu_backend(one);
  for (const spec::Precision precision : {spec::Precision::fp32, spec::Precision::bf16}) {
    for (const spec::RunSpec& spec : every_optimizer(precision)) {
      EXPECT_EQ(Trained(*backend_, spec).weights(), Trained(*alone, spec).weights())
          << enum_name(spec.training.optimizer);
    }
  }
}

TEST_F(Optimizers, KeepAMasterWhoseRoundingIsTheWeight) {
  for (const spec::RunSpec& spec : every_optimizer(spec::Precision::bf16)) {
    Trained trained(*backend_, spec);
    int masters = 0;
    trained.optimizer->visit_state(
        [&](const std::string& name, std::string_view role, Tensor& tensor) {
          EXPECT_EQ(tensor.dtype(), DType::f32);
          if (role != "master") return;
          ++masters;
          const nn::Param& param = trained.params.get(name);
          for (std::int64_t i = 0; i < tensor.num_elements(); ++i) {
            ASSERT_EQ(param.value.data<kernels::Bf16>()[i].bits,
                      kernels::Bf16(tensor.data<float>()[i]).bits)
                << name << " " << i;
          }
        });
    EXPECT_GT(masters, 0);
    EXPECT_EQ(trained.optimizer->steps_done(), 3);
  }
}

TEST_F(Optimizers, AGroupOfRateZeroStands) {
  for (spec::RunSpec spec : every_optimizer(spec::Precision::fp32)) {
    spec.training.param_groups.router.lr_multiplier = 0;
    const Trained trained(*backend_, spec);
    std::uint64_t stream = 0;
    for (const nn::Param& param : trained.params.params()) {
      Tensor before =
          Tensor::empty(*backend_, param.value.shape(), DType::f32, MemoryKind::workspace);
      fill(before, ++stream);
      const bool same =
          std::equal(before.data<float>(), before.data<float>() + before.num_elements(),
                     param.value.data<float>());
      EXPECT_EQ(same, param.spec.kind == plan::ParamKind::router || !param.spec.trainable)
          << enum_name(spec.training.optimizer) << " " << param.spec.name;
    }
  }
}

}  // namespace
}  // namespace tera::train
