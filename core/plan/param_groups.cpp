#include "core/plan/param_groups.h"

#include <algorithm>

#include "core/plan/adapter_table.h"
#include "core/plan/param_table.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

std::size_t group_of(const ParamSpec& param) {
  switch (param.kind) {
    case ParamKind::embedding:
      return 0;
    case ParamKind::expert:
      return kExpertGroup;
    case ParamKind::router:
    case ParamKind::router_bias:
      return kRouterGroup;
    case ParamKind::norm:
    case ParamKind::bias:
      return kNormGroup;
    case ParamKind::matrix:
      break;
  }
  if (param.name.find(".mtp.") != std::string::npos) return 7;
  if (param.name.find(".attention.") != std::string::npos) return 1;
  if (param.name.find(".shared.") != std::string::npos) return 4;
  return param.layer < 0 ? 7 : 2;
}

void add_rows(ParamGroups& groups,
              const ParamTable& rows,
              const RunSpec& spec,
              const RankMesh& mesh) {
  for (const ParamSpec& param : rows) {
    ParamGroup& group = groups[group_of(param)];
    const double local = local_elements(param, spec);
    const double share = local / static_cast<double>(param.num_elements());
    const StateBytes state = state_bytes(param, spec);
    for (std::size_t i = 0; i < state.size(); ++i)
      group.state[i] += share * state[i];
    group.all += static_cast<double>(param.num_elements());
    group.local += local;
    if (param.trainable) {
      const UpdateWork update = update_work(param, spec.training);
      group.trainable += local;
      group.update.bytes += share * update.bytes;
      group.update.flops += share * update.flops;
      group.update_workspace =
          std::max(group.update_workspace,
                   static_cast<double>(update_workspace_bytes(param, spec.training)));
    }
    group.shards = mesh.num_shards(param.is_expert());
  }
}

void add_groups(ParamGroups& sum, const ParamGroups& part, double count) {
  for (std::size_t i = 0; i < sum.size(); ++i) {
    ParamGroup& group = sum[i];
    const ParamGroup& one = part[i];
    if (count <= 0 || one.all <= 0) continue;
    group.all += count * one.all;
    group.local += count * one.local;
    group.trainable += count * one.trainable;
    for (std::size_t k = 0; k < group.state.size(); ++k)
      group.state[k] += count * one.state[k];
    group.update.bytes += count * one.update.bytes;
    group.update.flops += count * one.update.flops;
    group.update_workspace = std::max(group.update_workspace, one.update_workspace);
    group.shards = one.shards;
  }
}

ParamTable part_rows(const RunSpec& spec, ModelPart part, int layer = 0) {
  return with_adapters(make_part_table(spec.model, part, layer), spec.lora);
}

}  // namespace

StageParts stage_parts(const RunSpec& spec, int stage) {
  const std::vector<StageChunk> chunks = stage_chunks(spec, stage);
  StageParts parts{.layers = layer_mix(spec.model, chunks),
                   .copies_embedding = copies_embedding(spec.model, chunks)};
  for (const StageChunk& chunk : chunks) {
    parts.has_embedding = parts.has_embedding || chunk.has_embedding;
    parts.has_head = parts.has_head || chunk.has_head;
  }
  return parts;
}

ModelGroups model_groups(const RunSpec& spec, const RankMesh& mesh) {
  const spec::ModelConfig& model = spec.model;
  const LayerMix layers = layer_mix(model, {0, model.num_layers});
  ModelGroups groups;
  const auto layer_rows = [&spec](bool moe) {
    return part_rows(spec, ModelPart::layer, layer_of_kind(spec.model, moe));
  };
  if (layers.dense > 0) add_rows(groups.dense_layer, layer_rows(false), spec, mesh);
  if (layers.moe > 0) add_rows(groups.moe_layer, layer_rows(true), spec, mesh);
  ParamTable embedding = part_rows(spec, ModelPart::embedding);
  add_rows(groups.embedding, embedding, spec, mesh);
  embedding.resize(1);  // tokens; positions are read by the first stage alone
  add_rows(groups.embedding_copy, embedding, spec, mesh);
  add_rows(groups.head, part_rows(spec, ModelPart::head), spec, mesh);
  for (int layer = model.num_layers; layer < model.num_all_layers(); ++layer)
    add_rows(groups.head, part_rows(spec, ModelPart::prediction, layer), spec, mesh);
  return groups;
}

ParamGroups stage_groups(const ModelGroups& model, const StageParts& parts) {
  ParamGroups sum = {};
  add_groups(sum, model.dense_layer, parts.layers.dense);
  add_groups(sum, model.moe_layer, parts.layers.moe);
  if (parts.has_embedding) add_groups(sum, model.embedding, 1);
  if (parts.has_head) add_groups(sum, model.head, 1);
  if (parts.copies_embedding) add_groups(sum, model.embedding_copy, 1);
  return sum;
}

LocalParams local_params(const ParamGroups& groups, int zero_stage) {
  LocalParams params;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const ParamGroup& group = groups[i];
    (i == kExpertGroup ? params.experts : params.dense) += group.trainable;
    const double share = zero_stage >= 1 ? 1 / group.shards : 1;
    params.updated += share * group.trainable;
    params.update_bytes += share * group.update.bytes;
    params.update_flops += share * group.update.flops;
  }
  return params;
}

}  // namespace tera::plan
