// What the ops of ops.h can be asked for beside their tensors: kinds, factors and switches.
#pragma once
#include <cstdint>

namespace tera::kernels {

enum class NormType : std::uint8_t { rms, layer };
// gelu is the tanh approximation, gelu_exact has the error function, relu_squared is relu(x)^2;
// swiglu and geglu gate a second half of x with silu or gelu of the first.
enum class Activation : std::uint8_t { swiglu, gelu, relu, gelu_exact, relu_squared, geglu };
constexpr bool is_gated(Activation type) {
  return type == Activation::swiglu || type == Activation::geglu;
}
enum class RouterType : std::uint8_t { softmax, sigmoid };

struct MatmulOptions {
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;  // c += instead of c =
};

struct RotaryOptions {
  double factor = 1.0;     // on the rotated dims (YaRN)
  bool transpose = false;  // turn back: the gradient of a rotation
};

struct AttentionOptions {
  std::int64_t query_offset = 0;  // position of query row 0 among the keys, or behind all of them
  double scale = 1.0;             // on q . k, normally 1 / sqrt(D)
  double softcap = 0.0;  // scores s = scale q . k become softcap tanh(s / softcap); 0 leaves them
  bool accumulate = false;  // to what was computed over other keys
};

struct RouterOptions {
  RouterType type = RouterType::softmax;
  bool renormalize = false;
  double scaling = 1.0;
  std::int64_t num_groups = 1;  // of neighbouring experts, equally large
  std::int64_t top_groups = 1;  // groups a token may choose from
  std::int64_t group_best = 2;  // best selection scores of a group that make its score
};

struct DispatchOptions {
  std::int64_t capacity = 0;  // slots an expert keeps at most; 0 = no limit
  bool pad = false;           // expert e has the rows from e capacity on, some of them unused
};

struct AdamWOptions {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0;
  double grad_scale = 1;  // clipping factor, applied to the gradient as it is read
  std::int64_t step = 1;  // 1-based, for bias correction
};

struct LionOptions {
  double learning_rate = 0;
  double beta1 = 0.9;   // of the direction
  double beta2 = 0.99;  // of the momentum that is kept
  double weight_decay = 0;
  double grad_scale = 1;
};

struct SgdOptions {
  double learning_rate = 0;
  double momentum = 0;  // needs m when not 0
  bool nesterov = false;
  double weight_decay = 0;  // decoupled: p -= learning_rate * weight_decay * p
  double grad_scale = 1;
};

struct AdafactorOptions {
  double learning_rate = 0;  // on the update as it is, unclipped
  double decay = 0;          // share of the weight that is taken away: p -= decay * p
  double row_mean = 1;       // of rows, over the whole matrix; 1 without rows
  double eps = 0x1p-23;      // least root of an estimated second moment
  double grad_scale = 1;
};

}  // namespace tera::kernels
