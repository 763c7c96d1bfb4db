// ExpertParallel: the experts of a layer on rows of this rank's tokens, wherever the experts are.
// Alone a rank computes the rows where the dispatcher puts them; else rows and gates travel to the
// ranks of their experts, and results come back (expert_exchange.h).
//
// The first chunk of rows is kept for backward like the rows of one rank; rows beyond it, of loads
// above Parallelism::expert_load, travel and are computed once more in backward, one chunk at a
// time. Nothing of such a chunk outlives it, so that the gradients of its weights are added in the
// input half of backward: where schedules run the halves apart, before those of earlier
// micro-batches, and the sums have other bits. With full recomputation its rows are computed a
// third time, since what follows in the layer may read them.
#pragma once
#include <functional>
#include <string>

#include "core/nn/expert_exchange.h"
#include "core/nn/experts.h"
#include "core/nn/token_dispatcher.h"

namespace tera::nn {

// Keeps moe.permuted [R, H] c and the entries of Experts; where ranks share experts out also
// moe.counts [ranks, E] i64 and moe.row_gates [R] a.
class ExpertParallel {
 public:
  // dispatcher: of the same layer, must outlive this.
  ExpertParallel(ParamStore& store,
                 const spec::ModelConfig& config,
                 std::string prefix,
                 const TokenDispatcher& dispatcher);

  // x [T, H] of this rank, gates [T, K] -> [N, H], N rows in the dispatcher's order; workspace.
  Tensor forward(const Tensor& x, const Tensor& gates, Pass& pass);
  // dy [N, H]. x as in forward, read where reads_input().
  Experts::InputGradient backward_input(const Tensor& dy,
                                        const Tensor& x,
                                        const Tensor& gates,
                                        Pass& pass);
  void backward_weight(Pass& pass);
  // Whether backward_input needs the input once more: some rank has more rows than its buffer.
  bool reads_input(const Pass& pass) const;

 private:
  Experts::Rows own_rows(const Tensor& gates, const Pass& pass) const;
  Experts::Rows kept_rows(const plan::ExchangeChunk& chunk, const Pass& pass) const;
  // Rows of a chunk, sent into tensors of the pass's stash.
  Experts::Rows receive(const Tensor& rows,
                        const Tensor& gates,
                        const plan::ExchangeChunk& chunk,
                        Pass& pass) const;
  Tensor send(const Tensor& rows, const plan::ExchangeChunk& chunk) const;
  plan::ExchangePlan exchange_plan(const Pass& pass) const;
  std::int64_t buffer_rows(const Pass& pass) const;  // R
  // Calls body(chunk, pass of it, whether it is the first) for every chunk.
  void for_each_chunk(
      Pass& pass, const std::function<void(const plan::ExchangeChunk&, Pass&, bool)>& body) const;

  std::string prefix_;
  std::int64_t num_experts_;
  double load_;
  const TokenDispatcher* dispatcher_;
  ExpertExchange exchange_;
  Experts experts_;
};

}  // namespace tera::nn
