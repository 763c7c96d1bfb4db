// What the engine keeps and allocates is what the planner says, name by name and byte by byte.
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "core/plan/stash_table.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {
namespace {

std::string entry_text(const std::vector<std::int64_t>& shape, DType dtype) {
  return fmt::format("{} [{}]", dtype_name(dtype), fmt::join(shape, ", "));
}

std::map<std::string, std::string> planned_entries(const spec::RunSpec& spec) {
  std::map<std::string, std::string> entries;
  for (const plan::StashEntry& entry :
       plan::make_stash_table(spec, 0, spec.model.num_layers, true)) {
    entries[entry.name] = entry_text(entry.shape, entry.dtype);
  }
  return entries;
}

std::map<std::string, std::string> kept_entries(const Stash& stash) {
  std::map<std::string, std::string> entries;
  for (const auto& [name, tensor] : stash.entries())
    entries[name] = entry_text(tensor.shape(), tensor.dtype());
  return entries;
}

struct Case {
  NamedConfig named;
  spec::Precision precision;
  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << c.named.name << (c.precision == spec::Precision::bf16 ? "_bf16" : "_fp32");
  }
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const NamedConfig& named : all_and_training_configs()) {
    cases.push_back({named, spec::Precision::fp32});
    cases.push_back({named, spec::Precision::bf16});
  }
  return cases;
}

class PlannedMemory : public testing::TestWithParam<Case> {};

TEST_P(PlannedMemory, EqualsWhatIsKeptAndAllocated) {
  spec::RunSpec spec;
  spec.model = GetParam().named.config;
  spec.layout.micro_batch_size = 3;
  spec.training.seq_length = 5;
  spec.training.global_batch_size = 3;
  spec.training.precision = GetParam().precision;

  TinyModel tiny(spec.model, plan::compute_dtype(spec.training.precision));
  const Batch batch = random_batch(*tiny.backend, 3, 5, spec.model.vocab_size, 5);
  Stash stash(*tiny.backend);
  Pass pass{.batch = batch, .stash = stash, .loss_scale = 0.1, .training = TrainingPlace{}};
  tiny.backend->reset_peaks();
  tiny.model.forward(pass, true);
  EXPECT_EQ(kept_entries(stash), planned_entries(spec));
  tiny.model.backward(pass);
  EXPECT_TRUE(stash.entries().empty());

  const plan::EngineBytes planned = plan::engine_bytes(spec);
  const auto counter = [&](MemoryKind kind) { return tiny.backend->counter(kind); };
  EXPECT_EQ(counter(MemoryKind::activations).peak_bytes, planned.activations);
  EXPECT_EQ(counter(MemoryKind::activations).live_bytes, 0);
  EXPECT_EQ(counter(MemoryKind::weights).peak_bytes, planned.weights);
  EXPECT_EQ(counter(MemoryKind::gradients).peak_bytes, planned.gradients);
}

// A tensor of two names once, by the last of them.
std::set<std::string> names_of(const Stash& stash) {
  std::set<const void*> seen;
  std::set<std::string> names;
  const auto& entries = stash.entries();
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (seen.insert(entry->second.data<std::byte>()).second) names.insert(entry->first);
  }
  return names;
}

TEST_P(PlannedMemory, EqualsWhatWaitsBetweenTheHalvesOfBackward) {
  spec::RunSpec spec;
  spec.model = GetParam().named.config;
  spec.layout.micro_batch_size = 3;
  spec.training.seq_length = 5;
  spec.training.global_batch_size = 3;
  spec.training.precision = GetParam().precision;
  for (const auto recompute :
       {spec::RecomputeKind::none, spec::RecomputeKind::selective, spec::RecomputeKind::full}) {
    spec.layout.recompute = recompute;
    TinyModel tiny(spec.model, plan::compute_dtype(spec.training.precision));
    const Batch batch = random_batch(*tiny.backend, 3, 5, spec.model.vocab_size, 5);
    Stash stash(*tiny.backend);
    Pass pass{.batch = batch,
              .stash = stash,
              .loss_scale = 0.1,
              .training = TrainingPlace{},
              .recompute = recompute};
    tiny.model.chunk().forward({}, pass, true);
    tiny.model.chunk().backward_input({}, pass);
    std::set<std::string> planned;
    std::int64_t bytes = 0;
    for (const plan::StashEntry& entry :
         plan::make_waiting_table(spec, 0, spec.model.num_layers, true)) {
      planned.insert(entry.name);
      bytes += entry.num_bytes();
    }
    EXPECT_EQ(names_of(stash), planned);
    EXPECT_EQ(tiny.backend->counter(MemoryKind::activations).live_bytes, bytes);
    tiny.model.chunk().backward_weight(pass);
    EXPECT_EQ(tiny.backend->counter(MemoryKind::activations).live_bytes, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         PlannedMemory,
                         testing::ValuesIn(all_cases()),
                         testing::PrintToStringParamName());

// Shapes without common factors, so that no two dims can be mistaken for each other.
TEST(PlannedMemoryOfRandomShapes, Equals) {
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    const auto pick = [seed](std::uint64_t i, int low, int high) {
      return low + static_cast<int>(hash_at(seed, i) % static_cast<std::uint64_t>(high - low + 1));
    };
    spec::RunSpec spec;
    spec::ModelConfig& m = spec.model;
    const std::vector<NamedConfig> configs = all_and_training_configs();
    m = configs[seed % configs.size()].config;
    m.num_layers = pick(0, 1, 3);
    m.hidden_size = pick(1, 3, 23);
    m.num_key_value_heads = pick(2, 1, 3);
    m.num_attention_heads = m.num_key_value_heads * pick(3, 1, 3);
    m.head_dim = 2 * pick(4, 1, 5);
    m.vocab_size = pick(5, 8, 40);
    m.ffn_hidden_size = pick(6, 3, 19);
    m.moe_ffn_hidden_size = pick(7, 3, 9);
    m.num_dense_layers = m.num_experts > 0 ? pick(8, 0, m.num_layers) : 0;
    spec.layout.micro_batch_size = pick(9, 1, 3);
    spec.training.seq_length = pick(10, 1, 9);
    spec.training.global_batch_size = spec.layout.micro_batch_size;

    TinyModel tiny(m, DType::f32);
    const Batch batch = random_batch(*tiny.backend, spec.layout.micro_batch_size,
                                     spec.training.seq_length, m.vocab_size, seed);
    Stash stash(*tiny.backend);
    Pass pass{.batch = batch, .stash = stash, .loss_scale = 0.1, .training = TrainingPlace{}};
    tiny.backend->reset_peaks();
    tiny.model.forward(pass, true);
    EXPECT_EQ(kept_entries(stash), planned_entries(spec)) << "seed " << seed;
    tiny.model.backward(pass);
    EXPECT_EQ(tiny.backend->counter(MemoryKind::activations).peak_bytes,
              plan::engine_bytes(spec).activations)
        << "seed " << seed;
  }
}

}  // namespace
}  // namespace tera::nn::test
