// ExpertParallel: the experts of a layer on rows of this rank's tokens, wherever the experts are.
// Alone a rank computes the rows where the dispatcher puts them; else rows and gates travel to the
// ranks of their experts, and results come back (expert_exchange.h). What is computed between
// send() and what takes its result is computed while rows travel.
//
// The first chunk of rows is kept for backward like the rows of one rank; rows beyond it, of loads
// above Parallelism::expert_load, travel and are computed once more in backward, one chunk at a
// time. Nothing of such a chunk outlives it, so that the gradients of its weights are added in the
// input half of backward: where schedules run the halves apart, before those of earlier
// micro-batches, and the sums have other bits. With full recomputation its rows are computed a
// third time, since what follows in the layer may read them.
#pragma once
#include <functional>
#include <optional>
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

  // Rows of the dispatcher's order, those of the first chunk on their way.
  struct Sent {
    Tensor rows = {};   // [N, H]; not present where they are in the stash
    Tensor gates = {};  // [N] a
    std::optional<ExpertExchange::Sending> first_rows = {};   // where ranks share experts out
    std::optional<ExpertExchange::Sending> first_gates = {};  // in forward
  };
  // x [T, H] of this rank, gates [T, K].
  Sent send(const Tensor& x, const Tensor& gates, Pass& pass) const;
  Tensor forward(Sent sent, Pass& pass);  // -> [N, H] in the dispatcher's order; workspace
  // dy [T, H], gates [T, K].
  Sent send_gradient(const Tensor& dy, const Tensor& gates, Pass& pass) const;
  // x as in send(), read where reads_input().
  Experts::InputGradient backward_input(Sent sent, const Tensor& x, Pass& pass);
  void backward_weight(Pass& pass);
  // Whether backward_input needs the input once more: some rank has more rows than its buffer.
  bool reads_input(const Pass& pass) const;

 private:
  Experts::Rows own_rows(const Tensor& row_gates, const Pass& pass) const;
  Experts::Rows kept_rows(const plan::ExchangeChunk& chunk, const Pass& pass) const;
  // Rows of a chunk that were sent, in tensors of the pass's stash.
  Experts::Rows receive(ExpertExchange::Sending rows,
                        ExpertExchange::Sending gates,
                        const plan::ExchangeChunk& chunk,
                        Pass& pass) const;
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
