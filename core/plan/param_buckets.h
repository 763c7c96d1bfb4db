// Flat buckets: tensors that one layer computes with side by side, so that replicas share them out
// (ZeRO) in equal shards and with one collective. The same rules plan and allocate.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/plan/param_slice.h"
#include "core/plan/rank_mesh.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Parts of a model that compute one after the other: layers by their number, and the ends.
inline constexpr int kEmbeddingPart = -1;
inline constexpr int kHeadPart = -2;
int part_of(const ParamSpec& param);

struct ParamBucket {
  struct Entry {
    std::size_t param = 0;   // row of the rank's table
    std::int64_t begin = 0;  // in the bucket, a multiple of kBucketBlock
    std::int64_t count = 0;
  };
  int part = 0;
  bool experts = false;  // shared out over the replicas of experts
  bool trained = true;
  DType dtype = DType::f32;  // of the weights
  std::vector<Entry> entries;
  std::int64_t num_elements = 0;  // padding included: a multiple of kBucketBlock x replicas
  int ranks = 1;                  // that share it out
  int rank = 0;                   // this one

  std::int64_t shard_elements() const { return num_elements / ranks; }
  std::int64_t shard_begin() const { return rank * shard_elements(); }
  // Elements [first, second) of an entry's tensor that are in this rank's shard; may be empty.
  std::pair<std::int64_t, std::int64_t> owned(const Entry& entry) const;
};
// Elements; of moments in 8 bits a scale is for as many, so that no block is on two ranks.
inline constexpr std::int64_t kBucketBlock = 256;

// Everything that has replicas, in the order of the table: one bucket for the tensors of a part
// that are dense or experts, trained or not, and of one type; the embedding matrix, of which
// another stage may hold a copy, has its own. What is neither trained nor frozen, the router's
// bias, has none. Shared out among all replicas; where ZeRO shards several copies, those that hold
// the same shard share that.
std::vector<ParamBucket> replicated_buckets(const spec::RunSpec& spec,
                                            const RankMesh& mesh,
                                            int rank,
                                            const LocalTable& table);
// Of those, the ones that layout.zero_stage shares out among the ranks of a copy: 1 and 2 what is
// trained, 3 all.
std::vector<ParamBucket> sharded_buckets(const spec::RunSpec& spec,
                                         const RankMesh& mesh,
                                         int rank,
                                         const LocalTable& table);

// Parts of a rank, as forward runs them.
std::vector<int> parts_in_order(const LocalTable& table);
// Buckets whose weights a part computes with: its own, and at the end of the model (the head, and
// multi-token prediction) the head's and an embedding that is shared.
std::vector<std::size_t> read_by(int part,
                                 const std::vector<int>& order,
                                 const std::vector<ParamBucket>& buckets,
                                 bool shares_embedding);

// Of a rank with layout.zero_stage 1 to 3: bytes that weights and gradients take at most at a time.
// Weights that are shared out are gathered for a part and the next one; gradients of a part are
// summed when its last backward is done and the whole ones dropped when the next part's are, in
// stages 2 and 3. With several micro-batches all gradients are whole until the last one; with
// training.reproducible_sums those of one micro-batch and part are beside the sum of all before.
struct BucketPeaks {
  std::int64_t weights = 0;
  std::int64_t gradients = 0;
};
BucketPeaks bucket_peaks(const spec::RunSpec& spec,
                         const LocalTable& table,
                         const std::vector<ParamBucket>& buckets);

}  // namespace tera::plan
