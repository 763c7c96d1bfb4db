// Arguments of Megatron-LM that have no place in a spec, and why.
#include "core/spec/interchange/megatron_table.h"

namespace tera::spec {
namespace {

constexpr std::string_view kLauncher[] = {"--master-addr", "--master-port",         "--node-rank",
                                          "--rdzv-*",      "--distributed-backend", "--use-mpi"};
constexpr std::string_view kFiles[] = {"--save",
                                       "--load",
                                       "--data-path",
                                       "--data-cache-path",
                                       "--split",
                                       "--vocab-file",
                                       "--merge-file",
                                       "--tokenizer-*",
                                       "--mock-data",
                                       "--train-data-path",
                                       "--ckpt-*",
                                       "--no-load-*",
                                       "--no-save-*",
                                       "--async-save",
                                       "--valid-data-path",
                                       "--dist-ckpt-*",
                                       "--use-dist-ckpt",
                                       "--finetune",
                                       "--exit-*",
                                       "--num-workers",
                                       "--dataloader-type",
                                       "--no-create-attention-mask-in-dataloader",
                                       "--data-impl",
                                       "--auto-detect-ckpt-format",
                                       "--use-checkpoint-args"};
constexpr std::string_view kLogging[] = {"--log-*",
                                         "--tensorboard-*",
                                         "--wandb-*",
                                         "--timing-*",
                                         "--moe-per-layer-logging",
                                         "--eval-iters",
                                         "--no-barrier-with-level-1-timing",
                                         "--manual-gc*",
                                         "--logging-level"};
constexpr std::string_view kKernels[] = {"--use-mcore-models",
                                         "--no-masked-softmax-fusion",
                                         "--no-rope-fusion",
                                         "--apply-rope-fusion",
                                         "--moe-grouped-gemm",
                                         "--no-bias-dropout-fusion",
                                         "--no-bias-swiglu-fusion",
                                         "--no-bias-gelu-fusion",
                                         "--cross-entropy-*",
                                         "--moe-permute-fusion",
                                         "--moe-router-fusion",
                                         "--no-gradient-accumulation-fusion",
                                         "--no-async-tensor-model-parallel-allreduce",
                                         "--use-cpu-initialization",
                                         "--attention-softmax-in-fp32",
                                         "--moe-router-dtype",
                                         "--te-rng-tracker",
                                         "--cuda-graph-*",
                                         "--DDP-impl",
                                         "--no-query-key-layer-scaling",
                                         "--no-position-embedding",
                                         "--calculate-per-token-loss",
                                         "--apply-query-key-layer-scaling",
                                         "--moe-shared-expert-overlap"};
constexpr std::string_view kOverlap[] = {"--overlap-*",
                                         "--tp-comm-*",
                                         "--ddp-*",
                                         "--no-overlap-p2p-communication",
                                         "--delay-wgrad-compute",
                                         "--use-nccl-ub",
                                         "--nccl-communicator-config-path"};
constexpr std::string_view kScales[] = {"--fp8-*",
                                        "--fp4-*",
                                        "--no-fp8-*",
                                        "--first-last-layers-bf16",
                                        "--num-layers-at-start-in-bf16",
                                        "--num-layers-at-end-in-bf16",
                                        "--reuse-grad-buf-for-mxfp8-param-ag"};
constexpr std::string_view kUnequal[] = {"--decoder-first-pipeline-num-layers",
                                         "--decoder-last-pipeline-num-layers",
                                         "--standalone-embedding-stage"};
constexpr std::string_view kLossScale[] = {"--loss-scale"};
constexpr std::string_view kOffload[] = {"--offload-*", "--fine-grained-activation-offloading",
                                         "--use-torch-optimizer-for-cpu-offload", "--no-pin-cpu-*"};

constexpr IdleKeys kIdle[] = {
    {"how processes find each other is for the launcher", kLauncher},
    {"files of the run: data.datasets, data.tokenizer and checkpoints are set here", kFiles},
    {"logging does not change the run", kLogging},
    {"one set of kernels is planned", kKernels},
    {"overlap is planned by rules of its own", kOverlap},
    {"products of all layers are narrow, with the scales of the recipe", kScales},
    {"layers are shared out evenly over ranks and chunks here", kUnequal},
    {"the scale of the loss adapts here", kLossScale},
    {"offload here is of a whole kind of state: set layout.offload", kOffload},
};

}  // namespace

std::span<const IdleKeys> megatron_idle_keys() {
  return kIdle;
}

}  // namespace tera::spec
