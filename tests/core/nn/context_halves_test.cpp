// Attention of context ranks in 16 bits: as near to the exact one as that of one rank. Inputs are
// what 16 bits hold; the exact results, in f64, come with the magnitudes of the terms they add, so
// that each element has a bound of its own.
#include <cmath>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/comm/mesh_groups.h"
#include "core/nn/heads.h"
#include "core/nn/ring_attention.h"
#include "core/nn/sliding_window.h"
#include "core/nn/ulysses_attention.h"
#include "core/plan/rank_mesh.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/spawn_ranks.h"

namespace tera::nn::test {
namespace {

constexpr int kSequences = 2;
constexpr int kLength = 16;
constexpr int kTokens = kSequences * kLength;
constexpr int kHeads = 4;
constexpr int kKeyHeads = 2;
constexpr int kDim = 8;
constexpr int kValueDim = 6;
constexpr AttentionRule kRule{.options = {.scale = 0.4}, .window = 11};

// [T, heads, dims] of all tokens, values that 16 bits hold.
struct Rows {
  int heads;
  int dims;
  std::vector<double> values =
      std::vector<double>(static_cast<std::size_t>(kTokens * heads * dims));

  double& at(std::int64_t token, std::int64_t head, std::int64_t dim) {
    return values[static_cast<std::size_t>((token * heads + head) * dims + dim)];
  }
  double at(std::int64_t token, std::int64_t head, std::int64_t dim) const {
    return values[static_cast<std::size_t>((token * heads + head) * dims + dim)];
  }
};

// Results, and what they may be off by: magnitudes of the terms of their sums.
struct Sums {
  Rows exact;
  Rows terms{exact.heads, exact.dims};
  void add(std::int64_t token, std::int64_t head, std::int64_t dim, double term, double magnitude) {
    exact.at(token, head, dim) += term;
    terms.at(token, head, dim) += magnitude;
  }
};

struct Given {
  Rows q{kHeads, kDim};
  Rows k{kKeyHeads, kDim};
  Rows v{kKeyHeads, kValueDim};
  Rows d_out{kHeads, kValueDim};
};

struct Results {
  Rows out{kHeads, kValueDim};
  Rows dq{kHeads, kDim};
  Rows dk{kKeyHeads, kDim};
  Rows dv{kKeyHeads, kValueDim};
};

struct Exact {
  Sums out{{kHeads, kValueDim}};
  Sums dq{{kHeads, kDim}};
  Sums dk{{kKeyHeads, kDim}};
  Sums dv{{kKeyHeads, kValueDim}};
};

// Backward reads `out` as it was rounded.
void add_query(const Given& x,
               const Rows& out,
               std::int64_t first,
               std::int64_t query,
               int head,
               std::int64_t first_key,
               Exact& exact) {
  const int shared = head / (kHeads / kKeyHeads);
  const std::int64_t i = first + query;
  std::vector<double> p;
  double total = 0;
  for (std::int64_t key = first_key; key <= query; ++key) {
    double product = 0;
    for (int d = 0; d < kDim; ++d)
      product += x.q.at(i, head, d) * x.k.at(first + key, shared, d);
    p.push_back(std::exp(kRule.options.scale * product));
    total += p.back();
  }
  for (std::int64_t key = first_key; key <= query; ++key) {
    const std::int64_t j = first + key;
    const double share = p[static_cast<std::size_t>(key - first_key)] / total;
    double slope = 0;
    double slope_terms = 0;
    for (int d = 0; d < kValueDim; ++d) {
      const double v = x.v.at(j, shared, d);
      const double grad = x.d_out.at(i, head, d);
      exact.out.add(i, head, d, share * v, share * std::abs(v));
      exact.dv.add(j, shared, d, share * grad, share * std::abs(grad));
      slope += grad * (v - out.at(i, head, d));
      slope_terms += std::abs(grad) * (std::abs(v) + std::abs(out.at(i, head, d)));
    }
    const double ds = kRule.options.scale * share * slope;
    const double ds_terms = kRule.options.scale * share * slope_terms;
    for (int d = 0; d < kDim; ++d) {
      const double k = x.k.at(j, shared, d);
      const double q = x.q.at(i, head, d);
      exact.dq.add(i, head, d, ds * k, ds_terms * std::abs(k));
      exact.dk.add(j, shared, d, ds * q, ds_terms * std::abs(q));
    }
  }
}

Tensor tensor_of(Backend& backend, const Rows& rows, const ContextShare& share, DType dtype) {
  const std::int64_t tokens = kTokens / share.num_ranks();
  const Tensor wide =
      Tensor::empty(backend, {tokens, rows.heads, rows.dims}, DType::f32, MemoryKind::workspace);
  const std::int64_t width = std::int64_t{rows.heads} * rows.dims;
  share.for_each_run(
      kSequences, kLength, [&](std::int64_t from, std::int64_t to, std::int64_t count) {
        for (std::int64_t i = 0; i < count * width; ++i)
          wide.data<float>()[to * width + i] =
              static_cast<float>(rows.values[static_cast<std::size_t>(from * width + i)]);
      });
  Tensor narrow =
      Tensor::empty(backend, {tokens, rows.heads, rows.dims}, dtype, MemoryKind::workspace);
  backend.ops().copy(backend.context(), wide, narrow);
  return narrow;
}

// Puts the rows of this rank where they belong among all.
void put(Backend& backend, const Tensor& narrow, const ContextShare& share, Rows& rows) {
  const Tensor wide = Tensor::empty(backend, {narrow.dim(0), narrow.dim(1), narrow.dim(2)},
                                    DType::f32, MemoryKind::workspace);
  backend.ops().copy(backend.context(), narrow, wide);
  const std::int64_t width = std::int64_t{rows.heads} * rows.dims;
  share.for_each_run(kSequences, kLength,
                     [&](std::int64_t to, std::int64_t from, std::int64_t count) {
                       for (std::int64_t i = 0; i < count * width; ++i)
                         rows.values[static_cast<std::size_t>(to * width + i)] =
                             static_cast<double>(wide.data<float>()[from * width + i]);
                     });
}

Rows random_rows(Backend& backend, int heads, int dims, DType dtype, const char* name) {
  Rows rows{heads, dims};
  const Philox random(3, RngPurpose::test, name_hash(name));
  for (std::size_t i = 0; i < rows.values.size(); ++i)
    rows.values[i] = 2 * static_cast<double>(random.uniform(0, i)) - 1;
  put(backend, tensor_of(backend, rows, {}, dtype), {}, rows);
  return rows;
}

// On one rank: all of it.
class WholeAttention final : public ContextAttention {
 public:
  void forward(const Inputs& x, const Batch& batch, const Outputs& y) const override {
    Backend& backend = x.q.backend();
    backend.ops().attention_forward(
        backend.context(), as_sequences(x.q, batch), as_sequences(x.k, batch),
        as_sequences(x.v, batch), first_keys(batch, kRule.window), kRule.options,
        as_sequences(y.out, batch), y.lse.reshape({kSequences, kLength, kHeads}));
  }
  void backward(const kernels::View& d_out,
                const Inputs& x,
                const Outputs& y,
                const Batch& batch,
                const Gradients& grads) const override {
    Backend& backend = x.q.backend();
    backend.ops().attention_backward(
        backend.context(), as_sequences(d_out, batch), as_sequences(x.q, batch),
        as_sequences(x.k, batch), as_sequences(x.v, batch), first_keys(batch, kRule.window),
        as_sequences(y.out, batch), y.lse.reshape({kSequences, kLength, kHeads}), kRule.options,
        as_sequences(grads.dq, batch), as_sequences(grads.dk, batch),
        as_sequences(grads.dv, batch));
  }
};

std::unique_ptr<ContextAttention> attention_of(const ContextGroup& group) {
  if (group.size() == 1) return std::make_unique<WholeAttention>();
  if (group.method() == spec::ContextMethod::ring)
    return std::make_unique<RingAttention>(group, kRule);
  return std::make_unique<UlyssesAttention>(group, kRule);
}

// Precision, ops, and the ranks with their method.
using Case = std::tuple<DType, CpuOps, std::pair<spec::ContextMethod, int>>;

class ContextHalves : public testing::TestWithParam<Case> {
 protected:
  // Of every rank its rows, together all.
  static Results attend(const Given& x, const std::shared_ptr<const Batch>& whole) {
    const auto& [dtype, ops, ranks] = GetParam();
    spec::RunSpec spec;
    spec.model = small_config();
    spec.layout.context_parallel_method = ranks.first;
    spec.layout.context_parallel_size = ranks.second;
    const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
    Results all;
    tera::test::spawn_ranks(ranks.second, [&](comm::Communicator& world) {
      ThreadPool pool(1);
      const auto backend = make_cpu_backend(pool, ops);
      comm::MeshGroups groups(mesh, world);
      const ParamStore params(*backend, plan::local_table(spec, mesh, world.rank()),
                              {.parallel = {.groups = &groups, .context_method = ranks.first}});
      const ContextGroup group(params);
      const ContextShare share = group.share();
      const auto part = [&](const Rows& rows) { return tensor_of(*backend, rows, share, dtype); };
      const auto like = [&](const Tensor& rows) {
        return Tensor::empty(*backend, {rows.dim(0), rows.dim(1), rows.dim(2)}, dtype,
                             MemoryKind::workspace);
      };
      const Tensor q = part(x.q);
      const Tensor k = part(x.k);
      const Tensor v = part(x.v);
      const Tensor d_out = part(x.d_out);
      const Tensor out = like(d_out);
      const Tensor lse = Tensor::empty(*backend, {out.dim(0), kHeads},
                                       kernels::accumulate_dtype(dtype), MemoryKind::workspace);
      const Tensor dq = like(q);
      const Tensor dk = like(k);
      const Tensor dv = like(v);
      const Batch batch = nn::part_of(whole, share);
      const auto attention = attention_of(group);
      attention->forward({q, k, v}, batch, {out, lse});
      attention->backward(d_out, {q, k, v}, {out, lse}, batch, {dq, dk, dv});
      put(*backend, out, share, all.out);
      put(*backend, dq, share, all.dq);
      put(*backend, dk, share, all.dk);
      put(*backend, dv, share, all.dv);
    });
    return all;
  }

  // A result is rounded to 16 bits once, at the end: u |result|. Fast ops round the weights of
  // their sums too, which is u of every term. All else is f32: a term has gone through products of
  // kDim elements, exp, and the sums of kLength terms of kHeads heads and of the ranks, each
  // operation u_32 of it at most, and as many again in what the weights are divided by.
  static void expect_near(const Rows& got, const Sums& want, const char* what) {
    const auto& [dtype, ops, ranks] = GetParam();
    const double u = dtype == DType::bf16 ? 0x1p-8 : 0x1p-11;
    const double tiny = dtype == DType::bf16 ? 0 : 0x1p-25;  // half of the least f16
    const double f32 = 2 * (kDim + kLength + kHeads + ranks.second + 4) * 0x1p-24;
    const double of_terms = f32 + (ops == CpuOps::fast ? u : 0);
    for (std::size_t i = 0; i < got.values.size(); ++i) {
      const double exact = want.exact.values[i];
      const double rest = of_terms * want.terms.values[i];
      EXPECT_LE(std::abs(got.values[i] - exact), u * (std::abs(exact) + rest) + rest + tiny)
          << what << " " << i << ": " << got.values[i] << ", expected " << exact;
    }
  }
};

TEST_P(ContextHalves, AreAsExactAsOneRank) {
  const DType dtype = std::get<DType>(GetParam());
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool);
  const Given x{random_rows(*backend, kHeads, kDim, dtype, "q"),
                random_rows(*backend, kKeyHeads, kDim, dtype, "k"),
                random_rows(*backend, kKeyHeads, kValueDim, dtype, "v"),
                random_rows(*backend, kHeads, kValueDim, dtype, "d_out")};
  const auto whole =
      std::make_shared<const Batch>(random_batch(*backend, kSequences, kLength, 17, 11));
  const Results got = attend(x, whole);
  const Tensor first = first_keys(*whole, kRule.window);
  Exact exact;
  for (std::int64_t i = 0; i < kTokens; ++i) {
    for (int head = 0; head < kHeads; ++head)
      add_query(x, got.out, i / kLength * kLength, i % kLength, head,
                first.data<const std::int32_t>()[i], exact);
  }
  expect_near(got.out, exact.out, "out");
  expect_near(got.dq, exact.dq, "dq");
  expect_near(got.dk, exact.dk, "dk");
  expect_near(got.dv, exact.dv, "dv");
}

std::string case_name(const testing::TestParamInfo<Case>& named) {
  const auto& [dtype, ops, ranks] = named.param;
  return fmt::format("{}_{}_{}_over_{}", dtype_name(dtype),
                     ops == CpuOps::fast ? "fast" : "reference", enum_name(ranks.first),
                     ranks.second);
}
INSTANTIATE_TEST_SUITE_P(,
                         ContextHalves,
                         testing::Combine(testing::Values(DType::bf16, DType::f16),
                                          testing::Values(CpuOps::reference, CpuOps::fast),
                                          testing::Values(std::pair{spec::ContextMethod::ring, 1},
                                                          std::pair{spec::ContextMethod::ring, 2},
                                                          std::pair{spec::ContextMethod::ring, 4},
                                                          std::pair{spec::ContextMethod::ulysses,
                                                                    2})),
                         case_name);

}  // namespace
}  // namespace tera::nn::test
