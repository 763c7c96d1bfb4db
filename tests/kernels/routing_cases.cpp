#include <algorithm>

#include <fmt/format.h>

#include "tests/kernels/op_cases.h"

namespace tera::kernels::test {
namespace {

struct RouterRow {
  RouterOptions options;
  std::int64_t tokens, experts, top_k;
  bool bias = false;
  bool z_loss = false;
  std::int64_t balance_rows = 0;
  bool equal_logits = false;
};

std::string name_of(const RouterRow& row) {
  const RouterOptions& o = row.options;
  return fmt::format("{}{} {} of {} in {} of {} groups by {}, {} tokens{}{}{}{}",
                     o.type == RouterType::softmax ? "softmax" : "sigmoid",
                     o.renormalize ? " renormalized" : "", row.top_k, row.experts, o.top_groups,
                     o.num_groups, o.group_best, row.tokens, row.bias ? " bias" : "",
                     row.z_loss ? " z" : "",
                     row.balance_rows > 0 ? fmt::format(" balance {}", row.balance_rows) : "",
                     row.equal_logits ? " ties" : "");
}

void add_router(std::vector<OpCase>& cases, DType compute, const RouterRow& row) {
  const RouterOptions options = row.options;
  CaseBuilder f("router_forward", name_of(row), compute);
  Buffer logits = f.normal_a({row.tokens, row.experts}, 2);
  if (row.equal_logits) logits.fill(0.5);
  Buffer bias = row.bias ? f.normal_a({row.experts}, 0.1) : Buffer();
  Buffer scores = f.blank_a({row.tokens, row.experts});
  Buffer indices = f.integers({row.tokens, row.top_k}, 0, 1);
  Buffer gates = f.blank_a({row.tokens, row.top_k});
  Buffer logsumexp = row.z_loss ? f.blank_a({row.tokens}) : Buffer();
  ref_ops().router_forward({}, logits, bias, options, scores, indices, gates, logsumexp);
  CaseBuilder b("router_backward", name_of(row), compute);
  const double z_coeff = row.z_loss ? 0.01 : 0.0;
  const bool keeps_logits = row.z_loss && options.type == RouterType::sigmoid;
  b.in(keeps_logits ? logits.clone() : Buffer())
      .in(scores.clone())
      .in(indices.clone())
      .in(gates.clone())
      .in(logsumexp.clone())
      .in(b.normal_a({row.tokens, row.top_k}))
      .in(row.balance_rows > 0 ? b.normal_a({row.balance_rows, row.experts}) : Buffer())
      .out(b.blank_a({row.tokens, row.experts}));
  cases.push_back(
      b.finish(static_cast<double>(row.experts),
               [options, z_coeff](const OpTable& ops, const Context& context, const Views& v) {
                 ops.router_backward(context, v[0], v[1], v[2], v[3], v[4], v[5], v[6], z_coeff,
                                     options, v[7]);
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

struct DispatchRow {
  std::int64_t tokens, experts, top_k, width;
  std::int64_t lowest, highest;  // experts drawn from [lowest, highest]: the others stay empty
  std::int64_t capacity = 0;
  bool by_priority = false;
  bool pad = false;
};

void add_dispatch(std::vector<OpCase>& cases, DType compute, const DispatchRow& row) {
  const std::string name =
      fmt::format("{} tokens, {} of {} ({} to {}), width {}, capacity {}{}{}", row.tokens,
                  row.top_k, row.experts, row.lowest, row.highest, row.width, row.capacity,
                  row.by_priority ? " by priority" : "", row.pad ? " padded" : "");
  const std::int64_t slots = row.tokens * row.top_k;
  CaseBuilder d("moe_dispatch", name, compute);
  Buffer indices = d.integers({row.tokens, row.top_k}, row.lowest, row.highest + 1);
  Buffer priority = row.by_priority ? d.normal_a({row.tokens, row.top_k}) : Buffer();
  Buffer offsets(DType::i64, {row.experts + 1});
  Buffer rows(DType::i32, {row.tokens, row.top_k});
  const DispatchOptions options{.capacity = row.capacity, .pad = row.pad};
  ref_ops().moe_dispatch({}, indices, priority, options, offsets, rows);
  const std::int64_t places = row.capacity * row.experts;
  const std::int64_t buffer = row.pad ? places : row.capacity > 0 ? std::min(slots, places) : slots;
  CaseBuilder p("moe_permute", name, compute);
  p.in(p.normal_c({row.tokens, row.width})).in(rows.clone()).out(p.blank_c({buffer, row.width}));
  cases.push_back(p.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
    ops.moe_permute(context, v[0], v[1], v[2]);
  }));
  for (const bool accumulate : {false, true}) {
    CaseBuilder u("moe_unpermute", name + (accumulate ? " accumulate" : ""), compute);
    u.in(u.normal_c({buffer, row.width})).in(rows.clone()).out(u.normal_c({row.tokens, row.width}));
    cases.push_back(
        u.finish(static_cast<double>(row.top_k) + 1,
                 [accumulate](const OpTable& ops, const Context& context, const Views& v) {
                   ops.moe_unpermute(context, v[0], v[1], v[2], accumulate);
                 }));
  }
  CaseBuilder s("moe_scatter_gates", name, compute);
  s.in(s.normal_a({row.tokens, row.top_k})).in(rows.clone()).out(s.blank_a({buffer}));
  cases.push_back(s.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
    ops.moe_scatter_gates(context, v[0], v[1], v[2]);
  }));
  CaseBuilder g("moe_gather_gates", name, compute);
  g.in(g.normal_a({buffer})).in(rows.clone()).out(g.blank_a({row.tokens, row.top_k}));
  cases.push_back(g.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
    ops.moe_gather_gates(context, v[0], v[1], v[2]);
  }));
  d.in(std::move(indices)).in(std::move(priority)).out(offsets.fill(0).clone());
  d.out(rows.fill(0).clone());
  cases.push_back(
      d.finish(1, [options](const OpTable& ops, const Context& context, const Views& v) {
        ops.moe_dispatch(context, v[0], v[1], options, v[2], v[3]);
      }));
}

}  // namespace

std::vector<OpCase> routing_cases(DType compute) {
  std::vector<OpCase> cases;
  const RouterOptions softmax;
  const RouterOptions renormalized{RouterType::softmax, true, 1.5};
  const RouterOptions sigmoid{RouterType::sigmoid, true, 2.5};
  const RouterOptions raw_sigmoid{RouterType::sigmoid, false, 1.0};
  const RouterOptions best_groups{RouterType::sigmoid, true, 2.5, 8, 4, 2};
  const RouterOptions one_group{RouterType::softmax, false, 1.0, 3, 1, 1};
  const RouterOptions groups_of_one{RouterType::softmax, true, 1.0, 9, 5, 2};
  const RouterOptions uneven_groups{RouterType::sigmoid, true, 1.0, 3, 2, 3};  // of 20 experts
  for (const RouterRow& row :
       {RouterRow{softmax, 1, 1, 1}, RouterRow{softmax, 40, 8, 2, false, true},
        RouterRow{renormalized, 65, 16, 4, true, true, 5}, RouterRow{sigmoid, 33, 64, 8, true},
        RouterRow{raw_sigmoid, 20, 5, 3, false, true, 20},
        RouterRow{renormalized, 7, 6, 2, false, false, 1, true},
        RouterRow{sigmoid, 7, 9, 9, false, false, 0, true},
        RouterRow{best_groups, 33, 64, 8, true, true, 3}, RouterRow{one_group, 29, 15, 5},
        RouterRow{groups_of_one, 21, 9, 4, true},
        RouterRow{best_groups, 5, 16, 3, false, false, 0, true},
        RouterRow{best_groups, 21, 256, 8, true}, RouterRow{uneven_groups, 17, 60, 7, true}})
    add_router(cases, compute, row);
  for (const DispatchRow& row :
       {DispatchRow{1, 1, 1, 3, 0, 0}, DispatchRow{50, 8, 2, 40, 1, 7},
        DispatchRow{33, 4, 4, 17, 1, 3}, DispatchRow{300, 64, 3, 8, 1, 63},
        DispatchRow{37, 5, 1, 9, 3, 3},  // one expert takes all tokens
        DispatchRow{50, 8, 2, 40, 1, 7, 5}, DispatchRow{50, 8, 2, 40, 1, 7, 5, true},
        DispatchRow{37, 5, 1, 9, 3, 3, 6, true}, DispatchRow{64, 4, 2, 5, 0, 3, 100, true},
        DispatchRow{50, 8, 2, 40, 1, 7, 6, true, true}})
    add_dispatch(cases, compute, row);
  return cases;
}

}  // namespace tera::kernels::test
