#include "core/plan/published_families.h"

namespace tera::plan {
namespace {

// Earlier lines win. Words: GPT-2's 50,257 for GPT of the Megatron papers; 32,000 of the
// SentencePiece model in the scripts of Qi et al. 2023; Llama 2's config.json; BLOOM's tokenizer
// (BigScience 2022: 250,680); nanotron's 131,072 follows from its model sizes, its 1.34 B and its
// tied embeddings from scripts/scaling_benchmarks.py.
// Heads: BigScience 2022, chronicles-prequel.md, "Final round comparison": all NHEADS=64 (above
// too). Sequences: Touvron et al. 2023, Llama 2; Hugging Face 2025, Ultra-Scale Playbook (256
// sequences are 1 M tokens).
constexpr PublishedFamily kFamilies[] = {
    {.prefix = "GPT OSS", .preset = {}, .not_modelled = "attention windows of every other layer"},
    {.prefix = "Nemotron_3", .preset = {}, .not_modelled = "state-space layers"},
    {.prefix = "DeepSeekV4", .preset = {}, .not_modelled = "sparse attention"},
    {.prefix = "GPT 175B (MegaScale)",
     .preset = "gpt2-124m",
     .change = FamilyChange::parallel_block,
     .words = 50257},
    {.prefix = "GPT", .preset = "gpt2-124m", .words = 32000, .group = "ZB"},
    {.prefix = "GPT", .preset = "gpt2-124m", .words = 50257},
    {.prefix = "BLOOM-proto", .preset = "gpt2-124m", .words = 250680, .usual_heads = 64},
    {.prefix = "MPT-", .preset = "gpt2-124m", .change = FamilyChange::no_biases},
    {.prefix = "Llama4 Maverick", .preset = "llama-4-maverick", .has_dims = true},
    {.prefix = "Llama2 34B", .preset = "code-llama-34b", .seq_length = 4096, .has_dims = true},
    {.prefix = "Llama-like 1.34B",
     .preset = "llama-3.1-8b",
     .change = FamilyChange::tied_if_narrow,
     .words = 131072,
     .seq_length = 4096,
     .dims = {.layers = 16, .hidden = 2048, .heads = 32, .ffn = 8192}},
    {.prefix = "Llama-like",
     .preset = "llama-3.1-8b",
     .change = FamilyChange::tied_if_narrow,
     .words = 131072,
     .seq_length = 4096},
    {.prefix = "Llama2",
     .preset = "llama-3.1-8b",
     .words = 32000,
     .seq_length = 4096,
     .has_dense_attention = false},
    {.prefix = "Llama", .preset = "llama-3.1-8b", .has_dense_attention = false},
    {.prefix = "llama", .preset = "llama-3.1-8b", .has_dense_attention = false},
    {.prefix = "LLAMA", .preset = "llama-3.1-8b", .has_dense_attention = false},
    {.prefix = "LLaMA", .preset = "llama-3.1-8b", .words = 32000},
    {.prefix = "Nemotron", .preset = "llama-3.1-8b", .change = FamilyChange::squared_relu},
    {.prefix = "Qwen3", .preset = "qwen3-235b-a22b", .has_dense_attention = false},
    {.prefix = "qwen3", .preset = "qwen3-235b-a22b", .has_dense_attention = false},
    {.prefix = "DeepSeekV3 (w/o MTP)",
     .preset = "deepseek-v3",
     .change = FamilyChange::no_prediction},
    {.prefix = "DeepSeekV3 (w/ MTP)", .preset = "deepseek-v3"},
    {.prefix = "deepseekv3 (4 layers)",
     .preset = "deepseek-v3",
     .change = FamilyChange::no_prediction},
    {.prefix = "DeepSeek-V3", .preset = "deepseek-v3", .change = FamilyChange::maybe_prediction},
    {.prefix = "DeepSeekV3", .preset = "deepseek-v3", .change = FamilyChange::maybe_prediction},
    {.prefix = "deepseek-v3", .preset = "deepseek-v3", .change = FamilyChange::maybe_prediction},
};

}  // namespace

std::span<const PublishedFamily> families() {
  return kFamilies;
}

const PublishedFamily* family_of(std::string_view model, std::string_view group) {
  for (const PublishedFamily& family : kFamilies) {
    if (!family.group.empty() && family.group != group) continue;
    if (model.substr(0, family.prefix.size()) == family.prefix) return &family;
  }
  return nullptr;
}

}  // namespace tera::plan
