// Our own models, exported, load in transformers and give our logits. Slow: starts Python, named by
// TERA_REFEREE_PYTHON, with tests/referee/hugging_face/check_export.py.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/base/rng.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/safetensors.h"
#include "core/infer/convert.h"
#include "core/nn/model.h"
#include "core/spec/yaml.h"
#include "core/tensor/cpu_backend.h"
#include "tests/support/temp_dir.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;

constexpr int kTokens = 12;

class TransformersExport : public testing::Test {
 protected:
  static fs::path source() { return std::getenv("TERA_SOURCE_DIR"); }

  // Random weights, norms and biases moved off their symmetric start.
  static void fill(nn::ParamStore& params, const spec::ModelConfig& model) {
    nn::init_params(params, model, 5);
    for (nn::Param& param : params.params()) {
      const bool symmetric =
          param.spec.init == plan::ParamInit::ones || param.spec.init == plan::ParamInit::zeros;
      const Philox random(6, RngPurpose::test, name_hash(param.spec.name));
      for (std::int64_t i = 0; symmetric && i < param.value.num_elements(); ++i) {
        param.value.data<float>()[i] +=
            0.4F * (random.uniform(0, static_cast<std::uint64_t>(i)) - 0.5F);
      }
    }
  }

  // A checkpoint of the model as train would save it.
  Result<fs::path> save(const std::string& name,
                        const spec::ModelConfig& model,
                        nn::ParamStore& params) const {
    spec::RunSpec spec;
    spec.model = model;
    std::vector<checkpoint::TensorSource> tensors;
    for (const nn::Param& param : params.params()) {
      tensors.push_back({{.name = param.spec.name,
                          .role = "weight",
                          .dtype = DType::f32,
                          .shape = param.value.shape()},
                         param.value.view().data});
    }
    const nlohmann::json state = {{"spec", spec::to_yaml(spec)}};
    return checkpoint::save(posix_vfs(), dir_ / "ckpt" / name, {.step = 3, .json = state.dump()},
                            tensors);
  }

  static void write_logits(nn::Model& model, const fs::path& path) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < kTokens; ++i)
      tokens.push_back((7 * i * i + 3) % model.config().vocab_size);
    nn::KvCache cache = model.make_cache(kTokens);
    const Tensor logits = model.decode(tokens, cache);
    const auto written = checkpoint::write_safetensors(
        posix_vfs(), path,
        {{.name = "logits", .dtype = "F32", .shape = {1, kTokens, model.config().vocab_size}},
         {.name = "tokens", .dtype = "I32", .shape = {1, kTokens}}},
        {}, [&](const checkpoint::SafetensorsEntry& entry) -> Result<std::span<const std::byte>> {
          if (entry.name == "tokens") return std::as_bytes(std::span(tokens));
          return std::as_bytes(std::span(logits.data<const float>(),
                                         static_cast<std::size_t>(logits.num_elements())));
        });
    ASSERT_TRUE(written) << written.error().message;
  }

  // Exports a random model of this family, once more with stacked experts if it has any, and
  // writes its logits beside; returns the directories.
  std::vector<fs::path> export_model(const std::string& name) const {
    std::ifstream file(golden() / name / "config.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    spec::ModelConfig config = spec::parse_hugging_face_config(text).model;
    config.init_std = 0.2;  // so that a mistake anywhere moves the logits
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    nn::ParamStore params(*backend, plan::make_param_table(config), {.gradients = false});
    fill(params, config);
    nn::Model model(config, params);
    const auto reader = checkpoint::Reader::open(posix_vfs(), save(name, config, params).value());
    std::vector<fs::path> directories;
    for (const bool fused : {false, true}) {
      if (fused && config.num_experts == 0) continue;
      const fs::path out = dir_ / (fused ? name + "_fused" : name);
      const Result<Converted> exported =
          export_hugging_face(posix_vfs(), *reader, out, {.fused_experts = fused});
      EXPECT_TRUE(exported) << name << ": " << exported.error().message;
      write_logits(model, out / "logits.safetensors");
      directories.push_back(out);
    }
    return directories;
  }

  static fs::path golden() { return source() / "tests/golden/hugging_face"; }

  const tera::test::TempDir own_;
  const fs::path dir_ = own_.path();
};

TEST_F(TransformersExport, EveryFamilyLoadsAndGivesTheSameLogits) {
  const char* python = std::getenv("TERA_REFEREE_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "set TERA_REFEREE_PYTHON to a Python with transformers";
  std::string command = fmt::format(
      "'{}' '{}'", python, (source() / "tests/referee/hugging_face/check_export.py").string());
  for (const auto& family : fs::directory_iterator(golden())) {
    for (const fs::path& directory : export_model(family.path().filename().string()))
      command += fmt::format(" '{}'", directory.string());
  }
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace tera::infer
