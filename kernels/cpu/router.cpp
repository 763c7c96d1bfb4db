// Scores by one vector pass per token. Choices are the largest of integer keys that order like the
// scores: a choice is a vector pass for the largest key and one for its first place.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/router.cpp"
#include <algorithm>
#include <cmath>
#include <limits>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/router_choice.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

using I32 = hn::RebindToSigned<F32>;
using VI = hn::Vec<I32>;

// Below every key: of what is chosen or cannot be.
constexpr std::int32_t kTaken = std::numeric_limits<std::int32_t>::min();

// keys[i] order like values[i], NaN lowest; writes up to a vector more than n.
void make_keys(const float* values, std::int64_t n, std::int32_t* keys) {
  const F32 d;
  const I32 di;
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF v = hn::Add(load_n(values + i, count), hn::Zero(d));  // -0 is 0
    const VI bits = hn::BitCast(di, v);
    const VI magnitude = hn::And(hn::ShiftRight<31>(bits), hn::Set(di, 0x7fffffff));
    const VI key = hn::IfThenElse(hn::RebindMask(di, hn::IsNaN(v)), hn::Set(di, kTaken + 1),
                                  hn::Xor(bits, magnitude));
    hn::StoreU(key, di, keys + i);
  });
}

// A vector of keys, of which `rest` count; readable up to a vector behind the last.
HWY_INLINE VI keys_at(const std::int32_t* keys, std::int64_t rest) {
  const I32 di;
  const VI all = hn::LoadU(di, keys);
  if (rest >= kWidth) return all;
  return hn::IfThenElse(hn::FirstN(di, static_cast<std::size_t>(rest)), all, hn::Set(di, kTaken));
}

// Place of the largest key, the first among equals; takes it.
std::int64_t take_largest(std::int32_t* keys, std::int64_t n) {
  const I32 di;
  VI largest = hn::Set(di, kTaken);
  for (std::int64_t i = 0; i < n; i += kWidth)
    largest = hn::Max(largest, keys_at(keys + i, n - i));
  largest = hn::MaxOfLanes(di, largest);
  for (std::int64_t i = 0; i < n; i += kWidth) {
    const std::intptr_t lane = hn::FindFirstTrue(di, hn::Eq(keys_at(keys + i, n - i), largest));
    if (lane < 0) continue;
    keys[i + lane] = kTaken;
    return i + lane;
  }
  return 0;  // n is 0
}

// Takes every expert outside the top groups.
void exclude_groups(const float* selection,
                    std::int64_t experts,
                    const RouterOptions& options,
                    const ChoiceScratch& scratch) {
  const std::int64_t size = experts / options.num_groups;
  const std::int64_t num_best = std::min(options.group_best, size);
  for (std::int64_t g = 0; g < options.num_groups; ++g) {
    std::copy_n(scratch.keys + g * size, size, scratch.rest);
    scratch.group_scores[g] = 0;
    for (std::int64_t n = 0; n < num_best; ++n)
      scratch.group_scores[g] += selection[g * size + take_largest(scratch.rest, size)];
  }
  make_keys(scratch.group_scores, options.num_groups, scratch.rest);
  for (std::int64_t n = 0; n < options.top_groups; ++n)
    take_largest(scratch.rest, options.num_groups);
  for (std::int64_t g = 0; g < options.num_groups; ++g) {
    if (scratch.rest[g] != kTaken) std::fill_n(scratch.keys + g * size, size, kTaken);
  }
}

}  // namespace

void choose_row(const float* selection,
                std::int64_t experts,
                std::int64_t top_k,
                const RouterOptions& options,
                const ChoiceScratch& scratch,
                std::int32_t* indices) {
  make_keys(selection, experts, scratch.keys);
  if (options.num_groups > 1) exclude_groups(selection, experts, options, scratch);
  for (std::int64_t k = 0; k < top_k; ++k)
    indices[k] = static_cast<std::int32_t>(take_largest(scratch.keys, experts));
}

// scores = softmax(z) or sigmoid(z); returns logsumexp(z).
float score_row(RouterType type, const float* z, std::int64_t n, float* scores) {
  const F32 d;
  VF top = hn::Set(d, z[0]);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const auto in_row = hn::FirstN(d, static_cast<std::size_t>(count));
    top = hn::Max(top, hn::IfThenElse(in_row, load_n(z + i, count), top));
  });
  const float highest = hn::GetLane(hn::MaxOfLanes(d, top));
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

HWY_EXPORT(choose_row);
HWY_EXPORT(score_row);

constexpr std::int64_t kMostLanes = 64;  // of f32 on any processor

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
               const auto room = static_cast<std::size_t>(experts + kMostLanes);
               auto* values = reinterpret_cast<float*>(
                   context.executor->scratch(worker, 0, 2 * room * sizeof(float)));
               auto* keys = reinterpret_cast<std::int32_t*>(
                   context.executor->scratch(worker, 1, 2 * room * sizeof(std::int32_t)));
               float* selection = values;
               const ChoiceScratch scratch{keys, keys + room, values + room};
               for (std::int64_t t = begin; t < end; ++t) {
                 float* s = scores.as<float>() + t * experts;
                 const float lse = HWY_DYNAMIC_DISPATCH(score_row)(
                     options.type, logits.as<const float>() + t * experts, experts, s);
                 if (logsumexp.present()) logsumexp.as<float>()[t] = lse;
                 for (std::int64_t e = 0; e < experts; ++e)
                   selection[e] = s[e] + (bias.present() ? bias.as<const float>()[e] : 0.0F);
                 auto* chosen = indices.as<std::int32_t>() + t * top_k;
                 HWY_DYNAMIC_DISPATCH(choose_row)
                 (selection, experts, top_k, options, scratch, chosen);
                 float sum = 0;
                 for (std::int64_t k = 0; k < top_k; ++k)
                   sum += s[chosen[k]];
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
