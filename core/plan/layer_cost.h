// Work of one layer, or of the head, on one rank and one micro-batch: products, attention, streamed
// bytes and messages, turned into seconds by a roofline of the device and the links.
#pragma once
#include "core/plan/comm_cost.h"
#include "core/plan/fitted_times.h"
#include "core/plan/rank_mesh.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Seconds by kind.
struct Seconds {
  double dense = 0;      // products with weights every token uses
  double experts = 0;    // products of routed experts
  double attention = 0;  // scores and values
  double streaming = 0;  // norms, residuals, activations, permutation: bound by memory
  double head = 0;       // output head and loss
  double overhead = 0;   // starting operations, or waiting for a host that starts them
  double recompute = 0;  // forward work repeated in backward
  double tensor = 0;     // communication, by axis
  double context = 0;
  double expert = 0;
  double compute() const {
    return dense + experts + attention + streaming + head + overhead + recompute;
  }
  double communication() const { return tensor + context + expert; }
  double total() const { return compute() + communication(); }
  void add(const Seconds& other, double times);
};
struct PassCost {
  Seconds forward;
  Seconds backward;
  Seconds weight;  // of backward, what makes the gradients of the weights
  double total() const { return forward.total() + backward.total(); }
  void add(const PassCost& other, double times);
};

// Whether neighbouring elementwise operations, and those of the update, run as one: compiled, or by
// the kernels of Megatron-LM, which had them before attention was fused (Narayanan et al. 2021,
// section 4.2: bias and GeLU; bias, dropout and sum; scale, mask and softmax; Apex's FusedAdam).
bool fuses_elementwise(const spec::SoftwareConfig& software);

class LayerCost {
 public:
  // Spec and mesh must outlive it.
  LayerCost(const spec::RunSpec& spec, const RankMesh& mesh, const FittedTimes& fitted = {});

  PassCost layer(bool moe) const;
  PassCost embedding() const;
  PassCost head() const;
  // What a layer of multi-token prediction has beside the layer itself.
  PassCost prediction() const;
  // One activation to the neighbouring stage, in either direction: tensor ranks send a part each.
  double stage_send_s() const;
  // Of that, what the sender waits for: TeraGPT and zero-bubble schedules send beside
  // passes.
  double blocking_send_s() const;

  double peak_flops_per_s() const { return peak_; }      // of one rank
  double matmul_flops_per_s() const { return matmul_; }  // of that, reached by large products
  double memory_bytes_per_s() const { return memory_; }  // reached by one rank
  const CommCost& comm() const { return comm_; }
  const FittedTimes& fitted() const { return fitted_; }

 private:
  struct Work;
  void product(Work& work, double rows, double columns, double depth, double copies = 1) const;
  void add_starts(double num_ops, double num_weight_ops, PassCost& cost) const;
  // Seconds of a part of a layer on the device.
  struct HostWait {
    double forward_s = 0;
    double backward_s = 0;
  };
  void wait_for_host(bool moe, const HostWait& expert_part, PassCost& cost) const;
  void adapter_products(Work& work,
                        const ParamTable& table,
                        double tokens,
                        double expert_rows) const;
  void attention_products(Work& work) const;
  void latent_up_products(Work& work) const;
  double accumulation_bytes() const;
  bool starts_block() const;
  bool is_teragpt() const;
  struct StreamedBytes {
    double all = 0;
    double experts = 0;  // of these, for rows on their way through experts
    double cheap = 0;    // of these, for outputs of norms and activations
  };
  StreamedBytes streamed_bytes(bool moe) const;
  double permutation_accesses() const;
  void add_messages(bool moe, PassCost& cost) const;
  void overlap_exchange(PassCost& cost) const;
  void add_recompute(double cheap_s, PassCost& cost) const;
  bool repeats_latent_up() const;

  const spec::RunSpec& spec_;
  const RankMesh& mesh_;
  FittedTimes fitted_;
  CommCost comm_;
  double peak_;             // flop/s of this rank's share of the device in the run's precision
  double matmul_;           // flop/s, reached by large products
  double memory_;           // B/s, reached
  double element_;          // bytes of a compute-dtype element
  double tokens_;           // T: of one micro-batch on one context rank
  double residual_tokens_;  // T, split over tensor ranks under sequence parallelism
};

}  // namespace tera::plan
