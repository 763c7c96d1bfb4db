// Scores of the experts, the choice of K of them, and the gradient back to the logits.
// Experts outside the best groups are not chosen, as if their selection score were -infinity.
// Backward: gates scaling s_k / S give ds_k = (scaling dg_k - sum_j dg_j g_j) / S when renormalised
// over the chosen (S = their sum), else scaling dg_k; softmax dz = s (ds - <ds, s>), sigmoid
// dz = ds s (1 - s); z-loss dz += 2 z_coeff lse softmax(z).
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {
namespace {

// Added to sums that are divided by: sigmoid scores may all be 0. As in DeepSeek-V3's router.
constexpr double kSmallestSum = 1e-20;

// Position of the highest value not yet taken, the lowest position among equals.
std::int64_t best_free(const std::vector<double>& values, const std::vector<bool>& taken) {
  std::int64_t best = -1;
  for (std::size_t e = 0; e < values.size(); ++e) {
    if (taken[e]) continue;
    if (best < 0 || values[e] > values[static_cast<std::size_t>(best)]) {
      best = static_cast<std::int64_t>(e);
    }
  }
  return best;
}

// logsumexp of z; z becomes softmax(z) or sigmoid(z).
double score(std::vector<double>& z, RouterType type) {
  const double highest = *std::max_element(z.begin(), z.end());
  double total = 0;
  for (const double value : z)
    total += std::exp(value - highest);
  const double logsumexp = highest + std::log(total);
  for (double& value : z) {
    value =
        type == RouterType::softmax ? std::exp(value - logsumexp) : 1.0 / (1.0 + std::exp(-value));
  }
  return logsumexp;
}

// Groups of neighbours are scored by the sum of their best values; marks every expert outside the
// top groups as taken, so that it cannot be chosen.
template <class A>
void exclude_groups(const std::vector<double>& selection,
                    const RouterOptions& options,
                    std::vector<bool>& taken) {
  const auto num_groups = static_cast<std::size_t>(options.num_groups);
  const std::size_t size = selection.size() / num_groups;
  std::vector<double> group(size);
  std::vector<double> group_scores(num_groups);
  const auto begin_of = [&](std::size_t g) {
    return selection.begin() + static_cast<std::ptrdiff_t>(g * size);
  };
  for (std::size_t g = 0; g < num_groups; ++g) {
    group.assign(begin_of(g), begin_of(g + 1));
    std::vector<bool> counted(size);
    A sum = 0;  // in the stored type: ties are the same on every backend
    for (std::int64_t n = 0; n < std::min(options.group_best, std::ssize(group)); ++n) {
      const auto best = static_cast<std::size_t>(best_free(group, counted));
      counted[best] = true;
      sum += static_cast<A>(group[best]);
    }
    group_scores[g] = load(sum);
  }
  std::vector<bool> kept(num_groups);
  for (std::int64_t n = 0; n < options.top_groups; ++n)
    kept[static_cast<std::size_t>(best_free(group_scores, kept))] = true;
  for (std::size_t e = 0; e < selection.size(); ++e)
    taken[e] = !kept[e / size];
}

}  // namespace

void router_forward(const Context&,
                    View logits,
                    View bias,
                    RouterOptions options,
                    View scores,
                    View indices,
                    View gates,
                    View logsumexp) {
  const auto dims =
      contract::check_router_forward(logits, bias, options, scores, indices, gates, logsumexp);
  const std::int64_t tokens = dims.tokens;
  const std::int64_t experts = dims.experts;
  const std::int64_t top_k = dims.top_k;
  std::vector<double> s(static_cast<std::size_t>(experts));
  std::vector<double> selection(s.size());
  std::vector<bool> taken(s.size());
  with_accumulate_type(logits.dtype, [&]<class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      load_row(logits, t * logits.strides[0], experts, s.data());
      const double lse = score(s, options.type);
      if (logsumexp.present()) store(logsumexp.as<A>()[t], lse);
      store_row(scores, t * scores.strides[0], experts, s.data());
      for (std::size_t e = 0; e < s.size(); ++e) {
        // Ties are ties of what is stored, so that every backend breaks the same ones.
        const A stored = row<A>(scores, t)[e];
        selection[e] =
            load(static_cast<A>(stored + (bias.present() ? bias.as<const A>()[e] : A(0))));
      }
      taken.assign(taken.size(), false);
      if (options.num_groups > 1) exclude_groups<A>(selection, options, taken);
      double chosen = 0;
      for (std::int64_t k = 0; k < top_k; ++k) {
        const std::int64_t e = best_free(selection, taken);
        taken[static_cast<std::size_t>(e)] = true;
        row<std::int32_t>(indices, t)[k] = static_cast<std::int32_t>(e);
        chosen += s[static_cast<std::size_t>(e)];
      }
      for (std::int64_t k = 0; k < top_k; ++k) {
        const auto e = static_cast<std::size_t>(row<std::int32_t>(indices, t)[k]);
        store(row<A>(gates, t)[k],
              options.scaling * s[e] / (options.renormalize ? chosen + kSmallestSum : 1.0));
      }
    }
  });
}

void router_backward(const Context&,
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
  const auto dims = contract::check_router_backward(logits, scores, indices, gates, logsumexp,
                                                    dgates, balance, z_coeff, options, dlogits);
  const std::int64_t tokens = dims.tokens;
  const std::int64_t experts = dims.experts;
  const std::int64_t top_k = dims.top_k;
  const auto n = static_cast<std::size_t>(experts);
  std::vector<double> s(n);
  std::vector<double> ds(n);
  std::vector<double> share_grad(n);  // zeros without a balance loss
  std::vector<double> z(n);
  const bool softmax = options.type == RouterType::softmax;
  const std::int64_t per_row = balance.present() ? tokens / balance.shape[0] : 1;
  const auto dot = [n](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t e = 0; e < n; ++e)
      sum += a[e] * b[e];
    return sum;
  };
  with_accumulate_type(scores.dtype, [&]<class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      load_row(scores, t * scores.strides[0], experts, s.data());
      if (balance.present())
        load_row(balance, t / per_row * balance.strides[0], experts, share_grad.data());
      const std::int32_t* chosen = row<const std::int32_t>(indices, t);
      const A* g = row<const A>(gates, t);
      const A* dg = row<const A>(dgates, t);
      double chosen_sum = 0;
      double inner = 0;
      for (std::int64_t k = 0; k < top_k; ++k) {
        chosen_sum += s[static_cast<std::size_t>(chosen[k])];
        inner += load(dg[k]) * load(g[k]);
      }
      double total = 0;
      for (const double value : s)
        total += value;
      total += kSmallestSum;
      const double mean_share_grad = softmax ? 0.0 : dot(share_grad, s) / total;
      for (std::size_t e = 0; e < n; ++e)
        ds[e] = softmax ? share_grad[e] : (share_grad[e] - mean_share_grad) / total;
      for (std::int64_t k = 0; k < top_k; ++k) {
        const double scaled = options.scaling * load(dg[k]);
        ds[static_cast<std::size_t>(chosen[k])] +=
            options.renormalize ? (scaled - inner) / (chosen_sum + kSmallestSum) : scaled;
      }
      const double mean_ds = softmax ? dot(ds, s) : 0.0;
      const double lse = z_coeff != 0 ? load(logsumexp.as<const A>()[t]) : 0.0;
      if (z_coeff != 0 && !softmax) load_row(logits, t * logits.strides[0], experts, z.data());
      for (std::size_t e = 0; e < n; ++e) {
        double dz = softmax ? s[e] * (ds[e] - mean_ds) : ds[e] * s[e] * (1.0 - s[e]);
        if (z_coeff != 0) dz += 2.0 * z_coeff * lse * (softmax ? s[e] : std::exp(z[e] - lse));
        store(row<A>(dlogits, t)[e], dz);
      }
    }
  });
}

}  // namespace tera::kernels::ref
