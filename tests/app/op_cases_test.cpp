// The cases of `teragpt bench ops`: each is called once on a backend that notes which ops of its
// table run, so that none of them is without a case, whatever the names say.
#include "app/teragpt/op_cases.h"

#include <memory>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "core/base/thread_pool.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {
namespace {

using kernels::OpTable;

std::set<const void*>& called() {
  static std::set<const void*> entries;  // addresses within the table below
  return entries;
}

OpTable& noting_table() {
  static OpTable table = kernels::cpu_ops();
  return table;
}

template <auto kOp>
struct Noted;

template <class R, class... Arguments, R (*OpTable::*kOp)(Arguments...)>
struct Noted<kOp> {
  static R call(Arguments... arguments) {
    called().insert(&(noting_table().*kOp));
    return (kernels::cpu_ops().*kOp)(arguments...);
  }
};

// A name and function pointers, nothing else.
constexpr std::size_t kNumOps = sizeof(OpTable) / sizeof(void*) - 1;

template <auto... kOps>
void note() {
  static_assert(sizeof...(kOps) == kNumOps);
  ((noting_table().*kOps = Noted<kOps>::call), ...);
}

void note_all() {
  using T = OpTable;
  note<&T::matmul, &T::grouped_matmul, &T::grouped_matmul_weight, &T::embedding_forward,
       &T::embedding_backward, &T::norm_forward, &T::norm_backward_input, &T::norm_backward_weight,
       &T::dot_rows, &T::scale_rows, &T::rotary, &T::qk_norm_forward, &T::qk_norm_backward_input,
       &T::attention_forward, &T::attention_backward, &T::sum_heads, &T::activation_forward,
       &T::activation_backward, &T::add_bias, &T::bias_backward, &T::router_forward,
       &T::router_backward, &T::moe_dispatch, &T::moe_permute, &T::moe_unpermute,
       &T::moe_scatter_gates, &T::moe_gather_gates, &T::cross_entropy_forward,
       &T::cross_entropy_backward, &T::add, &T::scale, &T::multiply, &T::copy, &T::zero,
       &T::sum_of_squares, &T::adamw, &T::adamw_halves, &T::lion, &T::sgd, &T::factored_moments,
       &T::adafactor_norm, &T::adafactor, &T::lerp, &T::stochastic_round, &T::split_halves,
       &T::join_halves>();
}

class NotingBackend final : public Backend {
 public:
  explicit NotingBackend(ThreadPool& pool) : inner_(make_cpu_backend(pool)) { note_all(); }

  std::string_view name() const override { return inner_->name(); }
  std::shared_ptr<std::byte> allocate(std::int64_t bytes, MemoryKind kind) override {
    return inner_->allocate(bytes, kind);
  }
  void recount(const std::shared_ptr<std::byte>& memory, MemoryKind kind) override {
    inner_->recount(memory, kind);
  }
  const OpTable& ops() const override { return noting_table(); }
  const kernels::Context& context() const override { return inner_->context(); }
  MemoryCounter counter(MemoryKind kind) const override { return inner_->counter(kind); }
  void reset_peaks() override { inner_->reset_peaks(); }

 private:
  std::unique_ptr<Backend> inner_;
};

TEST(OpCases, CallEveryOp) {
  constexpr double kLong = 2e9;  // operations; smaller cases of the same ops are called
  ThreadPool pool(2);
  NotingBackend backend(pool);
  std::set<const void*> measured;
  for (const OpCase& one : op_cases()) {
    if (one.work.flops > kLong) continue;
    const std::function<void()> call = one.prepare(backend);
    called().clear();
    call();
    EXPECT_EQ(called().size(), 1U) << one.name << " measures one op";
    measured.insert(called().begin(), called().end());
  }
  const auto* entries = reinterpret_cast<void* const*>(&noting_table());
  for (std::size_t op = 1; op <= kNumOps; ++op)
    EXPECT_TRUE(measured.contains(entries + op)) << "op " << op << " of OpTable has no case";
}

TEST(OpCases, HaveNamesOfTheirOwnAndOneKindOfWork) {
  std::set<std::string> names;
  for (const OpCase& one : op_cases()) {
    EXPECT_TRUE(names.insert(one.name).second) << one.name;
    EXPECT_NE(one.work.flops > 0, one.work.bytes > 0) << one.name;
    EXPECT_NE(one.name.find(dtype_name(one.dtype)), std::string::npos) << one.name;
  }
}

}  // namespace
}  // namespace tera::app
