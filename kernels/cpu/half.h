// Half precision on processors without its arithmetic: the f16 arguments of an op are widened to
// f32, the op computes on those, and they are rounded back.
#pragma once
#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/f16.h"
#include "kernels/ops.h"

namespace tera::kernels::cpu {

void widen_half(const F16* from, float* to, std::int64_t n);
void round_half(const float* from, F16* to, std::int64_t n);

// The f32 copies of one op's f16 arguments, in scratch of the calling thread.
class WideArguments {
 public:
  explicit WideArguments(const Context& context) : context_(context) {}

  // The argument itself, or its copy if it is an f16 view; the same view twice has one copy.
  template <class T>
  T operator()(T argument) {
    if constexpr (std::is_same_v<T, View>) {
      return argument.present() && argument.dtype == DType::f16 ? widened(argument) : argument;
    } else {
      return argument;
    }
  }
  // Into the f16 memory, inputs too: what an op only reads comes back as it was.
  void write_back() const;

 private:
  static constexpr int kFirstSlot = 4;  // of the executor's scratch; 0 to 3 are the ops' own
  static constexpr int kMost = 12;      // arguments of an op
  struct Pair {
    View half;
    View wide;
  };
  View widened(const View& half);

  const Context& context_;
  std::array<Pair, kMost> pairs_;
  int count_ = 0;
};

template <class T>
bool is_half(const T& argument) {
  if constexpr (std::is_same_v<T, View>) return argument.dtype == DType::f16;
  return false;
}

template <auto Op>
struct WithHalf;
template <class R, class... Arguments, R (*Op)(const Context&, Arguments...)>
struct WithHalf<Op> {
  static R call(const Context& context, Arguments... arguments) {
    if (!(is_half(arguments) || ...)) return Op(context, arguments...);
    WideArguments wide(context);
    if constexpr (std::is_void_v<R>) {
      Op(context, wide(arguments)...);
      wide.write_back();
    } else {
      const R result = Op(context, wide(arguments)...);
      wide.write_back();
      return result;
    }
  }
};

// The op, for f16 arguments too.
template <auto Op>
inline constexpr auto kWithHalf = &WithHalf<Op>::call;

}  // namespace tera::kernels::cpu
