// Contracts of the router and of the moves of routed rows.
#include "kernels/contract.h"
#include "kernels/contract_checker.h"

namespace tera::kernels::contract {

namespace {

void check_groups(const Checker& check, const RouterDims& d, const RouterOptions& options) {
  check.that(options.num_groups >= 1 && options.group_best >= 1 && options.top_groups >= 1 &&
                 options.top_groups <= options.num_groups && d.experts % options.num_groups == 0,
             [&] {
               return std::to_string(d.experts) + " experts in " +
                      std::to_string(options.num_groups) + " groups, best " +
                      std::to_string(options.top_groups) + " of them by " +
                      std::to_string(options.group_best) + " scores";
             });
  const std::int64_t reachable = d.experts / options.num_groups * options.top_groups;
  check.that(d.top_k <= reachable, [&] {
    return std::to_string(d.top_k) + " choices among " + std::to_string(reachable) + " experts";
  });
}

}  // namespace

RouterDims check_router_forward(const View& logits,
                                const View& bias,
                                const RouterOptions& options,
                                const View& scores,
                                const View& indices,
                                const View& gates,
                                const View& logsumexp) {
  const Checker check("router_forward");
  check.accumulate("logits", logits);
  check.rank("indices", indices, 2);
  check.dense("logits", logits, logits.dtype, {kAny, kAny});
  const RouterDims d{dim(logits, 0), dim(logits, 1), dim(indices, 1)};
  check.optional("bias", bias, logits.dtype, {d.experts});
  check.dense("scores", scores, logits.dtype, {d.tokens, d.experts});
  check.dense("indices", indices, DType::i32, {d.tokens, d.top_k});
  check.dense("gates", gates, logits.dtype, {d.tokens, d.top_k});
  check.optional("logsumexp", logsumexp, logits.dtype, {d.tokens});
  check_groups(check, d, options);
  return d;
}

RouterDims check_router_backward(const View& logits,
                                 const View& scores,
                                 const View& indices,
                                 const View& gates,
                                 const View& logsumexp,
                                 const View& dgates,
                                 const View& balance,
                                 double z_coeff,
                                 const RouterOptions& options,
                                 const View& dlogits) {
  const Checker check("router_backward");
  check.accumulate("scores", scores);
  check.rank("indices", indices, 2);
  check.dense("scores", scores, scores.dtype, {kAny, kAny});
  const RouterDims d{dim(scores, 0), dim(scores, 1), dim(indices, 1)};
  check.dense("indices", indices, DType::i32, {d.tokens, d.top_k});
  check.dense("gates", gates, scores.dtype, {d.tokens, d.top_k});
  check.dense("dgates", dgates, scores.dtype, {d.tokens, d.top_k});
  check.optional("logits", logits, scores.dtype, {d.tokens, d.experts});
  check.optional("balance", balance, scores.dtype, {kAny, d.experts});
  check.that(!balance.present() || (dim(balance, 0) > 0 && d.tokens % dim(balance, 0) == 0), [&] {
    return "balance has " + std::to_string(dim(balance, 0)) + " rows, which do not divide " +
           std::to_string(d.tokens) + " tokens";
  });
  check.optional("logsumexp", logsumexp, scores.dtype, {d.tokens});
  check.dense("dlogits", dlogits, scores.dtype, {d.tokens, d.experts});
  const bool needs_logits = options.type == RouterType::sigmoid;
  check.that(z_coeff == 0 || (logsumexp.present() && (logits.present() || !needs_logits)), [&] {
    return std::string("the z loss needs the logsumexp") + (needs_logits ? " and the logits" : "");
  });
  check_indices("router_backward", "indices", indices, 0, d.experts);
  return d;
}

RouterDims check_moe_dispatch(const View& indices,
                              const View& priority,
                              const DispatchOptions& options,
                              const View& offsets,
                              const View& rows) {
  const Checker check("moe_dispatch");
  check.rank("offsets", offsets, 1);
  check.dense("indices", indices, DType::i32, {kAny, kAny});
  check.dense("rows", rows, DType::i32, {dim(indices, 0), dim(indices, 1)});
  if (priority.present()) check.accumulate("priority", priority);
  check.optional("priority", priority, priority.dtype, {dim(indices, 0), dim(indices, 1)});
  check.that(dim(offsets, 0) >= 1,
             [&] { return std::string("offsets are empty, expected experts + 1 of them"); });
  check.that(options.capacity >= 0, [&] {
    return "capacity is " + std::to_string(options.capacity) + ", expected 0 (no limit) or more";
  });
  check.that(options.capacity > 0 || !options.pad,
             [&] { return std::string("pad without a capacity, expected one of 1 or more"); });
  check.dense("offsets", offsets, DType::i64, {kAny});
  check_indices("moe_dispatch", "indices", indices, 0, dim(offsets, 0) - 1);
  return {dim(indices, 0), dim(offsets, 0) - 1, dim(indices, 1)};
}

RowDims check_moe_rows(const char* op, const View& tokens, const View& rows, const View& routed) {
  const Checker check(op);
  check.compute("tokens", tokens);
  check.rank("rows", rows, 2);
  check.dense("tokens", tokens, tokens.dtype, {dim(rows, 0), kAny});
  check.dense("rows", rows, DType::i32, {dim(tokens, 0), kAny});
  check.dense("routed", routed, tokens.dtype, {kAny, dim(tokens, 1)});
  check_indices(op, "rows", rows, -1, dim(routed, 0));
  return {dim(tokens, 0), dim(tokens, 1)};
}

std::int64_t check_moe_gates(const char* op,
                             const View& gates,
                             const View& rows,
                             const View& routed) {
  const Checker check(op);
  check.accumulate("gates", gates);
  check.dense("gates", gates, gates.dtype, {kAny, kAny});
  check.dense("rows", rows, DType::i32, {dim(gates, 0), dim(gates, 1)});
  check.dense("routed", routed, gates.dtype, {kAny});
  check_indices(op, "rows", rows, -1, dim(routed, 0));
  return gates.num_elements();
}

}  // namespace tera::kernels::contract
