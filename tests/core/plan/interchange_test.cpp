// Published configurations of other projects, tests/golden/interchange, and the runs of resources:
// each is read, written for every project that can have it, and read again. What is not listed as
// left out must be the same, and then so must the estimate, term by term.
#include "core/spec/interchange/interchange.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "core/spec/presets.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"

namespace tera::plan {
namespace {

namespace fs = std::filesystem;
using spec::ConfigFile;
using spec::ConfigFormat;
using spec::ExportedConfig;
using spec::ImportedConfig;
using spec::ImportOptions;
using spec::RunSpec;

std::vector<ConfigFile> published() {
  std::vector<ConfigFile> files;
  const fs::path folder = fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/interchange";
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".md") continue;
    std::ifstream stream(entry.path());
    files.push_back({entry.path().filename().string(),
                     {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()}});
  }
  std::sort(files.begin(), files.end(),
            [](const ConfigFile& a, const ConfigFile& b) { return a.name < b.name; });
  return files;
}

// GPUs of the runs whose files leave that to the launcher.
ImportOptions options_for(const std::string& name) {
  static const std::map<std::string, std::int64_t> kGpus = {
      {"cifar.json", 1},
      {"deepseek-v3-16b.toml", 64},
      {"deepseek-v3.toml", 512},
      {"gpt-neox-20b.yml", 96},
      {"gpt2-345m.sh", 1},
      {"gpt3-175b.sh", 128},
      {"llama-7b.yml", 8},
      {"llama3-405b.toml", 128},
      {"llama3-70b.toml", 64},
      {"llama3-8b.toml", 64},
      {"megatron-deepspeed-176b.json", 8},  // replicas: Megatron splits the model
      {"pythia-1.4b.yml", 64},
      {"pythia-12b.yml", 256},
      {"pythia-160m.yml", 32},
      {"pythia-2.8b.yml", 64},
      {"pythia-6.9b.yml", 128},
      {"zero-infinity.json", 16},
      {"zero2-offload.json", 16},
      {"zero3-nvme.json", 16},
      {"zero3-offload.json", 16}};
  ImportOptions options;
  options.onto.cluster = spec::cluster_preset("h100-ib")->cluster;
  options.onto.cluster.num_nodes = 1024;
  options.onto.model = spec::model_preset("llama-3.1-8b")->model;  // where the file has none
  options.onto.training.num_steps = 20000;                         // DeepSpeed's do not say it
  const auto gpus = kGpus.find(name);
  if (gpus != kGpus.end()) options.num_gpus = gpus->second;
  return options;
}

std::string problems(const ImportedConfig& imported) {
  std::string text;
  for (const spec::ImportFinding& found : imported.findings) {
    text += std::to_string(found.diagnostic.line) + ": " + found.diagnostic.field + ": " +
            found.diagnostic.message + "\n";
  }
  return text;
}

std::string listed(const ExportedConfig& exported) {
  std::string text;
  for (const spec::LeftOut& one : exported.left_out)
    text += one.name + " " + one.value + ": " + one.why + "\n";
  return text;
}

ImportedConfig read_back(ConfigFormat format, const ExportedConfig& text, const RunSpec& spec) {
  ImportOptions options;
  options.onto.cluster = spec.cluster;
  const bool model_stays =
      std::any_of(text.left_out.begin(), text.left_out.end(),
                  [](const spec::LeftOut& one) { return one.name == "model"; });
  if (model_stays) options.onto.model = spec.model;
  return spec::import_config(format, {{"written", text.text}}, options);
}

std::string shown(const Term& term, int depth = 0) {
  std::string text = fmt::format("{:{}}{} {} {}\n", "", depth, term.label, term.value, term.unit);
  for (const Term& child : term.children)
    text += shown(child, depth + 1);
  return text;
}

// Totals and all terms: memory of each stage by kind, time by kind, cost of the run.
std::string terms_of(const RunSpec& spec) {
  const Result<Estimate> found = estimate(spec);
  if (!found) return "no estimate: " + found.error().message;
  std::string text = fmt::format("{} parameters, {} B, {} on the host, {} on disks, {} s, {} h\n",
                                 found->params.total, found->worst_bytes, found->host_bytes,
                                 found->nvme_bytes, found->step_s, found->cost.device_hours);
  for (const StageMemory& stage : found->stages)
    text += fmt::format("stage {}, {} to {} B\n", stage.stage, stage.low_bytes, stage.high_bytes) +
            shown(stage.memory, 1);
  return text + shown(found->step_time) + shown(found->cost.terms);
}

// `back` with the fields that an export has listed as `spec` has them.
RunSpec with_listed(const ExportedConfig& exported, const RunSpec& spec, RunSpec back) {
  for (const spec::LeftOut& one : exported.left_out) {
    if (one.name == "model") continue;  // it stayed
    const Result<void> set =
        spec::set_field(back, one.name, spec::get_field(spec, one.name).value_or(""));
    EXPECT_TRUE(set) << one.name;
  }
  return back;
}

constexpr ConfigFormat kWholeRuns[] = {ConfigFormat::megatron, ConfigFormat::deepspeed,
                                       ConfigFormat::gpt_neox, ConfigFormat::torchtitan};

// Writes a spec for every project, reads it back, and compares. Returns how many were written.
int go_everywhere(const RunSpec& spec, const std::string& name) {
  int written_ways = 0;
  const std::string before = terms_of(spec);
  for (const ConfigFormat format : kWholeRuns) {
    const std::string way = name + " as " + std::string(enum_name(format));
    const Result<ExportedConfig> written = spec::export_config(spec, format);
    if (!written) {  // only where the model has no words there
      EXPECT_NE(written.error().message.find("cannot"), std::string::npos) << way;
      continue;
    }
    ++written_ways;
    const ImportedConfig back = read_back(format, *written, spec);
    EXPECT_TRUE(back.ok()) << way << ":\n" << problems(back) << written->text;
    EXPECT_EQ(terms_of(with_listed(*written, spec, back.spec)), before) << way << listed(*written);
    const Result<ExportedConfig> again = spec::export_config(back.spec, format);
    if (!again) {
      ADD_FAILURE() << way << ": " << again.error().message;
      continue;
    }
    for (const spec::LeftOut& one : again->left_out)
      EXPECT_EQ(one.name, "model") << way << ":\n" << listed(*again);
    const bool whole = std::all_of(written->left_out.begin(), written->left_out.end(),
                                   [](const spec::LeftOut& one) { return one.name == "model"; });
    if (whole) {
      EXPECT_EQ(again->text, written->text) << way;
    }
  }
  return written_ways;
}

TEST(Interchange, ThereAreTwentyPublishedConfigurationsInEveryFormat) {
  std::map<ConfigFormat, int> formats;
  for (const ConfigFile& file : published())
    ++formats[spec::guess_format(file)];
  EXPECT_EQ(formats.size(), 5U);
  for (const auto& [format, count] : formats)
    EXPECT_GE(count, 5) << enum_name(format);
  EXPECT_GE(published().size(), 20U);
}

TEST(Interchange, PublishedConfigurationsComeBackFromTheirOwnFormat) {
  for (const ConfigFile& file : published()) {
    const ConfigFormat format = spec::guess_format(file);
    if (format == ConfigFormat::hugging_face) continue;  // has a model only
    const ImportedConfig first = spec::import_config(format, {file}, options_for(file.name));
    ASSERT_TRUE(first.ok()) << file.name << ":\n" << problems(first);
    const Result<ExportedConfig> written = spec::export_config(first.spec, format);
    ASSERT_TRUE(written) << file.name << ": " << written.error().message;
    for (const spec::LeftOut& one : written->left_out)
      EXPECT_EQ(one.name, "model") << file.name << ":\n" << listed(*written);
    const ImportedConfig second = read_back(format, *written, first.spec);
    ASSERT_TRUE(second.ok()) << file.name << ":\n" << problems(second) << written->text;
    EXPECT_EQ(spec::to_yaml(second.spec), spec::to_yaml(first.spec)) << file.name;
    ASSERT_TRUE(estimate(first.spec)) << file.name << ": " << estimate(first.spec).error().message;
    EXPECT_EQ(terms_of(second.spec), terms_of(first.spec)) << file.name;
  }
}

// Through every importer and exporter: with the fields that are listed put back, each term of the
// estimate is what it was, so that nothing else was lost.
TEST(Interchange, WhatIsNotListedSurvivesEveryOtherFormat) {
  int ways = 0;
  for (const ConfigFile& file : published()) {
    const ImportedConfig first =
        spec::import_config(spec::guess_format(file), {file}, options_for(file.name));
    ASSERT_TRUE(first.ok()) << file.name << ":\n" << problems(first);
    if (has_errors(spec::validate(first.spec))) continue;
    ways += go_everywhere(first.spec, file.name);
  }
  EXPECT_GE(ways, 90);
}

TEST(Interchange, RunsOfResourcesSurviveEveryFormat) {
  int ways = 0;
  const fs::path folder = fs::path(std::getenv("TERA_SOURCE_DIR")) / "resources/runs";
  for (const auto& entry : fs::directory_iterator(folder)) {
    const spec::ParsedSpec run = spec::load_run_spec(entry.path());
    ASSERT_TRUE(run.ok()) << entry.path();
    if (run.spec.cluster.device.is_cpu) continue;
    ways += go_everywhere(run.spec, entry.path().filename().string());
  }
  EXPECT_GE(ways, 25);
}

TEST(Interchange, ModelsOfTransformersComeBack) {
  int read = 0;
  for (const ConfigFile& file : published()) {
    if (spec::guess_format(file) != ConfigFormat::hugging_face) continue;
    const ImportedConfig first =
        spec::import_config(ConfigFormat::hugging_face, {file}, options_for(file.name));
    ASSERT_TRUE(first.ok()) << file.name << ":\n" << problems(first);
    const Result<ExportedConfig> written =
        spec::export_config(first.spec, ConfigFormat::hugging_face);
    ASSERT_TRUE(written) << file.name << ": " << written.error().message;
    const ImportedConfig second = spec::import_config(
        ConfigFormat::hugging_face, {{"config.json", written->text}}, options_for(file.name));
    ASSERT_TRUE(estimate(first.spec)) << file.name;
    EXPECT_EQ(terms_of(first.spec), terms_of(second.spec)) << file.name;
    ++read;
  }
  EXPECT_GE(read, 5);
}

// The parameters that the authors publish, of models that are read from arguments alone.
TEST(Interchange, PublishedSizesComeOut) {
  const std::map<std::string, double> sizes = {
      {"gpt-7.5b.sh", 7.5e9},        {"gpt-39b.sh", 39.1e9},
      {"gpt-145b.sh", 145.6e9},      {"gpt-1t.sh", 1008e9},
      {"gpt-530b.sh", 529.6e9},      {"bloom-176b.sh", 176.2e9},
      {"mixtral-8x7b.sh", 46.7e9},   {"deepseek-v3.sh", 671e9},
      {"qwen3-30b-a3b.sh", 30.5e9},  {"qwen3-235b-a22b.sh", 235e9},
      {"llama-3-8b-fp8.sh", 8.03e9}, {"gpt-neox-20b.yml", 20.6e9},
      {"pythia-12b.yml", 11.85e9},   {"pythia-6.9b.yml", 6.86e9},
      {"llama3-405b.toml", 405.9e9}, {"deepseek-v3.toml", 671e9},
      {"gpt3-175b.sh", 175e9},       {"pythia-2.8b.yml", 2.775e9},
      {"llama-7b.yml", 6.74e9},      {"deepseek-v3-16b.toml", 15.7e9},
      {"deepseek-v3.json", 682e9},   {"gpt2.json", 124.4e6},
      {"qwen3-8b.json", 8.19e9}};
  std::size_t seen = 0;
  for (const ConfigFile& file : published()) {
    const auto size = sizes.find(file.name);
    if (size == sizes.end()) continue;
    ++seen;
    const ImportedConfig read =
        spec::import_config(spec::guess_format(file), {file}, options_for(file.name));
    ASSERT_TRUE(read.ok()) << file.name << ":\n" << problems(read);
    const auto total = static_cast<double>(count_params(read.spec.model).total);
    EXPECT_NEAR(total / size->second, 1, 0.01) << file.name;
  }
  EXPECT_EQ(seen, sizes.size());
}

}  // namespace
}  // namespace tera::plan
