// Model directories of transformers: what they hold, what is wrong with them, and that writing
// gives back the bytes that were read. The directories are those of tests/golden/hugging_face.
#include "core/checkpoint/hugging_face.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <numeric>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/checkpoint/element_convert.h"
#include "core/checkpoint/hugging_face_writer.h"
#include "core/spec/yaml.h"
#include "kernels/bf16.h"
#include "tests/core/checkpoint/sample_state.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

struct FileTensor {
  SafetensorsEntry entry;
  std::vector<std::byte> bytes;
};

class HuggingFace : public test::TempDirTest {
 protected:
  static fs::path golden(const std::string& family) {
    return fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/hugging_face" / family;
  }
  static std::string text_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // The tensors of a golden model, to be changed and written to dir_.
  static std::vector<FileTensor> tensors_of(const std::string& family) {
    const auto file = SafetensorsFile::open(posix_vfs(), golden(family) / "model.safetensors");
    std::vector<FileTensor> tensors;
    for (const SafetensorsEntry& entry : file->entries())
      tensors.push_back({entry, *file->read(entry)});
    return tensors;
  }
  void write(const std::string& config, const std::vector<FileTensor>& tensors) const {
    std::ofstream(dir_ / "config.json") << config;
    fs::remove(dir_ / "model.safetensors");
    std::vector<SafetensorsEntry> entries;
    for (const FileTensor& tensor : tensors)
      entries.push_back(tensor.entry);
    const Result<void> written = write_safetensors(
        posix_vfs(), dir_ / "model.safetensors", entries, {{"format", "pt"}},
        [&](const SafetensorsEntry& entry) -> Result<std::span<const std::byte>> {
          return std::span<const std::byte>(
              std::find_if(tensors.begin(), tensors.end(), [&](const FileTensor& tensor) {
                return tensor.entry.name == entry.name;
              })->bytes);
        });
    ASSERT_TRUE(written) << written.error().message;
  }
  static FileTensor& find(std::vector<FileTensor>& tensors, const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(),
                         [&](const FileTensor& tensor) { return tensor.entry.name == name; });
  }
  // What is wrong with the golden model after a change.
  std::string error_after(const std::string& family,
                          const std::function<void(std::vector<FileTensor>&)>& change) const {
    std::vector<FileTensor> tensors = tensors_of(family);
    change(tensors);
    write(text_of(golden(family) / "config.json"), tensors);
    const Result<HuggingFaceModel> model = HuggingFaceModel::open(posix_vfs(), dir_);
    if (!model) return model.error().message;
    for (const TensorInfo& info : model->tensors()) {
      if (const auto bytes = model->read(info); !bytes) return bytes.error().message;
    }
    return "accepted";
  }
  // deepseek_v3 with its last layer once more, as that of multi-token prediction.
  static std::vector<FileTensor> prediction_tensors() {
    std::vector<FileTensor> tensors = tensors_of("deepseek_v3");
    const auto add = [&tensors](const std::string& from, const std::string& name) {
      FileTensor tensor = find(tensors, from);
      tensor.entry.name = name;
      tensors.push_back(std::move(tensor));
    };
    const std::string last = "model.layers.1.";
    for (const FileTensor& tensor : tensors_of("deepseek_v3")) {
      if (tensor.entry.name.starts_with(last))
        add(tensor.entry.name, "model.layers.2." + tensor.entry.name.substr(last.size()));
    }
    for (const char* name : {"enorm", "hnorm", "shared_head.norm"})
      add("model.norm.weight", fmt::format("model.layers.2.{}.weight", name));
    add("model.embed_tokens.weight", "model.layers.2.embed_tokens.weight");
    add("lm_head.weight", "model.layers.2.shared_head.head.weight");
    add("model.embed_tokens.weight", "model.layers.2.eh_proj.weight");
    FileTensor& projection = tensors.back();  // [40, 16] becomes [16, 32]
    projection.entry.shape = {16, 32};
    projection.bytes.resize(16 * 32 * sizeof(float));
    return tensors;
  }
  static std::string prediction_config() {
    auto config = nlohmann::json::parse(text_of(golden("deepseek_v3") / "config.json"));
    config["num_nextn_predict_layers"] = 1;
    return config.dump();
  }
  void write_prediction() const { write(prediction_config(), prediction_tensors()); }
  static std::vector<float> floats(const std::vector<std::byte>& bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  // Every parameter as f32, by name.
  static std::map<std::string, std::vector<float>> params_of(const HuggingFaceModel& model) {
    std::map<std::string, std::vector<float>> params;
    for (TensorInfo info : model.tensors()) {
      info.dtype = DType::f32;
      const auto bytes = model.read(info);
      params[info.name] = bytes ? floats(*bytes) : std::vector<float>{};
    }
    return params;
  }
};

constexpr const char* kQuery = "model.layers.0.self_attn.q_proj.weight";

TEST_F(HuggingFace, NamesEveryProblemOfTheTensors) {
  EXPECT_EQ(error_after("llama", [](auto&) {}), "accepted");
  EXPECT_THAT(
      error_after("llama", [](auto& tensors) { find(tensors, kQuery).entry.name = "model.query"; }),
      testing::AllOf(HasSubstr("the weights are not those of the llama"),
                     HasSubstr("1 tensor is missing: model.layers.0.self_attn.q_proj"),
                     HasSubstr("1 tensor is not expected: model.query")));
  EXPECT_THAT(error_after("llama",
                          [](auto& tensors) {
                            std::swap(find(tensors, kQuery).entry.shape[0],
                                      find(tensors, kQuery).entry.shape[1]);
                          }),
              HasSubstr("q_proj.weight is [16, 32], expected [32, 16]"));
  EXPECT_THAT(
      error_after("llama", [](auto& tensors) { find(tensors, kQuery).entry.dtype = "I32"; }),
      HasSubstr("q_proj.weight is I32, expected a floating-point type"));
  EXPECT_THAT(error_after("llama", [](auto& tensors) { tensors.resize(2); }),
              HasSubstr("tensors are missing: "));
}

TEST_F(HuggingFace, NamesTheElementThatIsNotANumber) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    EXPECT_THAT(error_after("llama",
                            [&](auto& tensors) {
                              std::memcpy(find(tensors, kQuery).bytes.data() + 4 * (3 * 16 + 5),
                                          &bad, sizeof(bad));
                            }),
                HasSubstr("q_proj.weight[3, 5] is not a finite number"));
  }
}

TEST_F(HuggingFace, ATiedHeadMustBeTheEmbedding) {
  const auto add_head = [](std::vector<FileTensor>& tensors) {
    FileTensor head = find(tensors, "model.embed_tokens.weight");
    head.entry.name = "lm_head.weight";
    tensors.push_back(head);
  };
  EXPECT_EQ(error_after("llama", add_head), "accepted");
  EXPECT_THAT(error_after("llama",
                          [&](auto& tensors) {
                            add_head(tensors);
                            tensors.back().bytes[0] ^= std::byte{1};
                          }),
              HasSubstr("lm_head.weight differs from model.embed_tokens.weight"));
}

TEST_F(HuggingFace, DerivedTensorsAreIgnored) {
  EXPECT_EQ(error_after("llama",
                        [](auto& tensors) {
                          FileTensor extra = find(tensors, "model.norm.weight");
                          extra.entry.name = "model.layers.1.self_attn.rotary_emb.inv_freq";
                          tensors.push_back(extra);
                        }),
            "accepted");
}

TEST_F(HuggingFace, AMissingConfigurationIsNamed) {
  const Result<HuggingFaceModel> none = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("holds no config.json"));
  std::ofstream(dir_ / "config.json") << R"({"model_type": "gpt5"})";
  const Result<HuggingFaceModel> unknown = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("\"gpt5\" is not an architecture"));
  EXPECT_THAT(unknown.error().hint, HasSubstr("olmoe"));
}

// The published GPT-2 files lack the prefix; the library writes it.
TEST_F(HuggingFace, Gpt2WithAndWithoutPrefixIsTheSame) {
  std::vector<FileTensor> tensors = tensors_of("gpt2");
  for (FileTensor& tensor : tensors)
    tensor.entry.name.erase(0, std::string("transformer.").size());
  write(text_of(golden("gpt2") / "config.json"), tensors);
  const auto with = HuggingFaceModel::open(posix_vfs(), golden("gpt2"));
  const auto without = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_TRUE(with && without);
  EXPECT_EQ(params_of(*with), params_of(*without));
}

// f16 is widened exactly; bf16 stays bf16.
TEST_F(HuggingFace, NarrowElementsKeepTheirValues) {
  std::vector<FileTensor> tensors = tensors_of("qwen3");
  std::map<std::string, std::vector<float>> expected;
  for (FileTensor& tensor : tensors) {
    const std::vector<float> values = floats(tensor.bytes);
    tensor.entry.dtype = "BF16";
    tensor.bytes = convert_elements(tensor.bytes, DType::f32, DType::bf16);
  }
  write(text_of(golden("qwen3") / "config.json"), tensors);
  const auto full = HuggingFaceModel::open(posix_vfs(), golden("qwen3"));
  const auto narrow = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_TRUE(full && narrow);
  EXPECT_EQ(full->tensors()[0].dtype, DType::f32);
  EXPECT_EQ(narrow->tensors()[0].dtype, DType::bf16);
  auto rounded = params_of(*full);
  for (auto& [name, values] : rounded) {
    for (float& value : values)
      value = static_cast<float>(kernels::Bf16(value));
  }
  EXPECT_EQ(params_of(*narrow), rounded);
}

// Blocks of 128 x 128 in published files; 12 x 12 here, so that blocks are cut off at the edges.
TEST_F(HuggingFace, Fp8WeightsAreScaledByBlocks) {
  std::vector<FileTensor> tensors = tensors_of("llama");
  FileTensor& query = find(tensors, kQuery);  // [32, 16]
  query.entry.dtype = "F8_E4M3";
  query.bytes.assign(32 * 16, std::byte{0x38});  // 1
  query.bytes[31 * 16 + 15] = std::byte{0xB8};   // -1
  FileTensor scale{
      .entry = {.name = kQuery + std::string("_scale_inv"), .dtype = "F32", .shape = {3, 2}},
      .bytes = std::vector<std::byte>(6 * sizeof(float))};
  const std::vector<float> scales = {0.5F, 1.0F, 2.0F, 4.0F, 8.0F, 16.0F};
  std::memcpy(scale.bytes.data(), scales.data(), scale.bytes.size());
  tensors.push_back(scale);
  auto config = nlohmann::json::parse(text_of(golden("llama") / "config.json"));
  write(config.dump(), tensors);
  const auto undeclared = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_FALSE(undeclared);
  EXPECT_THAT(undeclared.error().message, HasSubstr("q_proj.weight is F8_E4M3, expected"));

  config["quantization_config"] = {
      {"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {12, 12}}};
  write(config.dump(), tensors);
  const auto model = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_TRUE(model) << model.error().message;
  const std::vector<float> qkv = params_of(*model).at("layers.0.attention.qkv.weight");
  EXPECT_EQ(qkv[0], 0.5F);
  EXPECT_EQ(qkv[12], 1.0F);
  EXPECT_EQ(qkv[12 * 16 + 11], 2.0F);
  EXPECT_EQ(qkv[23 * 16 + 15], 4.0F);
  EXPECT_EQ(qkv[24 * 16], 8.0F);
  EXPECT_EQ(qkv[31 * 16 + 15], -16.0F);

  tensors.pop_back();
  write(config.dump(), tensors);
  const auto unscaled = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_FALSE(unscaled);
  EXPECT_THAT(unscaled.error().message, HasSubstr("q_proj.weight_scale_inv"));
}

// The first layer's experts in one tensor, as the library holds them in memory: [4, 16, 16].
TEST_F(HuggingFace, StackedExpertsInFp8HaveScalesOfTheirOwn) {
  const std::string stacked = "model.layers.0.mlp.experts.gate_up_proj";
  std::vector<FileTensor> tensors = tensors_of("olmoe");
  std::erase_if(tensors, [](const FileTensor& tensor) {
    return tensor.entry.name.starts_with("model.layers.0.mlp.experts.") &&
           !tensor.entry.name.ends_with("down_proj.weight");
  });
  tensors.push_back({.entry = {.name = stacked, .dtype = "F8_E4M3", .shape = {4, 16, 16}},
                     .bytes = std::vector<std::byte>(4 * 16 * 16, std::byte{0x38})});  // ones
  const auto write_with = [&](int block, const std::vector<std::int64_t>& shape) {
    std::vector<float> scales(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
    std::iota(scales.begin(), scales.end(), 1.0F);
    FileTensor scale{.entry = {.name = stacked + "_scale_inv", .dtype = "F32", .shape = shape},
                     .bytes = std::vector<std::byte>(scales.size() * sizeof(float))};
    std::memcpy(scale.bytes.data(), scales.data(), scale.bytes.size());
    std::vector<FileTensor> all = tensors;
    all.push_back(scale);
    auto config = nlohmann::json::parse(text_of(golden("olmoe") / "config.json"));
    config["quantization_config"] = {{"quant_method", "fp8"},
                                     {"weight_block_size", {block, block}}};
    write(config.dump(), all);
    return HuggingFaceModel::open(posix_vfs(), dir_);
  };
  const auto model = write_with(12, {4, 2, 2});
  ASSERT_TRUE(model) << model.error().message;
  const std::vector<float> experts = params_of(*model).at("layers.0.moe.experts.in.weight");
  ASSERT_EQ(experts.size(), 4U * 16 * 16);
  for (std::size_t i = 0; i < experts.size(); ++i) {
    const std::size_t block = i / 256 * 4 + i % 256 / 16 / 12 * 2 + i % 16 / 12;
    ASSERT_EQ(experts[i], static_cast<float>(block + 1)) << i;
  }
  const auto shared = write_with(16, {1, 1, 1});  // one scale for all experts
  ASSERT_FALSE(shared);
  EXPECT_THAT(shared.error().message,
              HasSubstr("gate_up_proj_scale_inv is [1, 1, 1], expected [4, 1, 1]"));
}

// 2e9 tensors: their names alone would fill the memory.
TEST_F(HuggingFace, AConfigurationOfFarMoreTensorsThanTheFilesHoldIsRefused) {
  auto config = nlohmann::json::parse(text_of(golden("olmoe") / "config.json"));
  config["num_hidden_layers"] = 10000;
  config["num_experts"] = 65536;
  write(config.dump(), tensors_of("olmoe"));
  const auto model = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message,
              testing::AllOf(HasSubstr("the weights are not those of the olmoe"),
                             HasSubstr("at least "), HasSubstr("tensors are missing: ")));
}

TEST(ElementConvert, F16AndFp8AreReadExactly) {
  const std::vector<std::uint16_t> halves = {0x3C00, 0xC000, 0x0001, 0x03FF,
                                             0x7BFF, 0x8000, 0x7C00};
  const auto wide = convert_elements(std::as_bytes(std::span(halves)), DType::f16, DType::f32);
  std::vector<float> values(halves.size());
  std::memcpy(values.data(), wide.data(), wide.size());
  EXPECT_EQ(values,
            (std::vector<float>{1.0F, -2.0F, std::ldexp(1.0F, -24), std::ldexp(1023.0F, -24),
                                65504.0F, -0.0F, std::numeric_limits<float>::infinity()}));
  // Largest value 448, smallest 2^-9. Source: Micikevicius et al. 2022, table 1.
  const std::vector<std::uint8_t> eighths = {0x38, 0x7E, 0x01, 0xB8, 0x00, 0x08};
  const auto from8 =
      convert_elements(std::as_bytes(std::span(eighths)), DType::fp8_e4m3, DType::f32);
  values.resize(eighths.size());
  std::memcpy(values.data(), from8.data(), from8.size());
  EXPECT_EQ(values, (std::vector<float>{1.0F, 448.0F, std::ldexp(1.0F, -9), -1.0F, 0.0F,
                                        std::ldexp(1.0F, -6)}));
  const std::vector<std::uint8_t> nan = {0x00, 0xFF};
  const auto bad = convert_elements(std::as_bytes(std::span(nan)), DType::fp8_e4m3, DType::bf16);
  EXPECT_EQ(first_not_finite(bad, DType::bf16), 1);
}

TEST(ElementConvert, ScalesGoByBlocks) {
  std::vector<float> matrix(3 * 5, 1.0F);
  const std::vector<float> scales = {1, 2, 3, 4, 5, 6};  // [2, 3] of blocks of 2 x 2
  scale_blocks(matrix, std::vector<std::int64_t>{3, 5}, scales, 2);
  EXPECT_EQ(matrix, (std::vector<float>{1, 1, 2, 2, 3, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6}));
  EXPECT_EQ(block_scales_shape({3, 5}, 2), (std::vector<std::int64_t>{2, 3}));
}

// Blocks do not reach from one expert into the next.
TEST(ElementConvert, EachMatrixHasItsOwnScales) {
  const std::vector<std::int64_t> shape = {2, 3, 2};
  EXPECT_EQ(block_scales_shape(shape, 2), (std::vector<std::int64_t>{2, 2, 1}));
  std::vector<float> stacked(2 * 3 * 2, 1.0F);
  scale_blocks(stacked, shape, std::vector<float>{1, 2, 3, 4}, 2);
  EXPECT_EQ(stacked, (std::vector<float>{1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4}));
  EXPECT_THROW(scale_blocks(stacked, shape, std::vector<float>{1, 2, 3}, 2), ContractError);
}

// The published files of DeepSeek-V3 hold a layer of multi-token prediction behind the others.
TEST_F(HuggingFace, LayersOfPredictionShareEmbeddingAndHead) {
  write_prediction();
  const auto model = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->config().model.num_mtp_layers, 1);
  EXPECT_TRUE(params_of(*model).contains("layers.2.mtp.proj.weight"));

  std::vector<FileTensor> tensors = tensors_of("deepseek_v3");
  write(prediction_config(), tensors);
  const auto without = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_EQ(without->config().model.num_mtp_layers, 0);
  ASSERT_EQ(without->notes().size(), 1U);
  EXPECT_THAT(without->notes()[0].message, HasSubstr("the files hold no model.layers.2."));

  tensors = prediction_tensors();
  find(tensors, "model.layers.2.shared_head.head.weight").bytes[0] ^= std::byte{1};
  write(prediction_config(), tensors);
  const auto own = HuggingFaceModel::open(posix_vfs(), dir_);
  ASSERT_FALSE(own);
  EXPECT_THAT(own.error().message,
              HasSubstr("shared_head.head.weight differs from lm_head.weight"));
}

// Reading a directory into a checkpoint and writing it again gives the library's own file.
class HuggingFaceRoundTrip : public HuggingFace, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(All,
                         HuggingFaceRoundTrip,
                         testing::Values("gpt2",
                                         "gpt_neox",
                                         "llama",
                                         "llama_bias_yarn",
                                         "mistral",
                                         "mixtral",
                                         "qwen2",
                                         "qwen2_moe",
                                         "qwen3",
                                         "qwen3_moe",
                                         "olmo2",
                                         "olmoe",
                                         "deepseek_v2",
                                         "deepseek_v3",
                                         "grok_1",
                                         "prediction"),
                         [](const auto& family) { return std::string(family.param); });

TEST_P(HuggingFaceRoundTrip, GivesTheSameBytes) {
  const bool prediction = std::string(GetParam()) == "prediction";
  if (prediction) write_prediction();
  const fs::path source = prediction ? dir_ : golden(GetParam());
  const auto model = HuggingFaceModel::open(posix_vfs(), source);
  ASSERT_TRUE(model) << model.error().message;
  std::vector<std::byte> bytes;
  const auto saved = save(posix_vfs(), dir_ / "ckpt", {.step = 0, .json = "{}"}, model->tensors(),
                          [&](const TensorInfo& info) -> Result<std::span<const std::byte>> {
                            TERA_TRY(bytes, model->read(info));
                            return std::span<const std::byte>(bytes);
                          });
  ASSERT_TRUE(saved) << saved.error().message;
  const auto reader = Reader::open(posix_vfs(), *saved);
  ASSERT_TRUE(reader) << reader.error().message;
  const auto config =
      spec::export_hugging_face(model->config().model, {.source_config = model->config_text()});
  ASSERT_TRUE(config) << config.error().message;
  fs::create_directory(dir_ / "out");
  const Result<void> written = write_hugging_face(posix_vfs(), dir_ / "out", *reader, *config, {});
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(text_of(dir_ / "out" / "model.safetensors"), text_of(source / "model.safetensors"));

  // Shards and stacked experts hold the same model.
  fs::create_directory(dir_ / "shards");
  const Result<void> sharded = write_hugging_face(posix_vfs(), dir_ / "shards", *reader, *config,
                                                  {.fused_experts = true, .max_shard_bytes = 9000});
  ASSERT_TRUE(sharded) << sharded.error().message;
  EXPECT_TRUE(fs::exists(dir_ / "shards" / "model.safetensors.index.json"));
  EXPECT_FALSE(fs::exists(dir_ / "shards" / "model.safetensors"));
  const auto again = HuggingFaceModel::open(posix_vfs(), dir_ / "shards");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(params_of(*again), params_of(*model));
}

}  // namespace
}  // namespace tera::checkpoint
