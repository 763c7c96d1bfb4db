// Router and dispatch of 4096 tokens: of olmoe-small (16 experts, 2 per token, hidden 512) and of
// the router of deepseek-v3 (256 experts in 8 groups, 8 per token out of the best 4). Every slot is
// a (token, choice).
#include <fmt/format.h>

#include "app/teragpt/case_builders.h"

namespace tera::app {
namespace {

using kernels::RouterOptions;
using kernels::RouterType;

struct Routing {
  std::int64_t tokens, experts, top_k;
  RouterOptions options = {};

  double slots() const { return static_cast<double>(tokens * top_k); }
  double scores() const { return static_cast<double>(tokens * experts); }
  std::string shape() const { return fmt::format("{}x{}x{}", tokens, experts, top_k); }
};

const Routing kSmall = {4096, 16, 2};
const Routing kGroups = {4096, 256, 8, {RouterType::sigmoid, true, 2.5, 8, 4, 2}};

// What the router of a layer leaves behind.
struct Routed {
  Tensor logits, scores, indices, gates, logsumexp;

  Routed(Backend& b, const Routing& r)
      : logits(random(b, DType::f32, {r.tokens, r.experts})),
        scores(zeros(b, DType::f32, {r.tokens, r.experts})),
        indices(zeros(b, DType::i32, {r.tokens, r.top_k})),
        gates(zeros(b, DType::f32, {r.tokens, r.top_k})),
        logsumexp(zeros(b, DType::f32, {r.tokens})) {
    choose(b, r);
  }
  void choose(Backend& b, const Routing& r) const {
    b.ops().router_forward(b.context(), logits, {}, r.options, scores, indices, gates, logsumexp);
  }
};

// Where the slots of all tokens lie, sorted by expert.
struct Dispatched {
  Tensor offsets, rows;

  Dispatched(Backend& b, const Routing& r, const Routed& routed)
      : offsets(zeros(b, DType::i64, {r.experts + 1})),
        rows(zeros(b, DType::i32, {r.tokens, r.top_k})) {
    b.ops().moe_dispatch(b.context(), routed.indices, {}, {}, offsets, rows);
  }
};

// Forward reads logits and writes scores, choices, gates and a logsumexp per token; backward, with
// the gradients of the balance loss and for softmax of the z loss, reads them and writes dlogits.
void add_router(Cases& cases, const Routing& r) {
  const double tokens = static_cast<double>(r.tokens);
  cases.push_back({"router/forward/f32/" + r.shape(), DType::f32,
                   OpWork{.bytes = 8 * r.scores() + 8 * r.slots() + 4 * tokens},
                   [=](Backend& b) -> Call {
                     const Routed routed(b, r);
                     return [=, &b] { routed.choose(b, r); };
                   }});
  const bool z_loss = r.options.type == RouterType::softmax;
  cases.push_back({"router/backward/f32/" + r.shape(), DType::f32,
                   OpWork{.bytes = 8 * r.scores() + 12 * r.slots() + (z_loss ? 4 * tokens : 0)},
                   [=](Backend& b) -> Call {
                     const Routed routed(b, r);
                     const Tensor dgates = random(b, DType::f32, {r.tokens, r.top_k});
                     const Tensor balance = random(b, DType::f32, {1, r.experts});
                     const Tensor dlogits = zeros(b, DType::f32, {r.tokens, r.experts});
                     return [=, &b] {
                       b.ops().router_backward(b.context(), {}, routed.scores, routed.indices,
                                               routed.gates, routed.logsumexp, dgates, balance,
                                               z_loss ? 1e-3 : 0.0, r.options, dlogits);
                     };
                   }});
}

// Choices in, rows out; with a capacity a quarter above the mean load also the gates, by which the
// slots that stay are chosen.
void add_dispatch(Cases& cases, const Routing& r) {
  for (const bool bounded : {false, true}) {
    cases.push_back(
        {(bounded ? "moe_dispatch/capacity/i32/" : "moe_dispatch/dropless/i32/") + r.shape(),
         DType::i32, OpWork{.bytes = (bounded ? 12 : 8) * r.slots()}, [=](Backend& b) -> Call {
           const Routed routed(b, r);
           const Tensor offsets = zeros(b, DType::i64, {r.experts + 1});
           const Tensor rows = zeros(b, DType::i32, {r.tokens, r.top_k});
           const std::int64_t capacity = bounded ? r.tokens * r.top_k * 5 / (4 * r.experts) : 0;
           const Tensor priority = bounded ? routed.gates : Tensor();
           return [=, &b] {
             b.ops().moe_dispatch(b.context(), routed.indices, priority, {.capacity = capacity},
                                  offsets, rows);
           };
         }});
  }
}

// Every token read once and written to its K rows, and back.
void add_moves(Cases& cases, const Routing& r, std::int64_t width) {
  for (const DType dtype : kComputeDtypes) {
    const double row = static_cast<double>(dtype_bytes(dtype) * width);
    const OpWork work{.bytes = (static_cast<double>(r.tokens) + r.slots()) * row + 4 * r.slots()};
    for (const bool permute : {true, false}) {
      cases.push_back(
          {fmt::format("{}/{}/{}x{}", permute ? "moe_permute" : "moe_unpermute", dtype_name(dtype),
                       r.shape(), width),
           dtype, work, [=](Backend& b) -> Call {
             const Dispatched dispatched(b, r, Routed(b, r));
             const Tensor x = random(b, dtype, {r.tokens, width});
             const Tensor y = random(b, dtype, {r.tokens * r.top_k, width});
             if (permute) {
               return [=, &b] { b.ops().moe_permute(b.context(), x, dispatched.rows, y); };
             }
             return [=, &b] { b.ops().moe_unpermute(b.context(), y, dispatched.rows, x, false); };
           }});
    }
  }
}

// A gate and a place in, a gate out: 12 B a slot.
void add_gates(Cases& cases, const Routing& r) {
  for (const bool scatter : {true, false}) {
    cases.push_back({(scatter ? "moe_scatter_gates/f32/" : "moe_gather_gates/f32/") + r.shape(),
                     DType::f32, OpWork{.bytes = 12 * r.slots()}, [=](Backend& b) -> Call {
                       const Routed routed(b, r);
                       const Dispatched dispatched(b, r, routed);
                       const Tensor y = random(b, DType::f32, {r.tokens * r.top_k});
                       if (scatter) {
                         return [=, &b] {
                           b.ops().moe_scatter_gates(b.context(), routed.gates, dispatched.rows, y);
                         };
                       }
                       return [=, &b] {
                         b.ops().moe_gather_gates(b.context(), y, dispatched.rows, routed.gates);
                       };
                     }});
  }
}

}  // namespace

Cases routing_cases() {
  Cases cases;
  for (const Routing& routing : {kSmall, kGroups}) {
    add_router(cases, routing);
    add_dispatch(cases, routing);
    add_gates(cases, routing);
  }
  add_moves(cases, kSmall, 512);
  return cases;
}

}  // namespace tera::app
