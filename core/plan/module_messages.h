// What the modules of a model say to other ranks in one micro-batch, forward and backward: tensor
// ranks between the parts of a layer, context ranks in attention, and the ranks that share out
// experts.
#pragma once
#include <cstdint>
#include <vector>

#include "core/plan/context_exchange.h"
#include "core/plan/exchange_plan.h"
#include "core/plan/message_tally.h"
#include "core/plan/placement.h"
#include "core/plan/rank_extents.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Adds what every micro-batch says alike. Spec and tally must outlive it.
class ModuleMessages {
 public:
  ModuleMessages(const spec::RunSpec& spec, MessageTally& tally);

  void chunk(const StageChunk& chunk);

 private:
  void gather();
  void sum();
  void embedding();
  void layer(int index);
  void part_forward();
  void part_backward();
  void head_norms();
  void ring_pass(std::int64_t element_bytes);
  void swap(std::int64_t elements);
  void attention_forward();
  void attention_backward();
  void gather_choices(std::int64_t bytes_each);
  void dispatch();
  void balance();
  void head();

  const spec::RunSpec& spec_;
  MessageTally& tally_;
  RankExtents rank_;
  ContextExchange context_;
  bool splits_tokens_;
  std::int64_t stream_bytes_;  // [T, H]
};

// Rows of one layer and micro-batch to the ranks of their experts, and back, as of
// nn/expert_parallel.h; or all tokens to all those ranks, as of nn/gathered_experts.h.
class ExchangeMessages {
 public:
  ExchangeMessages(const spec::RunSpec& spec, const ExpertBlock& block, MessageTally& tally);

  // counts [ranks, E]: rows of every rank of the block for every expert.
  void exchange(const std::vector<std::int64_t>& counts);

 private:
  void send_rows(const ExchangePlan& plan, int forwards);
  void gather_tokens(const ExchangePlan& plan, int forwards);
  void gather(std::int64_t token_bytes);
  void sum(std::int64_t token_bytes);
  void send(const ExchangeChunk& chunk, std::int64_t width);
  void send_rows_and_gates(const ExchangeChunk& chunk);
  void take_back(const ExchangeChunk& chunk, std::int64_t width);

  const spec::RunSpec& spec_;
  ExpertBlock block_;
  MessageTally& tally_;
  std::int64_t row_bytes_;
  std::int64_t buffer_rows_;
  std::int64_t tokens_;  // of this rank
};

}  // namespace tera::plan
