#include "core/train/grad_sync.h"

#include <algorithm>

#include "core/nn/tensor_parallel.h"
#include "core/plan/expert_load.h"
#include "core/plan/placement.h"

namespace tera::train {

nn::ParamStore make_param_store(Backend& backend,
                                const spec::RunSpec& spec,
                                comm::MeshGroups& groups) {
  plan::LocalTable table = plan::local_table(spec, groups.mesh(), groups.rank());
  std::vector<plan::ParamBucket> buckets =
      plan::sharded_buckets(spec, groups.mesh(), groups.rank(), table);
  return {backend,
          std::move(table),
          {.compute = plan::compute_dtype(spec.training.precision),
           .parallel = {.groups = &groups,
                        .sequence_parallel = spec.layout.sequence_parallel,
                        .context_method = spec.layout.context_parallel_method,
                        .expert_dispatcher = spec.layout.expert_dispatcher,
                        .expert_load =
                            plan::busiest_expert_load(spec, spec.layout.expert_load_percentile)},
           .buckets = std::move(buckets),
           .keeps_weights = spec.layout.zero_stage < 3}};
}

namespace {

// Of a micro-batch before replicas add theirs, so that their number does not change its place.
void sum_over_tensor_ranks(nn::ParamStore& params, int part) {
  const nn::TensorGroup tensor_ranks(params);
  for (nn::Param& param : params.params()) {
    if (param.trained && plan::part_of(param.spec) == part)
      nn::sum_shared_gradient(param, tensor_ranks);
  }
}

}  // namespace

GradSync::GradSync(nn::ParamStore& params, comm::MeshGroups& groups, const spec::RunSpec& spec)
    : params_(params),
      groups_(groups),
      zero_stage_(spec.layout.zero_stage),
      reproducible_(spec.training.reproducible_sums),
      sums_whole_(reproducible_ && groups.has_copies()),
      shares_embedding_(plan::shares_embedding(spec.model)),
      copies_embedding_(plan::copies_embedding(
          spec.model, plan::stage_chunks(spec, spec.layout.pipeline_parallel_size - 1))),
      num_layers_(spec.model.num_layers),
      order_(plan::parts_in_order(plan::local_table(spec, groups.mesh(), groups.rank()))),
      norm_(params, groups, spec) {
  for (const nn::ParamBucket& bucket : params.buckets())
    buckets_.push_back(bucket.plan);
}

void GradSync::begin_step(std::int64_t num_micro_batches) {
  num_micro_batches_ = num_micro_batches;
  backwards_.clear();
  summed_.clear();
  micro_batches_summed_.clear();
}

// The part `step` places from it in the order of forward; itself at an end.
int GradSync::neighbour(int part, int step) const {
  const auto at = std::find(order_.begin(), order_.end(), part) - order_.begin();
  return order_[static_cast<std::size_t>(
      std::clamp<std::ptrdiff_t>(at + step, 0, std::ssize(order_) - 1))];
}

// Backward of the embedding reads no weight.
std::set<nn::ParamBucket*> GradSync::read_by(int part, bool backward) {
  std::set<nn::ParamBucket*> found;
  if (backward && part == plan::kEmbeddingPart) return found;
  for (const std::size_t i : plan::read_by(part, order_, buckets_, shares_embedding_))
    found.insert(&params_.buckets()[i]);
  return found;
}

void GradSync::enter(int part, int next, bool backward) {
  if (params_.keeps_weights()) return;
  const auto start = [&](const std::set<nn::ParamBucket*>& buckets) {
    for (nn::ParamBucket& bucket : params_.buckets()) {  // in the order of every rank
      if (buckets.count(&bucket) == 0 || gathers_.count(&bucket) > 0) continue;
      params_.hold_weights(bucket);
      gathers_.emplace(
          &bucket, groups_.shards(bucket.plan.experts)
                       .start(comm::Operation::all_gather(bucket.weight_shard, bucket.weights)));
    }
  };
  const std::set<nn::ParamBucket*> needed = read_by(part, backward);
  start(needed);
  if (next != part) start(read_by(next, backward));
  for (nn::ParamBucket* bucket : needed) {
    std::optional<comm::Work>& work = gathers_.at(bucket);
    if (work) work->wait();
    work.reset();
  }
}

void GradSync::leave(int next, bool backward) {
  if (!params_.keeps_weights()) keep_gathered(read_by(next, backward));
}

void GradSync::keep_gathered(const std::set<nn::ParamBucket*>& needed) {
  for (auto at = gathers_.begin(); at != gathers_.end();) {
    if (needed.count(at->first) > 0) {
      ++at;
      continue;
    }
    if (at->second) at->second->wait();
    params_.drop_weights(*at->first);
    at = gathers_.erase(at);
  }
}

void GradSync::before_forward(int part) {
  if (part == order_.front()) keep_gathered({});  // weights may have changed since the last pass
  enter(part, neighbour(part, 1), false);
}

void GradSync::after_forward(int part) {
  leave(neighbour(part, 1), false);
}

void GradSync::before_backward(int part) {
  enter(part, neighbour(part, -1), true);
}

void GradSync::after_backward(int part) {
  ++backwards_[part];
  for (const int done : {part, plan::kEmbeddingPart}) {
    const std::int64_t complete = num_complete(done);
    if (complete == num_micro_batches_) {
      sum_part(done);
    } else if (reproducible_ && complete > micro_batches_summed_[done]) {
      sum_micro_batch(done);
    }
  }
  leave(neighbour(part, -1), true);
}

// Micro-batches of which the part has all gradients. Where backward runs in halves, prediction adds
// to the embedding after the embedding's own.
std::int64_t GradSync::num_complete(int part) {
  std::int64_t complete = backwards_[part];
  if (part != plan::kEmbeddingPart) return complete;
  for (const int other : order_) {
    if (other >= num_layers_) complete = std::min(complete, backwards_[other]);
  }
  return complete;
}

// Zeros where nothing was added.
std::vector<GradSync::Piece> GradSync::pieces_of(int part) {
  std::vector<Piece> pieces;
  for (nn::Param& param : params_.params()) {
    if (!param.trained || plan::part_of(param.spec) != part) continue;
    param.gradient();
    if (param.bucket == nullptr) pieces.push_back({&param, nullptr});
  }
  for (nn::ParamBucket& bucket : params_.buckets()) {
    if (bucket.plan.trained && bucket.plan.part == part) pieces.push_back({nullptr, &bucket});
  }
  return pieces;
}

comm::Communicator& GradSync::replicas_of(const Piece& piece) {
  return groups_.replicas(piece.param != nullptr ? piece.param->spec.is_expert()
                                                 : piece.bucket->plan.experts);
}

void GradSync::add_sums_before(const std::vector<Piece>& pieces) {
  if (sums_before_.empty()) return;
  wait();
  Backend& backend = params_.backend();
  for (const Piece& piece : pieces) {
    const auto before = sums_before_.find(piece);
    if (before == sums_before_.end()) continue;
    const Tensor& gradient = piece.gradient();
    if (replicas_of(piece).rank() == 0)
      backend.ops().add(backend.context(), before->second, gradient, gradient);
    sums_before_.erase(before);
  }
}

// The gradients become what comes before those of the next micro-batch, which get other memory.
void GradSync::sum_micro_batch(int part) {
  ++micro_batches_summed_[part];
  const std::vector<Piece> pieces = pieces_of(part);
  sum_over_tensor_ranks(params_, part);
  add_sums_before(pieces);
  for (const Piece& piece : pieces) {
    const Tensor sum = piece.gradient();
    if (piece.param != nullptr) {
      piece.param->grad = {};
    } else {
      params_.drop_gradients(*piece.bucket);
    }
    sums_before_.emplace(piece, sum);
    if (replicas_of(piece).size() > 1) {
      works_.push_back(
          replicas_of(piece).start(comm::Operation::all_reduce(sum, comm::Reduce::sum)));
    }
  }
}

void GradSync::sum_part(int part) {
  if (!summed_.insert(part).second) return;
  if (zero_stage_ >= 2 || (zero_stage_ > 0 && groups_.has_copies())) wait();
  const std::vector<Piece> pieces = pieces_of(part);
  sum_over_tensor_ranks(params_, part);
  add_sums_before(pieces);
  for (const Piece& piece : pieces) {
    if (piece.bucket != nullptr) {
      sum_bucket(*piece.bucket);
    } else if (replicas_of(piece).size() > 1) {
      works_.push_back(replicas_of(piece).start(
          comm::Operation::all_reduce(piece.param->grad, comm::Reduce::sum)));
    }
  }
}

// In place where the whole gradients stay until the update; else the shard alone outlives the sum.
void GradSync::sum_bucket(nn::ParamBucket& bucket) {
  const std::int64_t begin = bucket.plan.shard_begin();
  bucket.gradient_shard =
      zero_stage_ == 1 ? bucket.gradients.slice(0, begin, begin + bucket.plan.shard_elements())
                       : Tensor::empty(params_.backend(), {bucket.plan.shard_elements()},
                                       bucket.gradients.dtype(), MemoryKind::gradients);
  const bool experts = bucket.plan.experts;
  works_.push_back(sums_whole_ ? groups_.replicas(experts).start(comm::Operation::all_reduce(
                                     bucket.gradients, comm::Reduce::sum))
                               : groups_.shards(experts).start(comm::Operation::reduce_scatter(
                                     bucket.gradients, bucket.gradient_shard, comm::Reduce::sum)));
  reducing_.push_back(&bucket);
}

void GradSync::wait() {
  for (comm::Work& work : works_)
    work.wait();
  works_.clear();
  for (nn::ParamBucket* bucket : reducing_) {
    if (zero_stage_ >= 2) keep_shard(*bucket);
    if (groups_.has_copies() && !sums_whole_) {
      works_.push_back(
          groups_.copies(bucket->plan.experts)
              .start(comm::Operation::all_reduce(bucket->gradient_shard, comm::Reduce::sum)));
    }
  }
  reducing_.clear();
}

void GradSync::keep_shard(nn::ParamBucket& bucket) {
  if (sums_whole_) {
    const std::int64_t begin = bucket.plan.shard_begin();
    Backend& backend = params_.backend();
    backend.ops().copy(backend.context(),
                       bucket.gradients.slice(0, begin, begin + bucket.plan.shard_elements()),
                       bucket.gradient_shard);
  }
  params_.drop_gradients(bucket);
}

void GradSync::finish() {
  for (auto part = order_.rbegin(); part != order_.rend(); ++part)
    sum_part(*part);
  while (!works_.empty())
    wait();
  if (copies_embedding_) sum_embedding_copies();
}

// Each end of the pipeline has the gradient of its own use of the matrix, and the same shard of it.
void GradSync::sum_embedding_copies() {
  if (!params_.has("embedding.tokens")) return;
  const nn::Param& tokens = params_.get("embedding.tokens");
  if (!tokens.trained || tokens.num_owned() == 0) return;
  Tensor sum = tokens.owned_gradient();
  groups_.embedding().all_reduce(sum, comm::Reduce::sum);
}

void GradSync::share_weights() {
  if (!params_.keeps_weights()) return;
  for (nn::ParamBucket& bucket : params_.buckets()) {
    works_.push_back(groups_.shards(bucket.plan.experts)
                         .start(comm::Operation::all_gather(bucket.weight_shard, bucket.weights)));
  }
  wait();
}

double clip_factor(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace tera::train
