// ExpertExchange: moves rows between the ranks that share out experts, and back. Rows travel
// between expert ranks once each way (all-to-all), while the rank may compute something else; the
// tensor ranks that split an expert pass them on to each other, and add up what each has of the
// result, in rank order.
#pragma once
#include <memory>

#include "core/comm/communicator.h"
#include "core/nn/module.h"
#include "core/plan/exchange_plan.h"

namespace tera::nn {

class ExpertExchange {
 public:
  explicit ExpertExchange(const ParamStore& store);

  // False: this rank holds all experts whole, and there is nobody to exchange with.
  bool active() const { return block_.size() > 1; }
  const plan::ExpertBlock& block() const { return block_; }
  // offsets [E + 1] of this rank's rows by expert -> counts [block, E] i64 of all. Collective.
  Tensor gather_counts(const Tensor& offsets) const;

  // Rows on their way. Has what is read and written of them, so that it is this thread that frees
  // it: the end of one that nobody finished waits.
  class Sending {
   public:
    Sending(Tensor sent, Tensor arrived, comm::Work work);
    Sending(Sending&&) = default;
    ~Sending();

    Tensor wait();  // [n, W] as they arrived
    const Tensor& arriving() const { return arrived_; }

   private:
    Tensor sent_;
    Tensor arrived_;
    std::unique_ptr<comm::Work> work_;
  };
  // rows [N, W], by expert: sends those of the chunk. Collective, like what follows.
  Sending start(const Tensor& rows, const plan::ExchangeChunk& chunk) const;
  // What came for this rank's experts, to [n, W].
  void finish(Sending sending, const plan::ExchangeChunk& chunk, const Tensor& to) const;
  // Back: y [n, W] of this rank's experts -> the rows of the chunk among rows [N, W], which are
  // there once finished.
  Sending start_back(const Tensor& y, const plan::ExchangeChunk& chunk, const Tensor& rows) const;
  void finish_back(Sending sending, const plan::ExchangeChunk& chunk, const Tensor& rows) const;

  // All of x [T, W] to all ranks of the block -> [ranks T, W], by tensor rank, then expert rank.
  Sending start_gather(const Tensor& x) const;
  Tensor finish_gather(Sending sending) const;
  // Back: parts [ranks T, W] of all ranks -> [T, W] the sums of this rank's.
  Sending start_sum(const Tensor& parts) const;
  Tensor finish_sum(Sending sending) const { return sending.wait(); }

 private:
  Tensor packed(const Tensor& rows, const plan::ExchangeChunk& chunk) const;
  Tensor sum_parts(const Tensor& parts, const plan::ExchangeChunk& chunk) const;

  comm::Communicator* experts_ = nullptr;
  comm::Communicator* tensor_ = nullptr;
  plan::ExpertBlock block_;
};

}  // namespace tera::nn
