#include "core/train/train_state.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/saved_spec.h"
#include "core/checkpoint/weights.h"
#include "core/plan/adapter_table.h"
#include "core/plan/optimizer_state.h"
#include "core/spec/yaml.h"

namespace tera::train {
namespace {

using nlohmann::json;

using Stored = std::map<std::string, checkpoint::TensorInfo>;

Stored stored_in(const checkpoint::Reader& reader) {
  Stored stored;
  for (const checkpoint::TensorInfo& info : checkpoint::stored_weights(reader))
    stored.emplace(info.name, info);
  return stored;
}

checkpoint::BaseReference reference_to(const checkpoint::Reader& reader) {
  return {.path = std::filesystem::absolute(reader.path()).lexically_normal().string(),
          .content_hash = reader.content_hash()};
}

// Every parameter but adapters. `what` begins the error when the sets of tensors differ.
Result<void> read_weights(const checkpoint::Reader& reader,
                          const spec::RunSpec& spec,
                          TensorParts& parts,
                          std::string_view what) {
  const Stored stored = stored_in(reader);
  const auto refuse = [&](std::string message) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} {} {}", what, reader.path().string(), message),
                "use the model section of the checkpoint's own spec");
  };
  const plan::ParamTable table = plan::make_param_table(spec);
  std::set<std::string> names;
  for (const plan::ParamSpec& param : table)
    names.insert(param.name);
  for (const auto& [name, info] : stored) {
    if (names.count(name) == 0) return refuse(fmt::format("has {}, which the model lacks", name));
  }
  for (const plan::ParamSpec& param : table) {
    if (param.adapts) continue;
    const auto at = stored.find(param.name);
    if (at == stored.end()) return refuse(fmt::format("has no {}", param.name));
    const WholeTensor tensor{param,
                             {.name = param.name,
                              .role = "weight",
                              .dtype = plan::weight_dtype(param, spec.training.precision),
                              .shape = param.shape}};
    TERA_TRY_VOID(parts.read(tensor, reader, at->second));
  }
  return {};
}

}  // namespace

Result<std::filesystem::path> save_state(Vfs& vfs,
                                         const std::filesystem::path& checkpoints_dir,
                                         const spec::RunSpec& spec,
                                         const TrainState& state,
                                         TensorParts& parts) {
  const std::vector<WholeTensor> all = whole_tensors(spec);
  if (!parts.is_leader()) {
    parts.answer(all);
    return std::filesystem::path();
  }
  std::vector<checkpoint::TensorInfo> tensors;
  for (const WholeTensor& tensor : all)
    tensors.push_back(tensor.info);
  Tensor current;  // what the loader returned last
  const auto load = [&](const checkpoint::TensorInfo& info) -> Result<std::span<const std::byte>> {
    current = {};
    const auto at = std::find(tensors.begin(), tensors.end(), info) - tensors.begin();
    current = parts.gather(all, static_cast<std::size_t>(at));
    return std::span(current.data<const std::byte>(),
                     static_cast<std::size_t>(current.num_bytes()));
  };
  json document = {
      {"data_chain", state.data_chain},
      {"data_plan", state.data_plan},
      {"loss_scale",
       {{"good_steps", state.loss_scale.good_steps}, {"scale", state.loss_scale.scale}}},
      {"optimizer_steps", parts.optimizer().steps_done()},
      {"outliers",
       {{"grad_norms", state.outliers.grad_norms},
        {"losses", state.outliers.losses},
        {"skipped_in_a_row", state.outliers.skipped_in_a_row}}},
      {"schema", "teragpt.train_state/2"},
      {"spec", spec::to_yaml(spec)},
      {"step", state.step},
      {"tokens", state.tokens}};
  if (spec.lora.enabled()) {
    document["base"] = {{"content_hash", state.base.content_hash}, {"path", state.base.path}};
  }
  Result<std::filesystem::path> saved = checkpoint::save(
      vfs, checkpoints_dir, {.step = state.step, .json = document.dump()}, tensors, load);
  parts.done();
  return saved;
}

void remove_old_checkpoints(const run::RunDirectory& dir, const spec::RunSpec& spec) {
  const Result<void> pruned =
      checkpoint::prune(dir.vfs(), dir.checkpoints_dir(), spec.training.keep_checkpoints);
  if (!pruned) spdlog::warn("an old checkpoint stays: {}", pruned.error().message);
}

Result<checkpoint::Reader> open_chosen(Vfs& vfs,
                                       TensorParts& parts,
                                       const CheckpointChoice& choose) {
  comm::Communicator& world = parts.world();
  const auto share = [&](std::int64_t size, DType dtype) {
    return Tensor::empty(parts.backend(), {size}, dtype, MemoryKind::workspace);
  };
  Tensor length = share(1, DType::i64);
  std::optional<checkpoint::Reader> chosen;
  std::string text;
  if (parts.is_leader()) {
    std::vector<std::string> skipped;
    TERA_TRY(chosen, choose(skipped));
    for (const std::string& reason : skipped)
      spdlog::warn("passed over a checkpoint: {}", reason);
    text = chosen->path().string();
    *length.data<std::int64_t>() = std::ssize(text);
  }
  world.broadcast(length, 0);
  text.resize(static_cast<std::size_t>(*length.data<std::int64_t>()));
  Tensor path = share(std::ssize(text), DType::u8);
  std::memcpy(path.data<std::byte>(), text.data(), text.size());
  world.broadcast(path, 0);
  if (chosen) return std::move(*chosen);
  std::memcpy(text.data(), path.data<std::byte>(), text.size());
  return checkpoint::Reader::open(vfs, text);
}

Result<TrainState> load_state(const checkpoint::Reader& reader,
                              const spec::RunSpec& spec,
                              TensorParts& parts) {
  TERA_TRY(const spec::RunSpec saved, checkpoint::saved_spec(reader));
  if (saved.model != spec.model || saved.training.precision != spec.training.precision ||
      saved.training.optimizer != spec.training.optimizer || saved.lora != spec.lora) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("checkpoint of step {} is of another model, precision, optimizer or lora "
                    "section than the run's spec",
                    reader.state().step),
        "resume with the spec the run was started with");
  }
  const json document = json::parse(reader.state().json, nullptr, false);
  TrainState state;
  std::int64_t optimizer_steps = 0;
  try {
    state.step = document.at("step").get<std::int64_t>();
    state.tokens = document.at("tokens").get<std::int64_t>();
    state.data_chain = document.at("data_chain").get<std::string>();
    state.data_plan = document.at("data_plan").get<std::string>();
    optimizer_steps = document.at("optimizer_steps").get<std::int64_t>();
    const json& loss_scale = document.at("loss_scale");
    state.loss_scale = {loss_scale.at("scale").get<double>(),
                        loss_scale.at("good_steps").get<std::int64_t>()};
    const json& outliers = document.at("outliers");
    state.outliers = {outliers.at("losses").get<std::vector<double>>(),
                      outliers.at("grad_norms").get<std::vector<double>>(),
                      outliers.at("skipped_in_a_row").get<std::int64_t>()};
  } catch (const json::exception& error) {
    return fail(ErrorCode::corrupt, fmt::format("checkpoint of step {}: state is incomplete: {}",
                                                reader.state().step, error.what()));
  }
  if (spec.lora.enabled()) {
    TERA_TRY(const checkpoint::Reader base, checkpoint::open_base(reader));
    TERA_TRY_VOID(read_weights(base, spec, parts, "the checkpoint of the frozen weights,"));
    state.base = reference_to(base);
  }
  for (const WholeTensor& tensor : whole_tensors(spec))
    TERA_TRY_VOID(parts.read(tensor, reader, tensor.info));
  parts.optimizer().set_steps_done(optimizer_steps);
  return state;
}

Result<checkpoint::BaseReference> load_initial_weights(Vfs& vfs,
                                                       const std::filesystem::path& path,
                                                       const spec::RunSpec& spec,
                                                       TensorParts& parts) {
  TERA_TRY(const checkpoint::Reader reader,
           open_chosen(vfs, parts, [&](std::vector<std::string>& skipped) {
             return checkpoint::open_weights(vfs, path, skipped);
           }));
  TERA_TRY_VOID(checkpoint::refuse_adapters(reader));
  TERA_TRY_VOID(read_weights(reader, spec, parts, "training.init_from:"));
  const Stored stored = stored_in(reader);
  // Copies in f32 keep what rounding took from the weights.
  for (const WholeTensor& tensor : whole_tensors(spec)) {
    const bool copies = tensor.info.role == "master" || tensor.info.role == "ema";
    if (!copies || tensor.param.adapts) continue;
    TERA_TRY_VOID(parts.read(tensor, reader, stored.at(tensor.info.name)));
  }
  return reference_to(reader);
}

}  // namespace tera::train
