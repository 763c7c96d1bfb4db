// Scores by one vector pass per token; the choice of K experts is a scan per choice, since E is
// small.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/router.cpp"
#include <cmath>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {

// scores = softmax(z) or sigmoid(z); returns logsumexp(z).
float score_row(RouterType type, const float* z, std::int64_t n, float* scores) {
  const F32 d;
  float highest = z[0];
  for (std::int64_t e = 1; e < n; ++e)
    highest = z[e] > highest ? z[e] : highest;
  const VF base = hn::Set(d, highest);
  VF sum = hn::Zero(d);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF v = load_n(z + i, count);
    const VF e = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(count)),
                                    exp_nonpositive(hn::Sub(v, base)));
    sum = hn::Add(sum, e);
    store_n(type == RouterType::softmax ? e : sigmoid(v), scores + i, count);
  });
  const float total = sum_lanes(sum);
  if (type == RouterType::softmax) {
    const VF factor = hn::Set(d, 1.0F / total);
    for_vectors(n, [&](std::int64_t i, std::int64_t count) {
      store_n(hn::Mul(load_n(scores + i, count), factor), scores + i, count);
    });
  }
  return highest + std::log(total);
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {
namespace {

HWY_EXPORT(score_row);

// Position of the highest value among those not taken, the lowest position among equals; values
// that are taken are marked by their flag.
std::int64_t best_free(const float* values, const unsigned char* taken, std::int64_t n) {
  std::int64_t best = -1;
  for (std::int64_t e = 0; e < n; ++e) {
    if (taken[e] == 0 && (best < 0 || values[e] > values[best])) best = e;
  }
  return best;
}

// Marks every expert outside the top groups as taken: the reference's rule in f32. `group_scores`
// and `kept` have room for every group, `counted` for one group's experts.
struct GroupScratch {
  float* group_scores;
  unsigned char* kept;
  unsigned char* counted;
};
void exclude_groups(const float* selection,
                    std::int64_t experts,
                    const RouterOptions& options,
                    const GroupScratch& scratch,
                    unsigned char* taken) {
  const std::int64_t size = experts / options.num_groups;
  const std::int64_t num_best = std::min(options.group_best, size);
  for (std::int64_t g = 0; g < options.num_groups; ++g) {
    std::fill_n(scratch.counted, size, static_cast<unsigned char>(0));
    scratch.group_scores[g] = 0;
    for (std::int64_t n = 0; n < num_best; ++n) {
      const std::int64_t best = best_free(selection + g * size, scratch.counted, size);
      scratch.counted[best] = 1;
      scratch.group_scores[g] += selection[g * size + best];
    }
  }
  std::fill_n(scratch.kept, options.num_groups, static_cast<unsigned char>(0));
  for (std::int64_t n = 0; n < options.top_groups; ++n)
    scratch.kept[best_free(scratch.group_scores, scratch.kept, options.num_groups)] = 1;
  for (std::int64_t e = 0; e < experts; ++e)
    taken[e] = static_cast<unsigned char>(1 - scratch.kept[e / size]);
}

}  // namespace

void router_forward(const Context& context,
                    View logits,
                    View bias,
                    RouterOptions options,
                    View scores,
                    View indices,
                    View gates,
                    View logsumexp) {
  const contract::RouterDims dims =
      contract::check_router_forward(logits, bias, options, scores, indices, gates, logsumexp);
  if (logits.dtype == DType::f64)
    return ref::router_forward(context, logits, bias, options, scores, indices, gates, logsumexp);
  const std::int64_t experts = dims.experts;
  const std::int64_t top_k = dims.top_k;
  for_ranges(context, dims.tokens, row_grain(8 * experts),
             [&](std::int64_t begin, std::int64_t end, int worker) {
               const auto room = static_cast<std::size_t>(experts + 1);
               auto* selection = reinterpret_cast<float*>(
                   context.executor->scratch(worker, 0, 2 * room * sizeof(float)));
               auto* taken =
                   reinterpret_cast<unsigned char*>(context.executor->scratch(worker, 1, 3 * room));
               const GroupScratch groups{selection + room, taken + room, taken + 2 * room};
               for (std::int64_t t = begin; t < end; ++t) {
                 float* s = scores.as<float>() + t * experts;
                 const float lse = HWY_DYNAMIC_DISPATCH(score_row)(
                     options.type, logits.as<const float>() + t * experts, experts, s);
                 if (logsumexp.present()) logsumexp.as<float>()[t] = lse;
                 for (std::int64_t e = 0; e < experts; ++e)
                   selection[e] = s[e] + (bias.present() ? bias.as<const float>()[e] : 0.0F);
                 std::fill_n(taken, experts, static_cast<unsigned char>(0));
                 if (options.num_groups > 1)
                   exclude_groups(selection, experts, options, groups, taken);
                 auto* chosen = indices.as<std::int32_t>() + t * top_k;
                 float sum = 0;
                 for (std::int64_t k = 0; k < top_k; ++k) {
                   const std::int64_t e = best_free(selection, taken, experts);
                   taken[e] = 1;
                   chosen[k] = static_cast<std::int32_t>(e);
                   sum += s[e];
                 }
                 const float factor = static_cast<float>(options.scaling) /
                                      (options.renormalize ? sum + 1e-20F : 1.0F);
                 for (std::int64_t k = 0; k < top_k; ++k)
                   gates.as<float>()[t * top_k + k] = factor * s[chosen[k]];
               }
             });
}

void router_backward(const Context& context,
                     View logits,
                     View scores,
                     View indices,
                     View gates,
                     View logsumexp,
                     View dgates,
                     View balance,
                     double z_coeff,
                     RouterOptions options,
                     View dlogits) {
  const contract::RouterDims dims = contract::check_router_backward(
      logits, scores, indices, gates, logsumexp, dgates, balance, z_coeff, options, dlogits);
  // Slices of tokens through the reference: a dozen operations per expert, and f64 costs nothing
  // here. Each row of `balance` belongs to a block of tokens, which a slice does not cross.
  const auto slice = [](const View& v, std::int64_t begin, std::int64_t end) {
    if (!v.present()) return v;
    View part = v;
    part.data = v.as<std::byte>() + begin * v.strides[0] * dtype_bytes(v.dtype);
    part.shape[0] = end - begin;
    return part;
  };
  const std::int64_t blocks = balance.present() ? balance.shape[0] : 1;
  const std::int64_t per_block = dims.tokens / blocks;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t first = block * per_block;
    for_ranges(context, per_block, row_grain(8 * dims.experts),
               [&](std::int64_t from, std::int64_t to, int) {
                 const std::int64_t begin = first + from;
                 const std::int64_t end = first + to;
                 ref::router_backward(context, slice(logits, begin, end), slice(scores, begin, end),
                                      slice(indices, begin, end), slice(gates, begin, end),
                                      slice(logsumexp, begin, end), slice(dgates, begin, end),
                                      slice(balance, block, block + 1), z_coeff, options,
                                      slice(dlogits, begin, end));
               });
  }
}

}  // namespace tera::kernels::cpu
#endif
