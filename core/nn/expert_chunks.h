// ExpertChunks: the rows that this rank computes of a layer whose experts several ranks share out,
// whichever way they come: chunk by chunk, so that what one takes is bounded.
//
// The first chunk of rows is kept for backward like the rows of one rank; rows beyond it, of loads
// above Parallelism::expert_load, come and are computed once more in backward, one chunk at a time.
// Nothing of such a chunk outlives it, so that the gradients of its weights are added in the input
// half of backward: where schedules run the halves apart, before those of earlier micro-batches,
// and the sums have other bits. With full recomputation its rows are computed a third time, since
// what follows in the layer may read them.
#pragma once
#include <functional>
#include <string>

#include "core/nn/expert_exchange.h"
#include "core/nn/experts.h"
#include "core/nn/token_dispatcher.h"

namespace tera::nn {

// Keeps moe.permuted [R, H] c, moe.counts [ranks, E] i64 and moe.row_gates [R] a.
class ExpertChunks {
 public:
  // dispatcher: of the same layer, must outlive this.
  ExpertChunks(ParamStore& store,
               const spec::ModelConfig& config,
               std::string prefix,
               const TokenDispatcher& dispatcher);

  // False: this rank holds all experts whole, and its own rows are all it computes.
  bool shared_out() const { return exchange_.active(); }
  const ExpertExchange& exchange() const { return exchange_; }
  // Tells the others how many rows this rank has for each expert, and keeps what they tell.
  // Collective.
  void keep_counts(Pass& pass) const;
  plan::ExchangePlan plan(const Pass& pass) const;
  // Memory in the pass's stash for the rows of a chunk, x [*, H] and gates of these types.
  Experts::Rows make_rows(const Tensor& x,
                          DType gates,
                          const plan::ExchangeChunk& chunk,
                          Pass& pass) const;
  Experts::Rows kept_rows(const plan::ExchangeChunk& chunk, const Pass& pass) const;
  // Calls body(chunk, pass of it, whether it is the first) for every chunk.
  void for_each(Pass& pass,
                const std::function<void(const plan::ExchangeChunk&, Pass&, bool)>& body) const;
  void release(Pass& pass) const;

 private:
  std::int64_t buffer_rows(const Pass& pass) const;  // R

  std::string prefix_;
  std::int64_t num_experts_;
  double load_;
  const TokenDispatcher* dispatcher_;
  ExpertExchange exchange_;
};

}  // namespace tera::nn
