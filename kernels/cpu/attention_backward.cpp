// Backward attention in the tiles of the forward: S^T and dP^T = V dO^T are recomputed per tile of
// keys x queries, P and dS made from them lane by lane, and three products added up:
//   dQ^T += K^T dS^T (dS^T as it lies), dV += P^T dO and dK += dS^T Q (P^T, dS^T repacked as rows).
// Four column panels of queries (128) share a tile, so that the sums over queries are long enough
// to keep the FMA units busy. A task is one (sequence, key-value head): dK and dV of its keys are
// summed in order of heads and queries. When there are too few of those for the workers, tasks are
// runs of keys (dK, dV) and runs of queries (dQ), which costs two of five products again but adds
// in the same order: same bits.
#include "kernels/cpu/attention_backward_task.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {
namespace {

using backward::Call;
using backward::Job;

constexpr std::int64_t kPanelsPerBlock = 8;  // 96 keys a tile with 12 rows a panel

std::vector<Job> jobs_of(const Call& call, const AttentionPlan& plan, int workers) {
  const contract::AttentionDims& d = call.dims;
  const std::int64_t heads = d.batch * d.key_heads;
  std::vector<Job> jobs;
  const std::int64_t tile = backward::kColumnPanels * plan.kernel.nr;
  const bool whole =
      heads >= std::int64_t{4} * workers || heads % workers == 0 || d.queries <= tile;
  // Runs of whole tiles, so that the sums inside a tile are the same however long the runs are.
  const std::int64_t runs = std::max<std::int64_t>(
      1, ceil_div(std::int64_t{4} * workers, std::max<std::int64_t>(1, heads)));
  const std::int64_t query_run = ceil_div(ceil_div(d.queries, runs), tile) * tile;
  const std::int64_t key_run = ceil_div(ceil_div(d.keys, runs), plan.key_block) * plan.key_block;
  for (std::int64_t i = 0; i < heads; ++i) {
    const std::int64_t b = i / d.key_heads;
    const std::int64_t g = i % d.key_heads;
    if (whole) {
      jobs.push_back({b, g, 0, d.keys, 0, d.queries, true, true});
      continue;
    }
    for (std::int64_t key = 0; key < d.keys; key += key_run)
      jobs.push_back({b, g, key, std::min(d.keys, key + key_run), 0, d.queries, false, true});
    for (std::int64_t query = 0; query < d.queries; query += query_run)
      jobs.push_back({b, g, 0, d.keys, query, std::min(d.queries, query + query_run), true, false});
  }
  return jobs;
}

}  // namespace

void attention_backward(const Context& context,
                        View dout,
                        View q,
                        View k,
                        View v,
                        View first_key,
                        View out,
                        View lse,
                        AttentionOptions options,
                        View dq,
                        View dk,
                        View dv) {
  const auto dims =
      contract::check_attention_backward(dout, q, k, v, first_key, out, lse, options, dq, dk, dv);
  if (q.dtype == DType::f64) {
    return ref::attention_backward(context, dout, q, k, v, first_key, out, lse, options, dq, dk,
                                   dv);
  }
  const Call call{dout, q, k, v, first_key, out, lse, options, dq, dk, dv, dims};
  Executor& executor = *context.executor;
  const AttentionPlans plans(q.dtype, dims, kPanelsPerBlock);
  const std::vector<Job> jobs = jobs_of(call, plans.keys, executor.num_workers());
  executor.parallel_for(std::ssize(jobs), [&](std::int64_t task, int worker) {
    const Job& job = jobs[static_cast<std::size_t>(task)];
    Carver measure(nullptr);
    const backward::Buffers measured(measure, plans, job.key_end - job.key_begin);
    Carver carver(executor.scratch(worker, 0, measure.used()));
    backward::Task(call, plans, job, backward::Buffers(carver, plans, job.key_end - job.key_begin))
        .run();
  });
}

}  // namespace tera::kernels::cpu
