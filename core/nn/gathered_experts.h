// GatheredExperts: the experts of a layer where every rank that shares them out gets all tokens of
// the others at once (all-gather), computes the rows of its own experts, and sums each token's
// rows; the sums over the ranks come back (reduce-scatter). Messages have a fixed size: with more
// choices than expert ranks fewer bytes than rows that travel each to its rank (expert_parallel.h),
// whose sums are in the order of choices, and here first those of a rank.
#pragma once
#include <optional>
#include <string>

#include "core/nn/expert_chunks.h"

namespace tera::nn {

// Keeps what ExpertChunks and Experts keep, and moe.choices [ranks T, K] i32: TokenDispatcher's
// rows of all ranks, as tokens are gathered.
class GatheredExperts {
 public:
  // dispatcher: of the same layer, must outlive this.
  GatheredExperts(ParamStore& store,
                  const spec::ModelConfig& config,
                  std::string prefix,
                  const TokenDispatcher& dispatcher);

  // Of each rank, on their way to all of them.
  struct Sent {
    ExpertExchange::Sending tokens;                     // [T, H]
    std::optional<ExpertExchange::Sending> gates = {};  // [T, K], in forward
  };
  // x [T, H] of this rank, gates [T, K].
  Sent send(const Tensor& x, const Tensor& gates, Pass& pass) const;
  Tensor forward(Sent sent, Pass& pass);       // -> [T, H] sums of each token's rows; workspace
  Sent send_gradient(const Tensor& dy) const;  // [T, H]
  struct InputGradient {
    Tensor tokens;  // [T, H]
    Tensor gates;   // [T, K]
  };
  // x and gates as in send(), x read where reads_input().
  InputGradient backward_input(Sent sent, const Tensor& x, const Tensor& gates, Pass& pass);
  void backward_weight(Pass& pass);
  // Whether backward_input needs the input once more: some rank has more rows than its buffer.
  bool reads_input(const Pass& pass) const;

 private:
  struct Places {
    Tensor rows;         // [ranks T, K] i32 of the chunk, -1: not in it
    bool cover = false;  // each row of the chunk is some token's
  };
  Places places(const plan::ExchangeChunk& chunk, const Pass& pass) const;
  Experts::Rows arrange(const Tensor& tokens,
                        const Tensor& gates,
                        const plan::ExchangeChunk& chunk,
                        const Places& at,
                        Pass& pass) const;

  std::string prefix_;
  const TokenDispatcher* dispatcher_;
  ExpertChunks chunks_;
  Experts experts_;
};

}  // namespace tera::nn
