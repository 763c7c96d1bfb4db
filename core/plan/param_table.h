// ParamTable: every tensor of the model once; shared by planner, engine, checkpoint, tests and GUI.
//
// Names and shapes (engine and checkpoint use exactly these; rows in this order):
//   embedding.tokens [V, H]; embedding.positions [P, H] (learned positions)
//   layers.N.attention.norm.weight [H] (.bias [H] for LayerNorm)      of the branch's input; not
//   for
//     norm_placement post
//   layers.N.attention.qkv.weight [(A + 2 Akv) D, H] (.bias)     rows: all q heads, all k, all v
//   layers.N.attention.q_norm.weight, k_norm.weight  [D] per_head | [A D], [Akv D] full
//   layers.N.attention.out.weight [H, A D] (.bias [H] for attention_bias all)
//   latent attention instead: attention.{q_down [rq, H], q_down_norm [rq], q_up [A (dn+dr), rq] |
//     q [A (dn+dr), H]}, kv_down [rkv + dr, H], kv_down_norm [rkv], kv_up [A (dn+dv), rkv], out [H,
//     A dv], each with .weight and never a bias
//   layers.N.attention.post_norm.weight [H] (.bias)   of the branch's output: norm_placement post
//     and sandwich
//   layers.N.ffn.norm.weight [H] (.bias), as above
//   dense: layers.N.ffn.in.weight [F or 2F (gate rows, then up rows), H] (.bias), ffn.out.weight
//     [H, F] (.bias)
//   MoE: layers.N.moe.router.weight [E, H] (always f32), moe.router.bias [E] when
//     expert_bias_update_rate > 0 (f32, updated by rule, not by gradient; not counted as a
//     parameter), moe.experts.in.weight [E, F or 2F, H], moe.experts.out.weight [E, H, F],
//     moe.shared.in.weight [S F or 2 S F, H], moe.shared.out.weight [H, S F],
//     moe.shared.gate.weight [1, H] (shared_expert_gate)
//   layers.N.ffn.post_norm.weight [H] (.bias), as above
//   final_norm.weight [H] (.bias); head.weight [V, H] when not tied
//   multi-token prediction, N from num_layers on: layers.N.mtp.embedding_norm.weight [H] (.bias),
//     mtp.hidden_norm.weight [H] (.bias), mtp.proj.weight [H, 2 H] (columns: embedding, then hidden
//     state), the rows of a layer, mtp.final_norm.weight [H] (.bias)
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/plan/rank_mesh.h"
#include "core/spec/run_spec.h"
#include "kernels/dtype.h"

namespace tera::plan {

// scaled_normal: of matrices that write into the residual stream; the spread is in
// parametrization.h. kaiming_uniform: within 1 / sqrt(columns), as PyTorch starts linear layers and
// adapters.
enum class ParamInit : std::uint8_t { normal, scaled_normal, kaiming_uniform, ones, zeros };
enum class ParamKind : std::uint8_t { embedding, matrix, norm, bias, router, expert, router_bias };

// Of an adapter: rows [first, first + count) of a weight, to which scale B A is added.
struct AdaptedRows {
  std::string weight;
  std::int64_t first = 0;
  std::int64_t count = 0;
  double scale = 1;
};

// How a tensor is split over the ranks of an axis: along `dim`, each of the stacked `parts` on its
// own, in whole units (heads; 1: rows). Where the ranks do not divide the units of a part, the last
// ranks hold padding; of fewer units than ranks, neighbours hold the same one.
struct ParamSplit {
  Axis axis = Axis::tensor;
  int dim = 0;
  std::vector<std::int64_t> parts;  // extents along dim
  std::int64_t unit = 1;

  std::int64_t local_extent(int ranks) const;  // along dim, on each of so many ranks
  bool operator==(const ParamSplit&) const = default;
};

struct ParamSpec {
  std::string name;
  std::vector<std::int64_t> shape;  // global
  int layer = -1;                   // -1: embedding, final norm, head
  ParamKind kind = ParamKind::matrix;
  ParamInit init = ParamInit::normal;
  std::vector<ParamSplit> splits = {};  // experts: first over ranks of experts, then each expert
  bool always_f32 = false;              // router: f32 in every precision
  bool trainable = true;  // router_bias is not, nor are weights with adapters beside them
  // Rows of the matrices stacked along dim -2 (q, k, v; gate, up); empty for vectors.
  std::vector<std::int64_t> row_parts;
  std::optional<AdaptedRows> adapts = {};  // of the two factors of an adapter (adapter_table.h)
  std::int64_t num_elements() const;
  bool is_expert() const { return kind == ParamKind::expert; }
};
using ParamTable = std::vector<ParamSpec>;

ParamTable make_param_table(const spec::ModelConfig& model);

// The rows of one part alone: layers of one kind are alike, so estimates need one of each.
// prediction: of multi-token prediction, the whole layer.
enum class ModelPart : std::uint8_t { embedding, layer, head, prediction };
ParamTable make_part_table(const spec::ModelConfig& model, ModelPart part, int layer = 0);

struct ParamCounts {
  std::int64_t total = 0;  // trainable
  // Used by one token: of routed experts as many as compute for it, of multi-token prediction none.
  std::int64_t active = 0;
  std::int64_t active_in_training = 0;  // with those layers
  std::int64_t embedding = 0;
  std::int64_t attention = 0;
  std::int64_t dense_ffn = 0;
  std::int64_t experts = 0;
  std::int64_t shared_experts = 0;
  std::int64_t router = 0;
  std::int64_t norms = 0;
  std::int64_t head = 0;
};
// Closed form, without building the table. embedding includes learned positions; norms all norm
// weights and biases; attention and dense_ffn their matrices and biases; head the projections of
// multi-token prediction.
ParamCounts count_params(const spec::ModelConfig& model);

// Type of activations and of most weights under a precision, and storage type of one tensor.
DType compute_dtype(spec::Precision precision);
DType weight_dtype(const ParamSpec& param, spec::Precision precision);

}  // namespace tera::plan
