#include <fmt/format.h>

#include "tests/kernels/op_cases.h"

namespace tera::kernels::test {
namespace {

void add_activation(std::vector<OpCase>& cases, DType compute, Activation type, bool scaled) {
  for (const auto& [rows, width] : {std::pair(1, 1), std::pair(9, 37), std::pair(65, 128)}) {
    const std::string name = fmt::format("type {} {}x{}{}", static_cast<int>(type), rows, width,
                                         scaled ? " scaled" : "");
    const std::int64_t columns = is_gated(type) ? 2 * width : width;
    CaseBuilder f("activation_forward", name, compute);
    f.in(f.normal_c({rows, columns}, 3))
        .in(scaled ? f.normal_a({rows}) : Buffer())
        .out(f.blank_c({rows, width}));
    cases.push_back(f.finish(4, [type](const OpTable& ops, const Context& context, const Views& v) {
      ops.activation_forward(context, type, v[0], v[1], v[2]);
    }));
    CaseBuilder b("activation_backward", name, compute);
    b.in(b.normal_c({rows, width}))
        .in(b.normal_c({rows, columns}, 3))
        .in(scaled ? b.normal_a({rows}) : Buffer());
    b.out(b.blank_c({rows, columns})).out(scaled ? b.blank_a({rows}) : Buffer());
    cases.push_back(
        b.finish(width, [type](const OpTable& ops, const Context& context, const Views& v) {
          ops.activation_backward(context, type, v[0], v[1], v[2], v[3], v[4]);
        }));
  }
}

void add_bias_cases(std::vector<OpCase>& cases, DType compute) {
  for (const auto& [rows, width] : {std::pair(1, 3), std::pair(300, 40), std::pair(17, 129)}) {
    for (const std::int64_t gap : {0, 5}) {
      const std::string name = fmt::format("{}x{} gap {}", rows, width, gap);
      CaseBuilder f("add_bias", name, compute);
      f.out(f.normal_c({rows, width}, 1, gap)).in(f.normal_c({width}));
      cases.push_back(f.finish(2, [](const OpTable& ops, const Context& context, const Views& v) {
        ops.add_bias(context, v[0], v[1]);
      }));
      CaseBuilder b("bias_backward", name, compute);
      b.in(b.normal_c({rows, width}, 1, gap)).out(b.normal_a({width}));
      cases.push_back(
          b.finish(rows, [](const OpTable& ops, const Context& context, const Views& v) {
            ops.bias_backward(context, v[0], v[1]);
          }));
    }
  }
}

struct RouterRow {
  RouterOptions options;
  std::int64_t tokens, experts, top_k;
  bool bias, z_loss, equal_logits;
};

void add_router(std::vector<OpCase>& cases, DType compute, const RouterRow& row) {
  const bool softmax = row.options.type == RouterType::softmax;
  const std::string name = fmt::format(
      "{}{} {} of {}, {} tokens{}{}{}", softmax ? "softmax" : "sigmoid",
      row.options.renormalize ? " renormalized" : "", row.top_k, row.experts, row.tokens,
      row.bias ? " bias" : "", row.z_loss ? " z" : "", row.equal_logits ? " ties" : "");
  const RouterOptions options = row.options;
  CaseBuilder f("router_forward", name, compute);
  Buffer logits = f.normal_a({row.tokens, row.experts}, 2);
  if (row.equal_logits) logits.fill(0.5);
  Buffer bias = row.bias ? f.normal_a({row.experts}, 0.1) : Buffer();
  Buffer scores = f.blank_a({row.tokens, row.experts});
  Buffer indices = f.integers({row.tokens, row.top_k}, 0, 1);
  Buffer gates = f.blank_a({row.tokens, row.top_k});
  Buffer logsumexp = row.z_loss ? f.blank_a({row.tokens}) : Buffer();
  ref_ops().router_forward({}, logits, bias, options, scores, indices, gates, logsumexp);
  CaseBuilder b("router_backward", name, compute);
  const double z_coeff = row.z_loss ? 0.01 : 0.0;
  b.in(scores.clone())
      .in(indices.clone())
      .in(gates.clone())
      .in(logsumexp.clone())
      .in(b.normal_a({row.tokens, row.top_k}));
  b.in(row.bias ? b.normal_a({row.experts}) : Buffer()).out(b.blank_a({row.tokens, row.experts}));
  cases.push_back(b.finish(
      static_cast<double>(row.experts),
      [options, z_coeff](const OpTable& ops, const Context& context, const Views& v) {
        ops.router_backward(context, v[0], v[1], v[2], v[3], v[4], v[5], z_coeff, options, v[6]);
      }));
  f.in(std::move(logits))
      .in(std::move(bias))
      .out(scores.fill(7).clone())
      .out(indices.fill(0).clone());
  f.out(gates.fill(7).clone()).out(row.z_loss ? logsumexp.fill(7).clone() : Buffer());
  cases.push_back(f.finish(static_cast<double>(row.experts),
                           [options](const OpTable& ops, const Context& context, const Views& v) {
                             ops.router_forward(context, v[0], v[1], options, v[2], v[3], v[4],
                                                v[5]);
                           }));
}

void add_dispatch(std::vector<OpCase>& cases, DType compute) {
  for (const auto& [tokens, experts, top_k, width] :
       {std::tuple(1, 1, 1, 3), std::tuple(50, 8, 2, 40), std::tuple(33, 4, 4, 17),
        std::tuple(300, 64, 3, 8)}) {
    const std::string name =
        fmt::format("{} tokens, {} of {}, width {}", tokens, top_k, experts, width);
    CaseBuilder d("moe_dispatch", name, compute);
    // Expert 0 stays empty whenever there is another one.
    Buffer indices = d.integers({tokens, top_k}, experts > 1 ? 1 : 0, experts);
    Buffer offsets(DType::i64, {experts + 1});
    Buffer rows(DType::i32, {tokens, top_k});
    ref_ops().moe_dispatch({}, indices, offsets, rows);
    CaseBuilder p("moe_permute", name, compute);
    p.in(p.normal_c({tokens, width})).in(rows.clone()).out(p.blank_c({tokens * top_k, width}));
    cases.push_back(p.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
      ops.moe_permute(context, v[0], v[1], v[2]);
    }));
    for (const bool accumulate : {false, true}) {
      CaseBuilder u("moe_unpermute", name + (accumulate ? " accumulate" : ""), compute);
      u.in(u.normal_c({tokens * top_k, width})).in(rows.clone()).out(u.normal_c({tokens, width}));
      cases.push_back(u.finish(
          top_k + 1, [accumulate](const OpTable& ops, const Context& context, const Views& v) {
            ops.moe_unpermute(context, v[0], v[1], v[2], accumulate);
          }));
    }
    CaseBuilder s("moe_scatter_gates", name, compute);
    s.in(s.normal_a({tokens, top_k})).in(rows.clone()).out(s.blank_a({tokens * top_k}));
    cases.push_back(s.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
      ops.moe_scatter_gates(context, v[0], v[1], v[2]);
    }));
    CaseBuilder g("moe_gather_gates", name, compute);
    g.in(g.normal_a({tokens * top_k})).in(rows.clone()).out(g.blank_a({tokens, top_k}));
    cases.push_back(g.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
      ops.moe_gather_gates(context, v[0], v[1], v[2]);
    }));
    d.in(std::move(indices)).out(offsets.fill(0).clone()).out(rows.fill(0).clone());
    cases.push_back(d.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
      ops.moe_dispatch(context, v[0], v[1], v[2]);
    }));
  }
}

}  // namespace

std::vector<OpCase> feed_forward_cases(DType compute) {
  std::vector<OpCase> cases;
  for (const Activation type :
       {Activation::swiglu, Activation::gelu, Activation::relu, Activation::gelu_exact,
        Activation::relu_squared, Activation::geglu}) {
    for (const bool scaled : {false, true})
      add_activation(cases, compute, type, scaled);
  }
  add_bias_cases(cases, compute);
  const RouterOptions softmax;
  const RouterOptions renormalized{RouterType::softmax, true, 1.5};
  const RouterOptions sigmoid{RouterType::sigmoid, true, 2.5};
  const RouterOptions raw_sigmoid{RouterType::sigmoid, false, 1.0};
  for (const RouterRow& row : {RouterRow{softmax, 1, 1, 1, false, false, false},
                               RouterRow{softmax, 40, 8, 2, false, true, false},
                               RouterRow{renormalized, 65, 16, 4, true, true, false},
                               RouterRow{sigmoid, 33, 64, 8, true, false, false},
                               RouterRow{raw_sigmoid, 20, 5, 3, false, false, false},
                               RouterRow{renormalized, 7, 6, 2, false, false, true},
                               RouterRow{sigmoid, 7, 9, 9, false, false, true}})
    add_router(cases, compute, row);
  add_dispatch(cases, compute);
  return cases;
}

}  // namespace tera::kernels::test
