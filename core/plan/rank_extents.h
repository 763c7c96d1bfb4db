// Extents of what one rank computes with, of one micro-batch: its tokens, heads, columns of
// matrices and rows of experts. What forward keeps is made of them (stash_table.h).
#pragma once
#include <cstdint>

#include "core/spec/run_spec.h"

namespace tera::plan {

struct RankExtents {
  std::int64_t tokens = 0;      // T: in attention and in matrices that tensor ranks split
  std::int64_t own_tokens = 0;  // T, or with sequence parallelism T / tensor ranks: elsewhere
  // Of T those that a rank keeps where it must have all of them at times: TeraGPT keeps what it
  // gathered, others gather again (Korthikanti et al. 2022, section 4.2.2).
  std::int64_t gathered_tokens = 0;
  std::int64_t heads = 0;         // A
  std::int64_t kv_heads = 0;      // Akv: of fewer than tensor ranks each has one
  std::int64_t ffn_width = 0;     // F
  std::int64_t shared_width = 0;  // S F of all shared experts together
  std::int64_t expert_width = 0;  // F of a routed expert, over expert-tensor ranks
  std::int64_t expert_rows = 0;   // R: of the buffers for rows of routed experts
  std::int64_t expert_ranks = 1;  // that share out the experts of a layer
};
// Of every rank of a stage. R is TeraGPT's at the load of layout.expert_load_percentile; of other
// frameworks at even load, since theirs have the rows that come.
RankExtents rank_extents(const spec::RunSpec& spec);

}  // namespace tera::plan
