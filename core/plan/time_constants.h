// Constants of the time model that are no property of a device or a link: those are in
// resources/clusters. Each has its source; fitted_times.h lists what is fitted to published step
// times, all of them together, with what was expected before: is_calibrated says so.
#pragma once
#include <array>

#include "core/plan/constant.h"

namespace tera::plan {

// Attention.
inline constexpr Constant kAttentionHalfLength{
    "attention half length", 300, "tokens", false,
    "Dao 2023, FlashAttention-2, figures 5 and 6: causal kernels at 512 tokens reach two thirds of "
    "their speed at 16,384 on an A100; what rows take to begin and to end on a multiprocessor does "
    "not shrink with its speed: Shah et al. 2024, FlashAttention-3, figure 5: half of it at 1,000 "
    "on an H100; cudnn-frontend, benchmark/sdpa_benchmark_training, GB200: half of it at 1,800"};
inline constexpr Constant kAttentionHalfLengthSpeed{"speed of the device of the half length",
                                                    312e12, "FLOP/s", false,
                                                    "NVIDIA A100 datasheet: dense bf16 products"};
inline constexpr Constant kAttentionHalfLengthUnits{
    "multiprocessors of the device of the half length", 108, "multiprocessors", false,
    "NVIDIA A100 whitepaper"};
inline constexpr Constant kAttentionBackwardWork{
    "attention backward work", 2.5, "", false,
    "Dao 2023, FlashAttention-2, section 4.1: five products against two of forward, scores being "
    "computed again"};
inline constexpr Constant kAttentionForward{
    "attention forward", 0.85, "", false,
    "Dao 2023, FlashAttention-2, figures 5 and 6: time of the forward kernel over that at the "
    "speed of both passes together"};
inline constexpr Constant kAttentionBackward{
    "attention backward", 1.06, "", false, "the same for the backward kernel: (3.5 - 0.85) / 2.5"};
inline constexpr Constant kUnalignedProduct{
    "unaligned product", 14, "", false,
    "NVIDIA, Matrix Multiplication Background User's Guide, section 2.1, and A100 datasheet: inner "
    "dims that are no multiple of 16 B miss the tensor cores, 312 against 19.5 TFLOP/s less what "
    "tensor cores waste on small tiles"};

inline constexpr Constant kMeasuredRows{
    "rows of measured products", 512, "rows", false,
    "`teragpt bench device` measures matmul_efficiency with as many tokens (bench_device.cpp)"};

inline constexpr Constant kOperandCost{
    "operand cost of a tile", 16, "elements", true,
    "reading operands beside the product: makes 64 x 64 tiles 0.75 times as fast as 256 x 128; "
    "fitted, mostly to BLOOM's layouts, whose products are cut in 8 x 12 pieces"};

// Operations.
inline constexpr Constant kHostOps{
    "host share of an operation", 5.5, "op_overhead_s", true,
    "starting an operation through an interpreter and autograd, in starts of a kernel; calibrated: "
    "vTrain's small models, which the host bounds"};
inline constexpr Constant kForwardOps{
    "forward operations of a layer", 40, "ops", false,
    "Megatron-LM and PyTorch, kernels of one transformer layer in a profile"};
inline constexpr Constant kBackwardOps{"backward operations of a layer", 60, "ops", false,
                                       "as forward: two products and sums for each"};
inline constexpr Constant kCompiledHost{
    "host share when compiled", 0.5, "", false,
    "a layer compiled as a whole starts about half as many operations"};
inline constexpr Constant kKernelGap{"gap between kernels", 0.42, "op_overhead_s", true,
                                     "end of one kernel to start of the next when queued"};
inline constexpr Constant kEagerTraffic{
    "traffic when not compiled", 1.92, "", true,
    "elementwise operations one by one write and read again what a fused one keeps in registers; "
    "calibrated: MPT on FSDP"};
inline constexpr Constant kEagerUpdate{
    "update when not fused", 3, "", true,
    "an optimizer of single operations passes over its states several times; calibrated: MPT"};
inline constexpr Constant kUnfusedAccumulation{
    "gradient accumulation apart", 2, "B", false,
    "where gradient_accumulation_fusion is missing (before Megatron-LM 3), a product's gradient of "
    "2 B is read once more and added to the sum, which is read and written"};
inline constexpr Constant kBlockingStart{
    "blocking start", 1.52, "host share", true,
    "DeepSpeed's pipeline with sharded states: the host waits for each operation, so that starting "
    "them adds to their time; fitted to BLOOM, which ran with CUDA_LAUNCH_BLOCKING=1 (BigScience, "
    "tr11-176B-ml.slurm)"};
inline constexpr Constant kRestartOps{
    "restart after a message", 6, "ops", true,
    "Megatron-LM synchronizes after a pair of sends and receives (p2p_communication.py): the host "
    "starts again with an empty queue"};

// Messages.
inline constexpr Constant kRingPiece{
    "piece of a ring", 2e6, "B", false,
    "nccl-tests, all_reduce_perf on eight A100 in Bekman, Machine Learning Engineering, network: "
    "0.277 ms for 16 MiB, 0.685 for 64 and 4.22 for 512, where the rate of 8 GiB alone would take "
    "0.125, 0.501 and 4.01: a ring that fills 2 MB a step, and less for short messages"};
inline constexpr Constant kRingLevels{
    "levels of a ring", 0.25, "", true,
    "share by which the faster level of a ring adds to the slower one: both work at the same "
    "time, but not on the same piece"};
inline constexpr Constant kTensorShown{
    "tensor messages shown", 0.32, "", true,
    "of messages cut into pieces beside products, the first and the last; calibrated: DGXC"};
inline constexpr Constant kGradientShown{
    "gradient messages shown", 0.095, "", true,
    "of messages beside passes, the last bucket and what they slow down; calibrated: MPT, DGXC"};
inline constexpr Constant kGradientWindow{
    "window of gradients", 0.8, "", false,
    "share of the passes beside which messages travel: the first layer's gradients come last"};
inline constexpr Constant kSyncApart{
    "gradient sum apart", 1.38, "", true,
    "copies into and out of the buffer of a sum that does not overlap"};
inline constexpr Constant kMessageCopies{
    "copies of gradients", 4, "B", false,
    "PyTorch, torch/distributed/fsdp: gradients of 2 B of a micro-batch are read and set side by "
    "side in the message that sums them"};
inline constexpr Constant kMessageCasts{
    "casts of gradients", 6, "B", false,
    "PyTorch, torch/distributed/fsdp: gradients of 2 B that are summed in f32 are read and written "
    "once more before"};
inline constexpr Constant kTensorsOfLayer{
    "tensors of a layer", 12, "", false,
    "weights and biases that DeepSpeed's ZeRO-3 of 2021 gathered one by one: Narayanan et al. "
    "2021, section 5.2"};
inline constexpr Constant kBlockingSend{
    "blocking send", 0.77, "", true,
    "share of a message between stages that the sender waits for where sends stand between passes; "
    "calibrated: BLOOM, ZB"};

inline constexpr Constant kExpertShown{
    "exchange with experts shown", 0.59, "", true,
    "of exchanges beside another micro-batch's work; calibrated: Megatron-Bridge, notes on "
    "expert-parallel overlap: 0.63 of HybridEP's exchanges, and 0.45 of plain ones, still showed"};
inline constexpr Constant kPairedExpertShown{
    "exchange with experts shown beside a pair", 0.15, "", false,
    "DualPipe hides exchanges wholly, but for the 20 of 132 multiprocessors that send: DeepSeek-AI "
    "2024, sections 3.2.1 and 3.2.2"};
inline constexpr Constant kOverlapHost{
    "host share of overlapped exchanges", 1.41, "", true,
    "to run beside another micro-batch a layer is cut into parts that autograd runs one by one, "
    "with the gradients of weights apart (Megatron-LM, overlap_moe_expert_parallel_comm and "
    "delay_wgrad_compute); calibrated: MBRIDGE"};
inline constexpr Constant kRoutingOps{
    "forward operations of routing", 50, "ops", true,
    "router, permutation, dispatch and combine; calibrated: MBRIDGE before graphs were captured"};
inline constexpr Constant kDispatchOps{
    "forward operations of a dispatch", 25, "ops", true,
    "of routing, what graphs of router and preparation do not record: dispatch, permutation and "
    "combine; calibrated: MBRIDGE"};
inline constexpr Constant kBufferedAccesses{
    "accesses of exchanged rows", 6.1, "", true,
    "rows are copied out of the buffers of DeepEP and HybridEP into the order of experts, weighted "
    "and summed, and copied into buffers again; calibrated: MBRIDGE"};
inline constexpr Constant kExchangeSetup{
    "setup of an exchange", 100e-6, "s", true,
    "ranks tell each other how many rows they send, and wait for the last one; calibrated: "
    "MBRIDGE"};
inline constexpr Constant kExpertOps{"forward operations of an expert", 4, "ops", false,
                                     "two products, and casts of their inputs"};

inline constexpr std::array kTimeConstants = {&kRingPiece,

                                              &kOperandCost,

                                              &kAttentionHalfLength,
                                              &kAttentionHalfLengthSpeed,
                                              &kAttentionHalfLengthUnits,
                                              &kAttentionBackwardWork,
                                              &kAttentionForward,
                                              &kAttentionBackward,
                                              &kUnalignedProduct,
                                              &kMeasuredRows,
                                              &kHostOps,
                                              &kForwardOps,
                                              &kBackwardOps,
                                              &kCompiledHost,
                                              &kKernelGap,
                                              &kEagerTraffic,
                                              &kEagerUpdate,
                                              &kUnfusedAccumulation,
                                              &kBlockingStart,
                                              &kRestartOps,
                                              &kRingLevels,
                                              &kTensorShown,
                                              &kGradientShown,
                                              &kGradientWindow,
                                              &kSyncApart,
                                              &kMessageCopies,
                                              &kMessageCasts,
                                              &kTensorsOfLayer,
                                              &kBlockingSend,
                                              &kExpertShown,
                                              &kPairedExpertShown,
                                              &kOverlapHost,
                                              &kRoutingOps,
                                              &kDispatchOps,
                                              &kBufferedAccesses,
                                              &kExchangeSetup,
                                              &kExpertOps};

}  // namespace tera::plan
