#include "core/train/gradient_norm.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "core/plan/adapter_table.h"
#include "core/plan/param_buckets.h"

namespace tera::train {
namespace {

// Replicas share tensors out in whole blocks from their first element on.
constexpr std::int64_t kBlock = plan::kBucketBlock;

std::int64_t num_blocks(const nn::Param& param) {
  return (param.slice.num_elements() + kBlock - 1) / kBlock;
}

// In order; gradients are f32.
double squares(const float* from, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i)
    sum += double{from[i]} * double{from[i]};
  return sum;
}

}  // namespace

// Each replica counts its shard, whatever the stage of ZeRO: the same sums, the same norm.
GradientNorm::GradientNorm(nn::ParamStore& params,
                           comm::MeshGroups& groups,
                           const spec::RunSpec& spec)
    : params_(params), groups_(groups), reproducible_(spec.training.reproducible_sums) {
  const plan::LocalTable table = plan::local_table(spec, groups_.mesh(), groups_.rank());
  std::vector<std::pair<std::int64_t, std::int64_t>> shares;
  for (const plan::LocalParam& held : table)
    shares.emplace_back(0, held.slice.num_elements());
  for (const plan::ParamBucket& bucket :
       plan::replicated_buckets(spec, groups_.mesh(), groups_.rank(), table)) {
    for (const plan::ParamBucket::Entry& entry : bucket.entries)
      shares[entry.param] = bucket.owned(entry);
  }
  const plan::ParamTable whole = plan::make_param_table(spec);
  num_rows_ = whole.size();
  std::size_t row = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const nn::Param& param = params_.params()[i];
    while (whole[row].name != param.spec.name)
      ++row;
    row_of_.push_back(row);
    if (!param.trained) continue;
    for (const auto& [first, last] : param.slice.first_ranges()) {
      const std::int64_t begin = std::max(first, shares[i].first);
      const std::int64_t end = std::min(last, shares[i].second);
      if (begin < end) counted_.push_back({&param, row, begin, end});
    }
  }
}

double GradientNorm::compute() {
  std::vector<double> rows(num_rows_);
  if (reproducible_) {
    for (const bool experts : {false, true})
      add_blocks(rows, experts);
  } else {
    add_ranges(rows);
  }
  Tensor summed =
      Tensor::empty(params_.backend(), {std::ssize(rows)}, DType::f64, MemoryKind::workspace);
  auto* all = summed.data<double>();
  std::copy(rows.begin(), rows.end(), all);
  groups_.world().all_reduce(summed, comm::Reduce::sum);
  return std::sqrt(std::accumulate(all, all + rows.size(), 0.0));
}

void GradientNorm::add_ranges(std::vector<double>& rows) {
  Backend& backend = params_.backend();
  for (const Counted& at : counted_) {
    const Tensor gradient = at.param->owned_gradient();
    const std::int64_t from = at.param->owned_begin;
    rows[at.row] += backend.ops().sum_of_squares(backend.context(),
                                                 gradient.slice(0, at.begin - from, at.end - from));
  }
}

// The sums of all blocks, each of the replica that counts it; then those of tensors, on the first.
void GradientNorm::add_blocks(std::vector<double>& rows, bool experts) {
  Backend& backend = params_.backend();
  std::map<const nn::Param*, std::int64_t> first_block;
  std::int64_t total = 0;
  for (const nn::Param& param : params_.params()) {
    if (!param.trained || param.spec.is_expert() != experts) continue;
    first_block[&param] = total;
    total += num_blocks(param);
  }
  if (total == 0) return;
  Tensor sums = Tensor::zeros(backend, {total}, DType::f64, MemoryKind::workspace);
  for (const Counted& at : counted_) {
    if (at.param->spec.is_expert() != experts) continue;
    const Tensor gradient = at.param->owned_gradient();
    const auto* from = gradient.data<const float>();
    const std::int64_t owned = at.param->owned_begin;
    double* to = sums.data<double>() + first_block.at(at.param);
    const std::int64_t first = at.begin / kBlock;
    backend.context().executor->parallel_for(
        (at.end - 1) / kBlock + 1 - first, [&](std::int64_t i, int /*worker*/) {
          const std::int64_t begin = std::max(at.begin, (first + i) * kBlock);
          const std::int64_t end = std::min(at.end, (first + i + 1) * kBlock);
          to[first + i] += squares(from + (begin - owned), end - begin);
        });
  }
  comm::Communicator& replicas = groups_.replicas(experts);
  replicas.all_reduce(sums, comm::Reduce::sum);
  if (replicas.rank() > 0) return;
  for (std::size_t i = 0; i < params_.params().size(); ++i) {
    const nn::Param& param = params_.params()[i];
    if (first_block.count(&param) == 0) continue;
    const double* block = sums.data<double>() + first_block.at(&param);
    rows[row_of_[i]] = std::accumulate(block, block + num_blocks(param), 0.0);
  }
}

}  // namespace tera::train
