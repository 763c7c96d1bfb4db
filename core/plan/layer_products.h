// Matrix products of a part of the model on one rank and one micro-batch, turned
// into seconds by a roofline of the device.
#pragma once
#include "core/plan/fitted_times.h"
#include "core/plan/param_table.h"
#include "core/plan/rank_rates.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct ProductSeconds {
  double forward_s = 0;
  double backward_s = 0;
  double weight_s = 0;  // gradients of the weights, not in backward_s
  double num_ops = 0;   // forward; backward starts twice as many
  double forward_cast_bytes = 0;
  double backward_cast_bytes = 0;
};

// Lists them one by one.
class LayerProducts {
 public:
  // All must outlive it.
  LayerProducts(const spec::RunSpec& spec, const RankRates& rates, const FittedTimes& fitted)
      : spec_(spec), rates_(rates), fitted_(fitted) {}

  // y [rows, columns] = x [rows, depth] w: one product forward; two backward, the second of which
  // adds to f32 weight gradients in memory and is left out where adapters freeze the weights.
  // copies: weights of that size (experts) that share the rows. In 8 or 4 bits each operand is read
  // in 16 and written twice, by rows and by columns, as its scales run along the depth of the two
  // products.
  void add(double rows, double columns, double depth, double copies = 1) {
    add(spec_.training.precision, rows, columns, depth, copies);
  }
  // In 16 bits whatever the precision: routers and output heads.
  void add_in_16_bits(double rows, double columns, double depth) {
    add(spec::Precision::bf16, rows, columns, depth, 1);
  }
  // One product per factor of each adapter; three backward: the gradients of its input and of the
  // factor, and the inner vector (A x, or B^T dy) once more. Factors are f32.
  void add_adapters(const ParamTable& table, double tokens, double expert_rows);
  void add_attention();
  // From latent vectors to the heads' queries, keys and values.
  void add_latent_up();

  const ProductSeconds& seconds() const { return seconds_; }

 private:
  void add(spec::Precision precision, double rows, double columns, double depth, double copies);
  double accumulation_bytes() const;

  const spec::RunSpec& spec_;
  const RankRates& rates_;
  const FittedTimes& fitted_;
  ProductSeconds seconds_;
};

struct LayerProductSeconds {
  ProductSeconds dense;    // with weights every token uses
  ProductSeconds experts;  // of routed experts
};
LayerProductSeconds layer_products(const spec::RunSpec& spec,
                                   const RankRates& rates,
                                   const FittedTimes& fitted,
                                   bool moe);

}  // namespace tera::plan
