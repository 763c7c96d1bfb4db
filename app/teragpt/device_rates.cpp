#include "app/teragpt/device_rates.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "app/teragpt/random_tensor.h"
#include "core/base/clock.h"
#include "core/base/median.h"
#include "core/plan/time_constants.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {
namespace {

// Of one call, seconds: the median over some rounds of `calls` each.
template <class Body>
double median_s(int rounds, int calls, const Body& body) {
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) {
    const double start = monotonic_s();
    for (int call = 0; call < calls; ++call)
      body();
    seconds.push_back((monotonic_s() - start) / calls);
  }
  return median(seconds);
}

// Causal attention of 4 x 256 tokens and 12 heads of 64. Forward takes half of 4 S^2 D flops per
// head, backward 2.5 times that.
class AttentionBench {
 public:
  AttentionBench(Backend& backend, DType dtype) : backend_(&backend) {
    for (Tensor* each : {&q_, &k_, &v_, &out_, &dout_, &dq_, &dk_, &dv_})
      *each = random(backend, dtype, {kBatch, kLength, kHeads, kWidth});
    first_key_ = Tensor::zeros(backend, {kBatch, kLength}, DType::i32, MemoryKind::workspace);
    lse_ = random(backend, DType::f32, {kBatch, kLength, kHeads});
  }
  double flops_per_s() {
    const kernels::OpTable& ops = backend_->ops();
    const kernels::Context& context = backend_->context();
    const double seconds = median_s(5, 3, [&] {
      ops.attention_forward(context, q_, k_, v_, first_key_, {.scale = 0.125}, out_, lse_);
      ops.attention_backward(context, dout_, q_, k_, v_, first_key_, out_, lse_, {.scale = 0.125},
                             dq_, dk_, dv_);
    });
    return 3.5 * 2 * kBatch * kHeads * kLength * kLength * kWidth / seconds;
  }

 private:
  static constexpr std::int64_t kBatch = 4, kLength = 256, kHeads = 12, kWidth = 64;
  Backend* backend_;
  Tensor q_, k_, v_, out_, dout_, dq_, dk_, dv_;  // [B, S, A, D]
  Tensor first_key_;                              // [B, S]
  Tensor lse_;                                    // [B, S, A]
};

// The three products of training with each of several weights on 512 tokens. The weights and their
// gradients are more than caches hold, as in a model.
class ProductBench {
 public:
  ProductBench(Backend& backend, DType dtype)
      : backend_(&backend),
        x_(random(backend, dtype, {kTokens, kInputs})),
        y_(random(backend, dtype, {kTokens, kOutputs})) {
    for (int i = 0; i < kWeights; ++i)
      weights_.emplace_back(random(backend, dtype, {kOutputs, kInputs}, 0.02),
                            random(backend, DType::f32, {kOutputs, kInputs}));
  }
  double flops_per_s() {
    const kernels::OpTable& ops = backend_->ops();
    const double seconds = median_s(3, 1, [&] {
      for (const auto& [w, dw] : weights_) {
        ops.matmul(backend_->context(), x_, w, y_, {.transpose_b = true});
        ops.matmul(backend_->context(), y_, w, x_, {});
        ops.matmul(backend_->context(), y_, x_, dw, {.transpose_a = true});
      }
    });
    return kWeights * 3 * 2.0 * kTokens * kInputs * kOutputs / seconds;
  }

 private:
  static constexpr auto kTokens = static_cast<std::int64_t>(plan::kMeasuredRows.value);
  static constexpr std::int64_t kInputs = 768, kOutputs = 2048;
  static constexpr int kWeights = 6;
  Backend* backend_;
  Tensor x_;                                        // [T, I]
  Tensor y_;                                        // [T, O]
  std::vector<std::pair<Tensor, Tensor>> weights_;  // [O, I], and their gradients
};

struct DtypeBench {
  DtypeBench(Backend& backend, DType dtype) : products(backend, dtype), attention(backend, dtype) {}
  ProductBench products;
  AttentionBench attention;
  std::vector<double> matmul, attended;  // flops per second, of each sweep

  void sweep() {
    matmul.push_back(products.flops_per_s());
    attended.push_back(attention.flops_per_s());
  }
  ComputeRates rates() const { return {.matmul = median(matmul), .attention = median(attended)}; }
  double highest() const {
    return std::max(*std::max_element(matmul.begin(), matmul.end()),
                    *std::max_element(attended.begin(), attended.end()));
  }
};

}  // namespace

DeviceRates measure_device_rates(ThreadPool& pool,
                                 int sweeps,
                                 const std::function<bool(int)>& go_on) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  const kernels::OpTable& ops = backend->ops();
  DtypeBench f32(*backend, DType::f32), bf16(*backend, DType::bf16);
  constexpr std::int64_t kElements = 16 << 20;
  const Tensor x = random(*backend, DType::f32, {kElements});
  const Tensor y = random(*backend, DType::f32, {kElements});
  const Tensor small = random(*backend, DType::f32, {64, 64});

  DeviceRates rates;
  std::vector<double> add_bytes_per_s, overhead_s;
  for (int done = 0; done < sweeps && (done == 0 || go_on(done)); ++done) {
    const kernels::Peaks peaks = kernels::measure_peaks(*backend->context().executor, 0.2);
    for (double kernels::Peaks::*peak :
         {&kernels::Peaks::f32_flops_per_s, &kernels::Peaks::bf16_flops_per_s,
          &kernels::Peaks::memory_bytes_per_s, &kernels::Peaks::read_bytes_per_s})
      rates.peaks.*peak = std::max(rates.peaks.*peak, peaks.*peak);
    f32.sweep();
    bf16.sweep();
    add_bytes_per_s.push_back(3.0 * sizeof(float) * kElements /
                              median_s(5, 1, [&] { ops.add(backend->context(), x, y, y); }));
    overhead_s.push_back(
        median_s(5, 200, [&] { ops.add(backend->context(), small, small, small); }));
  }

  // A peak is at least what is reached: its own loop may have run beside something else.
  rates.f32 = f32.rates();
  rates.bf16 = bf16.rates();
  rates.add_bytes_per_s = median(add_bytes_per_s);
  rates.op_overhead_s = median(overhead_s);
  rates.peaks.f32_flops_per_s = std::max(rates.peaks.f32_flops_per_s, f32.highest());
  rates.peaks.bf16_flops_per_s = std::max(rates.peaks.bf16_flops_per_s, bf16.highest());
  rates.peaks.memory_bytes_per_s =
      std::max(rates.peaks.memory_bytes_per_s,
               *std::max_element(add_bytes_per_s.begin(), add_bytes_per_s.end()));
  return rates;
}

}  // namespace tera::app
