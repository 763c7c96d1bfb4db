// Causal attention: out = softmax(S) v over the keys a query may see, S = scale q k^T, with a soft
// cap c of c tanh(scale q k^T / c). Query heads share the key-value head a / (A / G). A query that
// sees no key has out 0 and lse -inf.
// Backward: P = exp(S - lse), dV += P^T dO, dS = P (dO V^T - delta), with a soft cap times
// 1 - (S / c)^2; dQ = scale dS K, dK += scale dS^T Q.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {
namespace {

template <class C>
double dot(const C* a, const C* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i)
    sum += load(a[i]) * load(b[i]);
  return sum;
}

std::int64_t first_of(const View& first_key, std::int64_t b, std::int64_t i) {
  return std::max<std::int64_t>(0, row<const std::int32_t>(first_key, b)[i]);
}

// S of one query and key.
double capped(double score, const AttentionOptions& options) {
  return options.softcap > 0 ? options.softcap * std::tanh(score / options.softcap) : score;
}

// dS / d(scale q k^T), from S.
double cap_slope(double score, const AttentionOptions& options) {
  const double share = options.softcap > 0 ? score / options.softcap : 0;
  return 1 - share * share;
}

// Gradients in f64 until all queries are through: dk and dv gather over queries and heads.
struct HeadGradients {
  std::vector<double> dk;  // [Sk, D]
  std::vector<double> dv;  // [Sk, Dv]
};

template <class C>
void write_rows(const View& to,
                const std::vector<double>& from,
                std::int64_t b,
                std::int64_t head) {
  const std::int64_t width = to.shape[3];
  for (std::int64_t j = 0; j < to.shape[1]; ++j) {
    for (std::int64_t d = 0; d < width; ++d)
      store(row<C>(to, b, j, head)[d], from[static_cast<std::size_t>(j * width + d)]);
  }
}

}  // namespace

void attention_forward(const Context&,
                       View q,
                       View k,
                       View v,
                       View first_key,
                       AttentionOptions options,
                       View out,
                       View lse) {
  const auto dims =
      contract::check_attention("attention_forward", q, k, v, first_key, options, out, lse);
  const std::int64_t group = dims.heads / dims.key_heads;
  std::vector<double> scores(static_cast<std::size_t>(dims.keys));
  std::vector<double> sum(static_cast<std::size_t>(dims.value_dim));
  const auto one_query = [&]<class C, class A>(std::int64_t b, std::int64_t i, std::int64_t a) {
    const std::int64_t first = first_of(first_key, b, i);
    const std::int64_t last = options.query_offset + i;
    double highest = -std::numeric_limits<double>::infinity();
    for (std::int64_t j = first; j <= last; ++j) {
      double& score = scores[static_cast<std::size_t>(j)];
      score = capped(options.scale * dot(row<const C>(q, b, i, a), row<const C>(k, b, j, a / group),
                                         dims.head_dim),
                     options);
      highest = std::max(highest, score);
    }
    double total = 0;
    sum.assign(sum.size(), 0.0);
    for (std::int64_t j = first; j <= last; ++j) {
      const double p = std::exp(scores[static_cast<std::size_t>(j)] - highest);
      total += p;
      const C* value = row<const C>(v, b, j, a / group);
      for (std::int64_t d = 0; d < dims.value_dim; ++d)
        sum[static_cast<std::size_t>(d)] += p * load(value[d]);
    }
    C* to = row<C>(out, b, i, a);
    for (std::int64_t d = 0; d < dims.value_dim; ++d)
      store(to[d], first > last ? 0.0 : sum[static_cast<std::size_t>(d)] / total);
    store(row<A>(lse, b, i)[a], first > last ? highest : highest + std::log(total));
  };
  with_compute_type(q.dtype, [&]<class C, class A>() {
    for (std::int64_t b = 0; b < dims.batch; ++b) {
      for (std::int64_t i = 0; i < dims.queries; ++i) {
        for (std::int64_t a = 0; a < dims.heads; ++a)
          one_query.template operator()<C, A>(b, i, a);
      }
    }
  });
}

void attention_backward(const Context&,
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
  const std::int64_t group = dims.heads / dims.key_heads;
  const std::int64_t width = dims.head_dim;
  std::vector<double> query_grad(static_cast<std::size_t>(width));
  const auto one_query = [&]<class C, class A>(std::int64_t b, std::int64_t i, std::int64_t a,
                                               HeadGradients& grads) {
    const C* query = row<const C>(q, b, i, a);
    const C* grad = row<const C>(dout, b, i, a);
    const double delta = dot(grad, row<const C>(out, b, i, a), dims.value_dim);
    query_grad.assign(query_grad.size(), 0.0);
    for (std::int64_t j = first_of(first_key, b, i); j <= i; ++j) {
      const C* key = row<const C>(k, b, j, a / group);
      const double score = capped(options.scale * dot(query, key, width), options);
      const double p = std::exp(score - load(row<const A>(lse, b, i)[a]));
      const double dp = dot(grad, row<const C>(v, b, j, a / group), dims.value_dim);
      const double ds = options.scale * p * (dp - delta) * cap_slope(score, options);
      for (std::int64_t d = 0; d < dims.value_dim; ++d)
        grads.dv[static_cast<std::size_t>(j * dims.value_dim + d)] += p * load(grad[d]);
      for (std::int64_t d = 0; d < width; ++d) {
        grads.dk[static_cast<std::size_t>(j * width + d)] += ds * load(query[d]);
        query_grad[static_cast<std::size_t>(d)] += ds * load(key[d]);
      }
    }
    for (std::int64_t d = 0; d < width; ++d)
      store(row<C>(dq, b, i, a)[d], query_grad[static_cast<std::size_t>(d)]);
  };
  with_compute_type(q.dtype, [&]<class C, class A>() {
    const auto size = [&](std::int64_t dim) { return static_cast<std::size_t>(dims.keys * dim); };
    for (std::int64_t b = 0; b < dims.batch; ++b) {
      for (std::int64_t g = 0; g < dims.key_heads; ++g) {
        HeadGradients grads{std::vector<double>(size(width)),
                            std::vector<double>(size(dims.value_dim))};
        for (std::int64_t a = g * group; a < (g + 1) * group; ++a) {
          for (std::int64_t i = 0; i < dims.queries; ++i)
            one_query.template operator()<C, A>(b, i, a, grads);
        }
        write_rows<C>(dk, grads.dk, b, g);
        write_rows<C>(dv, grads.dv, b, g);
      }
    }
  });
}

}  // namespace tera::kernels::ref
