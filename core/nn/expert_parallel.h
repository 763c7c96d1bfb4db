// ExpertParallel: the experts of a layer on rows of this rank's tokens, wherever the experts are.
// Alone a rank computes the rows where the dispatcher puts them; else rows and gates travel to the
// ranks of their experts, and results come back (expert_exchange.h). What is computed between
// send() and what takes its result is computed while rows travel.
#pragma once
#include <optional>
#include <string>

#include "core/nn/expert_chunks.h"

namespace tera::nn {

// Keeps moe.permuted [R, H] c and the entries of Experts; where ranks share experts out what
// ExpertChunks keeps.
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
  // Rows of a chunk that were sent, in tensors of the pass's stash.
  Experts::Rows receive(ExpertExchange::Sending rows,
                        ExpertExchange::Sending gates,
                        const plan::ExchangeChunk& chunk,
                        Pass& pass) const;

  std::string prefix_;
  const TokenDispatcher* dispatcher_;
  ExpertChunks chunks_;
  Experts experts_;
};

}  // namespace tera::nn
