// Backward of the router, and of the moves of routed rows, against differences in f64.
#include <fmt/format.h>

#include "tests/kernels/support/gradient.h"

namespace tera::kernels::test {
namespace {

constexpr std::int64_t kTokens = 4;
constexpr std::int64_t kExperts = 6;

struct RouterRow {
  RouterOptions options;
  bool z_loss;
  std::int64_t balance_rows;  // 0: no balance loss
  friend std::ostream& operator<<(std::ostream& out, const RouterRow& row) {
    return out << fmt::format("{}{} x{} groups {}/{} z {} balance {}",
                              row.options.type == RouterType::softmax ? "softmax" : "sigmoid",
                              row.options.renormalize ? " renormalized" : "", row.options.scaling,
                              row.options.top_groups, row.options.num_groups, row.z_loss,
                              row.balance_rows);
  }
};

std::vector<RouterRow> all_rows() {
  std::vector<RouterRow> rows;
  for (const RouterType type : {RouterType::softmax, RouterType::sigmoid}) {
    for (const bool renormalize : {false, true}) {
      for (const std::int64_t groups : {1, 3}) {
        for (const bool z_loss : {false, true}) {
          for (const std::int64_t balance_rows : {0, 1, 2, 4}) {
            const double scaling = groups == 1 ? 1.0 : 2.5;
            const std::int64_t top_groups = groups == 1 ? 1 : 2;
            rows.push_back(
                {{type, renormalize, scaling, groups, top_groups, 2}, z_loss, balance_rows});
          }
        }
      }
    }
  }
  return rows;
}

// Loss: gates by random weights, plus the balance term over the shares, plus the z loss.
TEST(RouterGradient, GatesBalanceAndZLoss) {
  for (const RouterRow& row : all_rows()) {
    SCOPED_TRACE(testing::PrintToString(row));
    constexpr double kZ = 0.3;
    Buffer logits = normal({kTokens, kExperts}, 1);
    const Buffer dgates = normal({kTokens, 2}, 2);
    const Buffer balance =
        row.balance_rows > 0 ? normal({row.balance_rows, kExperts}, 3) : Buffer();
    Buffer scores = zeros({kTokens, kExperts});
    Buffer indices(DType::i32, {kTokens, 2});
    Buffer gates = zeros({kTokens, 2});
    Buffer logsumexp = zeros({kTokens});
    const auto loss = [&] {
      ops.router_forward(kContext, logits, Buffer(), row.options, scores, indices, gates,
                         logsumexp);
      double sum = dot(gates, dgates);
      for (std::int64_t t = 0; t < kTokens; ++t) {
        double total = 0;
        double shares = 0;
        for (std::int64_t e = 0; e < kExperts; ++e) {
          total += scores.get(t * kExperts + e);
          if (row.balance_rows == 0) continue;
          const std::int64_t block = t / (kTokens / row.balance_rows);
          shares += scores.get(t * kExperts + e) * balance.get(block * kExperts + e);
        }
        sum += shares / total;
        if (row.z_loss) sum += kZ * logsumexp.get(t) * logsumexp.get(t);
      }
      return sum;
    };
    loss();
    Buffer dlogits = zeros({kTokens, kExperts});
    ops.router_backward(kContext, logits, scores, indices, gates, logsumexp, dgates, balance,
                        row.z_loss ? kZ : 0.0, row.options, dlogits);
    expect_gradient(logits, dlogits, loss);
  }
}

// With and without drops: a dropped slot gives nothing and gets no gradient.
TEST(RoutedRowsGradient, MovesOfRowsAndGates) {
  for (const std::int64_t capacity : {0, 2, 1}) {
    const Buffer indices = integers({3, 2}, {2, 0, 0, 2, 1, 2});
    const Buffer priority = normal({3, 2}, 5);
    Buffer offsets(DType::i64, {4});
    Buffer rows(DType::i32, {3, 2});
    ops.moe_dispatch(kContext, indices, priority, {.capacity = capacity}, offsets, rows);
    const auto served = static_cast<std::int64_t>(offsets.get(3));
    ASSERT_EQ(served, capacity == 0 ? 6 : capacity == 2 ? 5 : 3);
    Buffer x = normal({3, 4}, 1);
    const Buffer dy = normal({served, 4}, 2);
    Buffer dx = zeros({3, 4});
    ops.moe_unpermute(kContext, dy, rows, dx, false);
    expect_gradient(x, dx, [&] {
      Buffer y = zeros({served, 4});
      ops.moe_permute(kContext, x, rows, y);
      return dot(y, dy);
    });
    Buffer gates = normal({3, 2}, 3);
    const Buffer drouted = normal({served}, 4);
    Buffer dgates = zeros({3, 2});
    ops.moe_gather_gates(kContext, drouted, rows, dgates);
    expect_gradient(gates, dgates, [&] {
      Buffer routed = zeros({served});
      ops.moe_scatter_gates(kContext, gates, rows, routed);
      return dot(routed, drouted);
    });
  }
}

TEST(MultiplyGradient, IsTheProductWithTheFactors) {
  Buffer x = normal({3, 5}, 1);
  const Buffer factors = normal({3, 5}, 2);
  const Buffer dy = normal({3, 5}, 3);
  Buffer dx = zeros({3, 5});
  ops.multiply(kContext, dy, factors, dx, true);
  expect_gradient(x, dx, [&] {
    Buffer y = zeros({3, 5});
    ops.multiply(kContext, x, factors, y, false);
    return dot(y, dy);
  });
}

}  // namespace
}  // namespace tera::kernels::test
