// What replicas, and tensor ranks that hold the same parameters, say to each other in a step: sums
// of gradients, and weights that ZeRO shares out. As of train/grad_sync.h.
#pragma once
#include <vector>

#include "core/plan/message_tally.h"
#include "core/plan/param_buckets.h"
#include "core/plan/pipeline_schedule.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

class SyncMessages {
 public:
  // Spec and tally must outlive it.
  SyncMessages(const spec::RunSpec& spec, int rank, MessageTally& tally);

  void gradients();
  // What the norm of the gradients asks for more than a sum for each tensor.
  void blocks_of_norm();
  // order: of the rank's stage.
  void weights(const StageOrder& order);

 private:
  void gather(const ParamBucket& bucket);
  void embedding_copies();
  void gathered_weights(const StageOrder& order);
  std::vector<std::size_t> read(std::size_t part, bool backward) const;

  const spec::RunSpec& spec_;
  MessageTally& tally_;
  LocalTable table_;
  std::vector<ParamBucket> buckets_;
  std::vector<const ParamBucket*> bucket_of_;  // [row]; null: none
  std::vector<int> parts_;                     // as forward runs them
};

}  // namespace tera::plan
