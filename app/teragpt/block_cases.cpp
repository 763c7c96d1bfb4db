// Feed-forward blocks, forward and backward: experts beside a dense block of equal active work.
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "app/teragpt/op_cases.h"
#include "core/base/rng.h"
#include "core/nn/mlp.h"
#include "core/nn/moe_layer.h"
#include "core/spec/presets.h"

namespace tera::app {
namespace {

constexpr const char* kInput = "layers.0.ffn.norm_out";

// One block of a model of one layer, and its input and output gradient.
class Block {
 public:
  Block(const spec::ModelConfig& model, DType dtype, std::int64_t tokens, Backend& backend)
      : backend_(backend),
        params_(backend, plan::make_part_table(model, plan::ModelPart::layer), {.compute = dtype}),
        x_(Tensor::zeros(backend, {tokens, model.hidden_size}, dtype, MemoryKind::workspace)),
        dy_(Tensor::zeros(backend, {tokens, model.hidden_size}, dtype, MemoryKind::workspace)) {
    nn::init_params(params_, model, 1);
    fill(x_, 1);
    fill(dy_, 2);
    if (model.is_moe_layer(0)) {
      module_ = std::make_unique<nn::MoeLayer>(params_, model, 0, kInput);
    } else {
      module_ = std::make_unique<nn::Mlp>(params_, model.activation, "layers.0.ffn", kInput);
    }
    batch_.batch_size = 1;
    batch_.seq_length = static_cast<int>(tokens);
  }

  void run() {
    nn::Stash stash(backend_);
    nn::Pass pass{.batch = batch_, .stash = stash};
    stash.keep(kInput, x_);
    module_->forward(x_, pass);
    module_->backward_input(dy_, pass);
    module_->backward_weight(pass);
    params_.zero_grads();
  }

 private:
  // Normal values, so that the router spreads tokens as at the start of a training.
  void fill(const Tensor& tensor, std::uint64_t seed) const {
    const Tensor values =
        Tensor::zeros(backend_, tensor.shape(), DType::f32, MemoryKind::workspace);
    const Philox random(seed, RngPurpose::test);
    random.normals(0, 0, 1.0,
                   {values.data<float>(), static_cast<std::size_t>(values.num_elements())});
    backend_.ops().copy(backend_.context(), values, tensor);
  }

  Backend& backend_;
  nn::ParamStore params_;
  Tensor x_;
  Tensor dy_;
  std::unique_ptr<nn::Module> module_;
  nn::Batch batch_;
};

OpCase block_case(const char* name,
                  const spec::ModelConfig& model,
                  DType dtype,
                  std::int64_t tokens) {
  const bool moe = model.is_moe_layer(0);
  const double width =
      moe ? double{1} * model.router_top_k * model.moe_ffn_hidden_size : model.ffn_hidden_size;
  const double matrices = model.gated() ? 3 : 2;
  // Forward, gradient of the input, gradient of the weights: the router's share is left out.
  const OpWork work{.flops =
                        6 * matrices * static_cast<double>(tokens) * model.hidden_size * width};
  return {fmt::format("block/{}/{}/{}x{}x{:.0f}", name, dtype_name(dtype), tokens,
                      model.hidden_size, width),
          dtype, work,
          [model, dtype, tokens](Backend& backend) {
            auto block = std::make_shared<Block>(model, dtype, tokens, backend);
            return [block] { block->run(); };
          }};
}

}  // namespace

std::vector<OpCase> block_cases() {
  constexpr std::int64_t kTokensPerExpert = 96;
  std::vector<OpCase> cases;
  spec::ModelConfig moe = spec::model_preset("olmoe-small")->model;
  moe.num_layers = 1;
  const std::int64_t tokens = kTokensPerExpert * moe.num_experts / moe.router_top_k;
  spec::ModelConfig dense = moe;
  dense.num_experts = 0;
  dense.ffn_hidden_size = moe.router_top_k * moe.moe_ffn_hidden_size;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    cases.push_back(block_case("dense", dense, dtype, tokens));
    OpCase experts = block_case("experts", moe, dtype, tokens);
    experts.beside = std::make_shared<const OpCase>(cases.back());
    cases.push_back(std::move(experts));
  }
  return cases;
}

}  // namespace tera::app
