// Speed of the fast ops: GFLOP/s of products and attention, GB/s of what streams memory. Names are
// op/dtype/shape/threads; run with --benchmark_filter=matmul and the like.
#include <functional>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include <fmt/format.h>

#include "tests/bench/pool_executor.h"
#include "tests/kernels/support/buffer.h"

namespace tera::kernels::bench {
namespace {

using test::Buffer;

Buffer random(DType dtype, std::vector<std::int64_t> shape, double scale = 1.0) {
  Buffer buffer(dtype, std::move(shape));
  // A cheap generator: benchmarks care for finite values of usual size, not for their distribution.
  std::uint32_t state = 12345;
  for (std::int64_t i = 0; i < buffer.size(); ++i) {
    state = state * 1664525U + 1013904223U;
    buffer.set(i, scale * (static_cast<double>(state >> 8U) / 0x1p23 - 1.0));
  }
  return buffer;
}

struct Work {
  double flops = 0;
  double bytes = 0;
};

// `prepare` builds the arguments once and returns the call to measure.
void add(const std::string& name,
         Work work,
         const std::function<std::function<void(const Context&)>()>& prepare) {
  for (const int threads : {1, 2}) {
    benchmark::RegisterBenchmark(
        fmt::format("{}/threads:{}", name, threads).c_str(),
        [work, prepare, threads](benchmark::State& state) {
          PoolExecutor executor(threads);
          const Context context{&executor};
          const std::function<void(const Context&)> call = prepare();
          call(context);
          for (auto _ : state)
            call(context);
          using benchmark::Counter;
          if (work.flops > 0) {
            state.counters["GFLOP/s"] =
                Counter(work.flops * 1e-9, Counter::kIsIterationInvariantRate);
          }
          if (work.bytes > 0) {
            state.counters["GB/s"] = Counter(work.bytes * 1e-9, Counter::kIsIterationInvariantRate);
          }
        })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

// The three products of a linear layer of T tokens, from K to N: y = x W^T, dx = dy W, dW += dy^T
// x.
void add_linear(std::int64_t tokens, std::int64_t n, std::int64_t k) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Work work{2.0 * static_cast<double>(tokens * n * k), 0};
    const std::string shape = fmt::format("{}/{}x{}x{}", dtype_name(dtype), tokens, n, k);
    add("matmul/forward/" + shape, work, [=] {
      auto x = std::make_shared<Buffer>(random(dtype, {tokens, k}));
      auto w = std::make_shared<Buffer>(random(dtype, {n, k}));
      auto y = std::make_shared<Buffer>(dtype, std::vector{tokens, n});
      return [=](const Context& context) {
        cpu_ops().matmul(context, *x, *w, *y, {.transpose_b = true});
      };
    });
    add("matmul/input/" + shape, work, [=] {
      auto dy = std::make_shared<Buffer>(random(dtype, {tokens, n}));
      auto w = std::make_shared<Buffer>(random(dtype, {n, k}));
      auto dx = std::make_shared<Buffer>(dtype, std::vector{tokens, k});
      return [=](const Context& context) { cpu_ops().matmul(context, *dy, *w, *dx, {}); };
    });
    add("matmul/weight/" + shape, work, [=] {
      auto dy = std::make_shared<Buffer>(random(dtype, {tokens, n}));
      auto x = std::make_shared<Buffer>(random(dtype, {tokens, k}));
      auto dw = std::make_shared<Buffer>(DType::f32, std::vector{n, k});
      return [=](const Context& context) {
        cpu_ops().matmul(context, *dy, *x, *dw, {.transpose_a = true, .accumulate = true});
      };
    });
  }
}

// The same per expert, `rows` each.
void add_experts(std::int64_t experts, std::int64_t rows, std::int64_t n, std::int64_t k) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const std::int64_t total = experts * rows;
    const Work work{2.0 * static_cast<double>(total * n * k), 0};
    const std::string shape =
        fmt::format("{}/{}experts/{}x{}x{}", dtype_name(dtype), experts, rows, n, k);
    const auto offsets = std::make_shared<Buffer>(DType::i64, std::vector{experts + 1});
    for (std::int64_t e = 0; e <= experts; ++e)
      offsets->set(e, static_cast<double>(e * rows));
    for (const bool transpose : {true, false}) {
      add((transpose ? "grouped/forward/" : "grouped/input/") + shape, work, [=] {
        auto x = std::make_shared<Buffer>(random(dtype, {total, transpose ? k : n}));
        auto w = std::make_shared<Buffer>(random(dtype, {experts, n, k}));
        auto y = std::make_shared<Buffer>(dtype, std::vector{total, transpose ? n : k});
        return [=](const Context& context) {
          cpu_ops().grouped_matmul(context, *x, *w, *offsets, *y, transpose);
        };
      });
    }
    add("grouped/weight/" + shape, work, [=] {
      auto dy = std::make_shared<Buffer>(random(dtype, {total, n}));
      auto x = std::make_shared<Buffer>(random(dtype, {total, k}));
      auto dw = std::make_shared<Buffer>(DType::f32, std::vector{experts, n, k});
      return [=](const Context& context) {
        cpu_ops().grouped_matmul_weight(context, *dy, *x, *offsets, *dw);
      };
    });
  }
}

// Causal flops: half of 4 S^2 D per head forward (q k^T and p v), 2.5 times that backward.
void add_attention(std::int64_t batch,
                   std::int64_t length,
                   std::int64_t heads,
                   std::int64_t key_heads,
                   std::int64_t width) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const double flops = 2.0 * static_cast<double>(batch * heads * length * length * width);
    const std::string shape =
        fmt::format("{}/{}x{}x{}/{}x{}", dtype_name(dtype), batch, length, heads, key_heads, width);
    for (const bool backward : {false, true}) {
      add((backward ? "attention/backward/" : "attention/forward/") + shape,
          {backward ? 2.5 * flops : flops, 0}, [=] {
            const auto query = [=](double scale) {
              return std::make_shared<Buffer>(random(dtype, {batch, length, heads, width}, scale));
            };
            const auto key = [=] {
              return std::make_shared<Buffer>(random(dtype, {batch, length, key_heads, width}));
            };
            auto q = query(1), dout = query(1), out = query(0), dq = query(0);
            auto k = key(), v = key(), dk = key(), dv = key();
            auto first_key = std::make_shared<Buffer>(DType::i32, std::vector{batch, length});
            auto lse = std::make_shared<Buffer>(DType::f32, std::vector{batch, length, heads});
            PoolExecutor one(1);
            cpu_ops().attention_forward({&one}, *q, *k, *v, *first_key, {.scale = 0.125}, *out,
                                        *lse);
            return [=](const Context& context) {
              if (backward) {
                cpu_ops().attention_backward(context, *dout, *q, *k, *v, *first_key, *out, *lse,
                                             {.scale = 0.125}, *dq, *dk, *dv);
              } else {
                cpu_ops().attention_forward(context, *q, *k, *v, *first_key, {.scale = 0.125}, *out,
                                            *lse);
              }
            };
          });
    }
  }
}

// f32 master, gradient, m and v; the weight is the master (f32) or a bf16 copy.
void add_adamw(std::int64_t n) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const double per_element = dtype == DType::f32 ? 28 : 30;
    add(fmt::format("adamw/{}/{}", dtype_name(dtype), n), {0, per_element * static_cast<double>(n)},
        [=] {
          auto master = std::make_shared<Buffer>(random(DType::f32, {n}));
          auto weight = dtype == DType::f32 ? std::make_shared<Buffer>()
                                            : std::make_shared<Buffer>(dtype, std::vector{n});
          auto grad = std::make_shared<Buffer>(random(DType::f32, {n}, 1e-3));
          auto m = std::make_shared<Buffer>(DType::f32, std::vector{n});
          auto v = std::make_shared<Buffer>(DType::f32, std::vector{n});
          return [=](const Context& context) {
            cpu_ops().adamw(context, *master, *weight, *grad, *m, *v,
                            {.learning_rate = 1e-4, .weight_decay = 0.1});
          };
        });
  }
}

// Ops that stream [T, H]: bytes read and written once.
void add_streams(std::int64_t tokens, std::int64_t width) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const double size = static_cast<double>(dtype_bytes(dtype) * tokens * width);
    const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), tokens, width);
    const auto rows = [=] { return std::make_shared<Buffer>(random(dtype, {tokens, width})); };
    const auto statistics = [=] {
      auto s = std::make_shared<Buffer>(DType::f32, std::vector{tokens});
      s->fill(1);
      return s;
    };
    for (const NormType type : {NormType::rms, NormType::layer}) {
      const std::string name = type == NormType::rms ? "rms_norm" : "layer_norm";
      add(name + "/forward/" + shape, {0, 2 * size}, [=] {
        auto x = rows(), y = rows();
        auto rstd = statistics(), mean = statistics();
        auto w = std::make_shared<Buffer>(random(dtype, {width}));
        return [=](const Context& context) {
          cpu_ops().norm_forward(context, type, *x, *w, {}, 1e-5, *y, *rstd, *mean);
        };
      });
      add(name + "/input/" + shape, {0, 3 * size}, [=] {
        auto x = rows(), dy = rows(), dx = rows();
        auto rstd = statistics(), mean = statistics();
        auto w = std::make_shared<Buffer>(random(dtype, {width}));
        return [=](const Context& context) {
          cpu_ops().norm_backward_input(context, type, *dy, *x, *w, *rstd, *mean, *dx, false);
        };
      });
      add(name + "/weight/" + shape, {0, 2 * size}, [=] {
        auto x = rows(), dy = rows();
        auto rstd = statistics(), mean = statistics();
        auto dw = std::make_shared<Buffer>(DType::f32, std::vector{width});
        auto db = type == NormType::layer ? std::make_shared<Buffer>(DType::f32, std::vector{width})
                                          : std::make_shared<Buffer>();
        return [=](const Context& context) {
          cpu_ops().norm_backward_weight(context, type, *dy, *x, *rstd, *mean, *dw, *db);
        };
      });
    }
    add("add/" + shape, {0, 3 * size}, [=] {
      auto a = rows(), b = rows(), y = rows();
      return [=](const Context& context) { cpu_ops().add(context, *a, *b, *y); };
    });
    add("bias_backward/" + shape, {0, size}, [=] {
      auto dy = rows();
      auto db = std::make_shared<Buffer>(DType::f32, std::vector{width});
      return [=](const Context& context) { cpu_ops().bias_backward(context, *dy, *db); };
    });
    for (const Activation type : {Activation::gelu, Activation::swiglu}) {
      const std::int64_t columns = type == Activation::swiglu ? width / 2 : width;
      const double output = size * static_cast<double>(columns) / static_cast<double>(width);
      const std::string name = type == Activation::gelu ? "gelu" : "swiglu";
      const auto out = [=] { return std::make_shared<Buffer>(random(dtype, {tokens, columns})); };
      add(name + "/forward/" + shape, {0, size + output}, [=] {
        auto x = rows(), y = out();
        return [=](const Context& context) {
          cpu_ops().activation_forward(context, type, *x, {}, *y);
        };
      });
      add(name + "/backward/" + shape, {0, 2 * size + output}, [=] {
        auto x = rows(), dx = rows(), dy = out();
        return [=](const Context& context) {
          cpu_ops().activation_backward(context, type, *dy, *x, {}, *dx, {});
        };
      });
    }
  }
  add(fmt::format("cross_entropy/f32/{}x{}", tokens, width),
      {0, 8.0 * static_cast<double>(tokens * width)}, [=] {
        auto logits = std::make_shared<Buffer>(random(DType::f32, {tokens, width}));
        auto targets = std::make_shared<Buffer>(DType::i32, std::vector{tokens});
        auto loss = std::make_shared<Buffer>(DType::f32, std::vector{tokens});
        return [=](const Context& context) {
          cpu_ops().cross_entropy(context, *logits, *targets, 1e-3, *loss);
        };
      });
  add(fmt::format("sum_of_squares/f32/{}x{}", tokens, width),
      {0, 4.0 * static_cast<double>(tokens * width)}, [=] {
        auto x = std::make_shared<Buffer>(random(DType::f32, {tokens, width}));
        return [=](const Context& context) {
          benchmark::DoNotOptimize(cpu_ops().sum_of_squares(context, *x));
        };
      });
}

void add_all() {
  add_linear(1024, 768, 768);
  add_linear(1024, 3072, 768);
  add_linear(1024, 768, 3072);
  add_linear(1024, 50304, 768);
  add_linear(1, 3072, 768);
  add_linear(16, 3072, 768);
  for (const std::int64_t rows : {16, 48, 128, 512})
    add_experts(8, rows, 1024, 512);
  add_attention(4, 256, 12, 12, 64);
  add_attention(1, 1024, 12, 12, 64);
  add_attention(1, 2048, 16, 4, 128);
  add_adamw(20'000'000);
  add_streams(1024, 3072);
}

}  // namespace
}  // namespace tera::kernels::bench

int main(int argc, char** argv) {
  tera::kernels::bench::add_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
