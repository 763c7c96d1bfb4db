#include "core/train/train_state.h"

#include <map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "core/checkpoint/saved_spec.h"
#include "core/checkpoint/weights.h"
#include "core/plan/optimizer_state.h"
#include "core/spec/yaml.h"

namespace tera::train {
namespace {

using nlohmann::json;

checkpoint::TensorInfo info_of(const nn::Param& param) {
  return {.name = param.spec.name,
          .role = "weight",
          .dtype = param.value.dtype(),
          .shape = param.value.shape()};
}

checkpoint::TensorInfo info_of(const Optimizer::StateName& state) {
  return {.name = state.name,
          .role = std::string(state.role),
          .dtype = DType::f32,
          .shape = state.shape};
}

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
                          nn::ParamStore& params,
                          std::string_view what) {
  const Stored stored = stored_in(reader);
  const auto refuse = [&](std::string message) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} {} {}", what, reader.path().string(), message),
                "use the model section of the checkpoint's own spec");
  };
  for (const auto& [name, info] : stored) {
    if (!params.has(name)) return refuse(fmt::format("has {}, which the model lacks", name));
  }
  for (nn::Param& param : params.params()) {
    if (param.spec.adapts) continue;
    const auto at = stored.find(param.spec.name);
    if (at == stored.end()) return refuse(fmt::format("has no {}", param.spec.name));
    TERA_TRY_VOID(checkpoint::read_weight(reader, at->second, param.value));
  }
  return {};
}

}  // namespace

Result<std::filesystem::path> save_state(Vfs& vfs,
                                         const std::filesystem::path& checkpoints_dir,
                                         const spec::RunSpec& spec,
                                         const TrainState& state,
                                         nn::ParamStore& params,
                                         Optimizer& optimizer) {
  std::vector<checkpoint::TensorInfo> tensors;
  for (const nn::Param& param : params.params()) {
    if (spec.lora.enabled() && !param.spec.adapts) continue;  // frozen: kept where it came from
    if (!plan::has_master(param.spec, spec.training)) tensors.push_back(info_of(param));
  }
  for (const Optimizer::StateName& name : optimizer.state_names())
    tensors.push_back(info_of(name));
  Tensor current;  // what the loader returned last
  const auto load = [&](const checkpoint::TensorInfo& info) -> Result<std::span<const std::byte>> {
    current = {};
    current =
        info.role == "weight" ? params.get(info.name).value : optimizer.state(info.name, info.role);
    return std::span(current.data<const std::byte>(),
                     static_cast<std::size_t>(current.num_bytes()));
  };
  json document = {
      {"data_chain", state.data_chain},
      {"data_plan", state.data_plan},
      {"loss_scale",
       {{"good_steps", state.loss_scale.good_steps}, {"scale", state.loss_scale.scale}}},
      {"optimizer_steps", optimizer.steps_done()},
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
  return checkpoint::save(vfs, checkpoints_dir, {.step = state.step, .json = document.dump()},
                          tensors, load);
}

Result<TrainState> load_state(const checkpoint::Reader& reader,
                              const spec::RunSpec& spec,
                              nn::ParamStore& params,
                              Optimizer& optimizer) {
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
    TERA_TRY_VOID(read_weights(base, params, "the checkpoint of the frozen weights,"));
    state.base = reference_to(base);
  }
  for (nn::Param& param : params.params()) {
    if (spec.lora.enabled() && !param.spec.adapts) continue;
    if (plan::has_master(param.spec, spec.training)) continue;
    TERA_TRY_VOID(reader.read(info_of(param), param.value.view().data));
  }
  for (const Optimizer::StateName& name : optimizer.state_names()) {
    const Tensor values =
        Tensor::empty(params.backend(), name.shape, DType::f32, MemoryKind::workspace);
    TERA_TRY_VOID(reader.read(info_of(name), values.view().data));
    optimizer.set_state(name.name, name.role, values);
  }
  optimizer.set_steps_done(optimizer_steps);
  return state;
}

Result<checkpoint::BaseReference> load_initial_weights(Vfs& vfs,
                                                       const std::filesystem::path& path,
                                                       nn::ParamStore& params,
                                                       Optimizer& optimizer) {
  std::vector<std::string> skipped;
  TERA_TRY(const checkpoint::Reader reader, checkpoint::open_weights(vfs, path, skipped));
  for (const std::string& reason : skipped)
    spdlog::warn("passed over a checkpoint: {}", reason);
  TERA_TRY_VOID(checkpoint::refuse_adapters(reader));
  TERA_TRY_VOID(read_weights(reader, params, "training.init_from:"));
  const Stored stored = stored_in(reader);
  // Copies in f32 keep what rounding took from the weights.
  for (const Optimizer::StateName& name : optimizer.state_names()) {
    if ((name.role != "master" && name.role != "ema") || params.get(name.name).spec.adapts)
      continue;
    const Tensor values =
        Tensor::empty(params.backend(), name.shape, DType::f32, MemoryKind::workspace);
    TERA_TRY_VOID(checkpoint::read_weight(reader, stored.at(name.name), values));
    optimizer.set_state(name.name, name.role, values);
  }
  return reference_to(reader);
}

}  // namespace tera::train
