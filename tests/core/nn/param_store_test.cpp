#include "core/nn/param_store.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "kernels/bf16.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {
namespace {

struct Store {
  explicit Store(const spec::ModelConfig& config, ParamStoreOptions options = {}, int threads = 1)
      : pool(threads),
        backend(make_cpu_backend(pool, CpuOps::reference)),
        params(*backend, plan::make_param_table(config), options) {}
  ThreadPool pool;
  std::unique_ptr<Backend> backend;
  ParamStore params;
};

double standard_deviation(const Tensor& tensor) {
  double sum = 0;
  double squares = 0;
  const auto n = static_cast<double>(tensor.num_elements());
  for (std::int64_t i = 0; i < tensor.num_elements(); ++i) {
    sum += value_at(tensor, i);
    squares += value_at(tensor, i) * value_at(tensor, i);
  }
  return std::sqrt(squares / n - sum / n * (sum / n));
}

TEST(ParamStore, HoldsTheTableInOrderAndItsBytes) {
  const spec::ModelConfig config = sigmoid_moe_config();
  Store store(config, {.compute = DType::bf16});
  const plan::ParamTable table = plan::make_param_table(config);
  ASSERT_EQ(store.params.params().size(), table.size());
  store.params.settle_grads();
  std::int64_t weights = 0;
  std::int64_t gradients = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const Param& param = store.params.params()[i];
    EXPECT_EQ(param.spec.name, table[i].name);
    EXPECT_EQ(param.value.shape(), table[i].shape);
    EXPECT_EQ(param.value.dtype(), plan::weight_dtype(table[i], spec::Precision::bf16))
        << table[i].name;
    EXPECT_EQ(param.trained, table[i].trainable) << table[i].name;
    weights += param.value.num_bytes();
    if (param.trained) {
      EXPECT_EQ(param.grad.dtype(), DType::f32);
      gradients += param.grad.num_bytes();
    }
  }
  EXPECT_EQ(store.backend->counter(MemoryKind::weights).live_bytes, weights);
  EXPECT_EQ(store.backend->counter(MemoryKind::gradients).live_bytes, gradients);
}

TEST(ParamStore, FindsByNameAndNamesTheUnknown) {
  Store store(llama_config());
  EXPECT_TRUE(store.params.has("layers.1.ffn.out.weight"));
  EXPECT_FALSE(store.params.has("layers.2.ffn.out.weight"));
  EXPECT_EQ(store.params.get("final_norm.weight").spec.name, "final_norm.weight");
  try {
    store.params.get("layers.2.ffn.out.weight");
    FAIL() << "no error";
  } catch (const ContractError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("'layers.2.ffn.out.weight'"));
  }
}

TEST(ParamStore, WithoutGradientsForInference) {
  Store store(llama_config(), {.gradients = false});
  EXPECT_FALSE(store.params.has_gradients());
  EXPECT_EQ(store.backend->counter(MemoryKind::gradients).peak_bytes, 0);
  store.params.zero_grads();  // nothing to do, and no harm
}

TEST(ParamStore, AGradientExistsFromWhatIsAddedFirst) {
  Store store(llama_config());
  Param& matrix = store.params.get("layers.0.ffn.out.weight");
  Param& norm = store.params.get("final_norm.weight");
  const auto live = [&] { return store.backend->counter(MemoryKind::gradients).live_bytes; };
  EXPECT_EQ(live(), 0);
  EXPECT_EQ(norm.gradient().data<float>()[0], 0.0F);
  EXPECT_EQ(live(), norm.value.num_bytes());
  norm.gradient().data<float>()[0] = 7.0F;
  EXPECT_EQ(norm.gradient().data<float>()[0], 7.0F) << "zeroed once";
  EXPECT_FALSE(matrix.product_target().accumulate);
  EXPECT_TRUE(matrix.product_target().accumulate);
  store.params.zero_grads();
  EXPECT_EQ(live(), 0);
  EXPECT_EQ(norm.gradient().data<float>()[0], 0.0F);
}

TEST(ParamStore, SettledGradientsAreZeroWhereNothingWasAdded) {
  Store store(sigmoid_moe_config());
  Param& norm = store.params.get("final_norm.weight");
  norm.gradient().data<float>()[0] = 7.0F;
  store.params.settle_grads();
  for (const Param& param : store.params.params()) {
    ASSERT_EQ(param.grad.present(), param.trained) << param.spec.name;
    if (!param.trained) continue;
    EXPECT_EQ(param.grad.data<float>()[0], &param == &norm ? 7.0F : 0.0F) << param.spec.name;
  }
}

TEST(ParamStore, NoGradientOfWhatIsNotTrained) {
  Store store(llama_config(), {.gradients = false});
  EXPECT_THROW(store.params.params().front().gradient(), ContractError);
}

TEST(InitParams, FollowsTheTable) {
  spec::ModelConfig config = gpt2_config();
  config.hidden_size = 64;
  config.ffn_hidden_size = 128;
  config.num_layers = 8;
  config.init_std = 0.02;
  Store store(config);
  init_params(store.params, config, 1);
  EXPECT_EQ(value_at(store.params.get("final_norm.weight").value, 5), 1.0);
  EXPECT_EQ(value_at(store.params.get("layers.7.attention.qkv.bias").value, 5), 0.0);
  // n normal values: the standard deviation is known to about 1 / sqrt(2 n) of itself.
  const Tensor& in = store.params.get("layers.3.ffn.in.weight").value;
  EXPECT_NEAR(standard_deviation(in), 0.02,
              5 * 0.02 / std::sqrt(2.0 * static_cast<double>(in.num_elements())));
  const Tensor& out = store.params.get("layers.3.ffn.out.weight").value;
  EXPECT_NEAR(standard_deviation(out), 0.02 / 4,
              5 * 0.005 / std::sqrt(2.0 * static_cast<double>(out.num_elements())));
  const Tensor& other = store.params.get("layers.4.ffn.in.weight").value;
  EXPECT_NE(value_at(in, 0), value_at(other, 0)) << "tensors must not share their numbers";
}

TEST(InitParams, EqualForEveryPrecisionAndThreadCount) {
  spec::ModelConfig config = moe_config();
  config.vocab_size = 7001;  // several blocks of work in one tensor
  config.hidden_size = 37;   // and an odd number of elements
  Store f32(config);
  Store f32_threads(config, {}, 3);
  Store bf16(config, {.compute = DType::bf16});
  Store f64(config, {.compute = DType::f64});
  for (Store* store : {&f32, &f32_threads, &bf16, &f64})
    init_params(store->params, config, 42);
  for (const Param& param : f32.params.params()) {
    const Tensor& a = param.value;
    EXPECT_EQ(std::memcmp(a.view().data, f32_threads.params.get(param.spec.name).value.view().data,
                          static_cast<std::size_t>(a.num_bytes())),
              0)
        << param.spec.name;
    const Tensor& b = bf16.params.get(param.spec.name).value;
    const Tensor& c = f64.params.get(param.spec.name).value;
    for (std::int64_t i = 0; i < a.num_elements(); ++i) {
      const float value = a.data<float>()[i];
      ASSERT_EQ(c.data<double>()[i], static_cast<double>(value)) << param.spec.name;
      const float rounded = b.dtype() == DType::bf16
                                ? static_cast<float>(b.data<kernels::Bf16>()[i])
                                : b.data<float>()[i];
      const float expected =
          b.dtype() == DType::bf16 ? static_cast<float>(kernels::Bf16(value)) : value;
      ASSERT_EQ(rounded, expected) << param.spec.name;
    }
  }
}

// The definition, also across the blocks that threads share out.
TEST(InitParams, ElementIsAFunctionOfSeedNameAndIndex) {
  spec::ModelConfig config = llama_config();
  config.vocab_size = 12001;
  config.init_std = 0.02;
  Store store(config);
  init_params(store.params, config, 42);
  const Tensor& head = store.params.get("head.weight").value;  // 144,012 elements
  const Philox random(42, RngPurpose::init, name_hash("head.weight"));
  for (const std::int64_t i : {0, 1, 65535, 65536, 65537, 131072, 144011}) {
    const auto pair = random.normal2(0, static_cast<std::uint64_t>(i / 2));
    EXPECT_EQ(head.data<float>()[i],
              static_cast<float>(0.02 * pair[static_cast<std::size_t>(i % 2)]))
        << i;
  }
}

TEST(InitParams, DependsOnTheSeed) {
  Store a(llama_config());
  Store b(llama_config());
  init_params(a.params, llama_config(), 1);
  init_params(b.params, llama_config(), 2);
  EXPECT_NE(value_at(a.params.get("head.weight").value, 0),
            value_at(b.params.get("head.weight").value, 0));
}

// Whatever the layout, the parts that ranks start from are those of the one model.
TEST(ParamStore, PartsOfAllRanksAreTheWhole) {
  spec::RunSpec spec;
  spec.model = moe_config();
  spec.model.num_attention_heads = 4;
  spec.model.num_key_value_heads = 1;  // one head on all ranks
  spec.model.head_dim = 3;
  spec.model.num_experts = 6;
  spec.model.vocab_size = 35;  // padded
  spec.model.tie_embeddings = true;
  spec.layout.tensor_parallel_size = 2;
  spec.layout.data_parallel_size = 2;
  spec.layout.pipeline_parallel_size = 2;
  spec.layout.expert_parallel_size = 2;
  spec.layout.expert_tensor_parallel_size = 2;
  const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
  for (const DType compute : {DType::f32, DType::bf16}) {
    Store whole(spec.model, {.compute = compute});
    init_params(whole.params, spec.model, 7);
    for (int rank = 0; rank < mesh.world_size(); ++rank) {
      ParamStore part(*whole.backend, plan::local_table(spec, mesh, rank), {.compute = compute});
      init_params(part, spec.model, 7);
      for (const Param& param : part.params()) {
        const Tensor& all = whole.params.get(param.spec.name).value;
        ASSERT_EQ(param.value.shape(), param.slice.shape);
        const std::int64_t width = dtype_bytes(all.dtype());
        std::int64_t elements = 0;
        param.slice.for_each(
            [&](std::int64_t global, std::int64_t local, std::int64_t count, bool /*first*/) {
              ASSERT_EQ(std::memcmp(param.value.data<char>() + local * width,
                                    all.data<char>() + global * width,
                                    static_cast<std::size_t>(count * width)),
                        0)
                  << param.spec.name << " on rank " << rank;
              elements += count;
            });
        if (param.spec.name != "embedding.tokens") {
          ASSERT_EQ(elements, param.value.num_elements());
        } else if (mesh.coordinate(rank, plan::Axis::tensor) == 1) {  // 17 of 18 rows
          ASSERT_EQ(param.value.num_elements() - elements, spec.model.hidden_size);
          const char* end = param.value.data<const char>() + param.value.num_bytes();
          ASSERT_EQ(std::count(end - spec.model.hidden_size * width, end, 0),
                    spec.model.hidden_size * width);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tera::nn::test
