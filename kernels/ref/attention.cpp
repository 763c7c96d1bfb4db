// Causal attention: out = softmax(S) v over the keys a query may see, S = scale q k^T, with a soft
// cap c of c tanh(scale q k^T / c). Query heads share the key-value head a / (A / G). A query that
// sees no key has out 0 and lse -inf. Over two sets of keys lse = log(exp(lse_1) + exp(lse_2)) and
// out = exp(lse_1 - lse) out_1 + exp(lse_2 - lse) out_2.
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

// Last key that query i sees.
std::int64_t last_of(const AttentionOptions& options, std::int64_t i, std::int64_t num_keys) {
  return std::min(options.query_offset + i, num_keys - 1);
}

constexpr double kNothing = -std::numeric_limits<double>::infinity();  // lse over no keys

double log_sum(double a, double b) {
  if (a == kNothing) return b;
  if (b == kNothing) return a;
  const double highest = std::max(a, b);
  return highest + std::log(std::exp(a - highest) + std::exp(b - highest));
}

// What a result has in that over more keys.
double share(double lse, double lse_of_all) {
  return lse == kNothing ? 0 : std::exp(lse - lse_of_all);
}

// Gradients in f64 until all queries are through: dk and dv gather over queries and heads.
struct HeadGradients {
  std::vector<double> dk;  // [Sk, D]
  std::vector<double> dv;  // [Sk, Dv]
};

template <class T>
void write_row(T* to, const double* from, std::int64_t width, bool accumulate) {
  for (std::int64_t d = 0; d < width; ++d)
    store(to[d], accumulate ? load(to[d]) + from[d] : from[d]);
}

template <class T>
void write_rows(const View& to,
                const std::vector<double>& from,
                std::int64_t b,
                std::int64_t head,
                bool accumulate) {
  const std::int64_t width = to.shape[3];
  for (std::int64_t j = 0; j < to.shape[1]; ++j)
    write_row(row<T>(to, b, j, head), from.data() + j * width, width, accumulate);
}

// Calls body<C, A, T> with T the type of `result`, which is one of both.
template <class Body>
void with_result_type(DType compute, DType result, const Body& body) {
  with_compute_type(compute, [&]<class C, class A>() {
    if (result == compute) return body.template operator()<C, A, C>();
    return body.template operator()<C, A, A>();
  });
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
  const auto one_query = [&]<class C, class A, class T>(std::int64_t b, std::int64_t i,
                                                        std::int64_t a) {
    const std::int64_t first = first_of(first_key, b, i);
    const std::int64_t last = last_of(options, i, dims.keys);
    double highest = kNothing;
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
    T* to = row<T>(out, b, i, a);
    A& logsumexp = row<A>(lse, b, i)[a];
    const double own = first > last ? kNothing : highest + std::log(total);
    const double before = options.accumulate ? load(logsumexp) : kNothing;
    const double all = log_sum(before, own);
    for (std::int64_t d = 0; d < dims.value_dim; ++d) {
      const double mean = first > last ? 0.0 : sum[static_cast<std::size_t>(d)] / total;
      store(to[d],
            options.accumulate ? share(before, all) * load(to[d]) + share(own, all) * mean : mean);
    }
    store(logsumexp, all);
  };
  with_result_type(q.dtype, out.dtype, [&]<class C, class A, class T>() {
    for (std::int64_t b = 0; b < dims.batch; ++b) {
      for (std::int64_t i = 0; i < dims.queries; ++i) {
        for (std::int64_t a = 0; a < dims.heads; ++a)
          one_query.template operator()<C, A, T>(b, i, a);
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
  const auto one_query = [&]<class C, class A, class T>(std::int64_t b, std::int64_t i,
                                                        std::int64_t a, HeadGradients& grads) {
    const C* query = row<const C>(q, b, i, a);
    const C* grad = row<const C>(dout, b, i, a);
    const double delta = dot(grad, row<const C>(out, b, i, a), dims.value_dim);
    query_grad.assign(query_grad.size(), 0.0);
    const std::int64_t last = last_of(options, i, dims.keys);
    for (std::int64_t j = first_of(first_key, b, i); j <= last; ++j) {
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
    write_row(row<T>(dq, b, i, a), query_grad.data(), width, options.accumulate);
  };
  with_result_type(q.dtype, dq.dtype, [&]<class C, class A, class T>() {
    const auto size = [&](std::int64_t dim) { return static_cast<std::size_t>(dims.keys * dim); };
    for (std::int64_t b = 0; b < dims.batch; ++b) {
      for (std::int64_t g = 0; g < dims.key_heads; ++g) {
        HeadGradients grads{std::vector<double>(size(width)),
                            std::vector<double>(size(dims.value_dim))};
        for (std::int64_t a = g * group; a < (g + 1) * group; ++a) {
          for (std::int64_t i = 0; i < dims.queries; ++i)
            one_query.template operator()<C, A, T>(b, i, a, grads);
        }
        write_rows<T>(dk, grads.dk, b, g, options.accumulate);
        write_rows<T>(dv, grads.dv, b, g, options.accumulate);
      }
    }
  });
}

}  // namespace tera::kernels::ref
