#include <algorithm>
#include <cmath>

#include "core/plan/calibration.h"
#include "core/plan/constant.h"

namespace tera::plan {
namespace {

using spec::Cluster;

enum class Family : std::uint8_t { any, ampere, hopper, blackwell, hgx_blackwell, grace_blackwell };

bool is_of(Family family, const Cluster& cluster) {
  const auto named = [&cluster](std::string_view part) {
    return cluster.device.name.find(part) != std::string::npos;
  };
  switch (family) {
    case Family::any:
      return true;
    case Family::ampere:
      return named("A100");
    case Family::hopper:
      return named("H100") || named("H200") || named("H800");
    case Family::blackwell:
      return named("B200") || named("B300");
    case Family::hgx_blackwell:
      return (named("B200") || named("B300")) && !named("NVL72");
    case Family::grace_blackwell:
      return named("NVL72");
  }
  return false;
}

// Relative, of what is expected.
constexpr Constant kSpread{"spread of what is expected", 0.3, "", false,
                           "assumption: what is read from data sheets and papers, not measured"};
constexpr Constant kMeasuredSpread{"spread of what was measured by itself", 0.05, "", false,
                                   "rings of nccl-tests reach 0.75 to 0.80 of links in a node on "
                                   "three generations of devices, 3 % "
                                   "about their mean; large products on a B200 6 % about theirs"};

// Where a cluster preset has the value; shares stay below 1.
struct ClusterValue {
  std::string_view name;
  Family family = Family::any;
  std::string_view preset;  // whose value stands for all of the family
  double& (*at)(Cluster&) = nullptr;
  double expected = 0;
  double low = 0;
  double high = 0;
  std::string_view source;
  std::string_view like = {};
  double spread = kSpread.value;
};
double& products(Cluster& c) {
  return c.device.matmul_efficiency;
}
double& products_8(Cluster& c) {
  return c.device.fp8_efficiency;
}
double& products_4(Cluster& c) {
  return c.device.fp4_efficiency;
}
double& attention(Cluster& c) {
  return c.device.attention_efficiency;
}
double& memory(Cluster& c) {
  return c.device.memory_efficiency;
}
double& starts(Cluster& c) {
  return c.device.op_overhead_s;
}
double& inside(Cluster& c) {
  return c.intra_node.efficiency;
}
double& between(Cluster& c) {
  return c.inter_node.efficiency;
}
double& stragglers(Cluster& c) {
  return c.slowdown_per_doubling;
}

constexpr std::string_view kLargestProducts =
    "Bekman, Machine Learning Engineering, compute/accelerator, maximum achievable matmul flops: "
    "the fastest product of each device";
constexpr std::string_view kLinks =
    "nccl-tests in Bekman, Machine Learning Engineering, network: 235 of 300 GB/s on eight A100, "
    "361 of 450 GB/s on eight H200, 678 of 900 GB/s on eight B200";
constexpr std::string_view kHgx16 = "16-bit products, B200 and B300";
constexpr std::string_view kGrace8 = "8-bit products, GB200 and GB300";
constexpr std::string_view kHopperAttention = "attention, H100 and H200";
constexpr ClusterValue kClusterValues[] = {
    {"16-bit products, A100", Family::ampere, "a100-ib", products, 0.869, 0.5, 0.95,
     kLargestProducts},
    {"16-bit products, H100 and H200", Family::hopper, "h100-ib", products, 0.803, 0.4, 0.95,
     kLargestProducts},
    {kHgx16,
     Family::hgx_blackwell,
     "b200-ib",
     products,
     0.48,
     0.3,
     0.95,
     "SimuMax, configs/system/b200_bf16_ceperm.json: large products of training one after the "
     "other, 0.44 to 0.50 of 2,250 TFLOP/s, where the fastest alone reaches 0.776",
     {},
     kMeasuredSpread.value},
    {"16-bit products, GB200 and GB300", Family::grace_blackwell, "b200-nvl72", products, 0.45, 0.3,
     0.95,
     "the fastest reaches 0.729 (Bekman, the same place) where it reaches 0.776 on a B200, whose "
     "large products of training reach 0.48",
     kHgx16},
    {"8-bit products, H100 and H200", Family::hopper, "h100-ib", products_8, 0.709, 0.35, 0.95,
     kLargestProducts},
    {"8-bit products, B200 and B300", Family::hgx_blackwell, "b200-ib", products_8, 0.763, 0.3,
     0.95, kLargestProducts, kGrace8},
    {kGrace8, Family::grace_blackwell, "b200-nvl72", products_8, 0.723, 0.3, 0.95,
     kLargestProducts},
    {"4-bit products", Family::any, "b200-nvl72", products_4, 0.6, 0.2, 0.95,
     "assumption: below 8-bit products, whose casts they share"},
    {"attention, A100", Family::ampere, "a100-ib", attention, 0.55, 0.3, 0.75,
     "Dao 2023, FlashAttention-2, figure 4: causal, both passes, 170 to 190 of 312 TFLOP/s"},
    {kHopperAttention, Family::hopper, "h100-ib", attention, 0.45, 0.2, 0.75,
     "Shah et al. 2024, FlashAttention-3, figures 5 and 6: causal, both passes"},
    {"attention, B200 to GB300", Family::blackwell, "b200-ib", attention, 0.5, 0.15, 0.75,
     "cudnn-frontend, benchmark/sdpa_benchmark_training/results/dsv3 of April 2026: causal, both "
     "passes in 16 bits on GB200, 1,135 to 1,280 of 2,500 TFLOP/s"},
    {"memory", Family::any, "a100-ib", memory, 0.9, 0.85, 0.95,
     "copies of large tensors reach nine tenths of the data sheet"},
    {"start of an operation, s", Family::any, "a100-ib", starts, 4e-6, 1.5e-6, 12e-6,
     "launch of an empty kernel, 2 to 6 us"},
    {"links in a node",
     Family::any,
     "a100-ib",
     inside,
     0.78,
     0.4,
     0.95,
     kLinks,
     {},
     kMeasuredSpread.value},
    {"links between nodes",
     Family::any,
     "a100-ib",
     between,
     0.9,
     0.4,
     0.95,
     "nccl-tests on several nodes of eight adapters: nine tenths of the data sheet",
     {},
     kMeasuredSpread.value},
    {"stragglers per doubling", Family::any, "a100-ib", stragglers, 0.005, 0.001, 0.02,
     "Jiang et al. 2024, MegaScale, section 6.3: half a percent of machines is a tenth slower"},
};

FittedValue of_clusters(const ClusterValue& value) {
  FittedValue fitted{.name = value.name,
                     .expected = value.expected,
                     .low = value.low,
                     .high = value.high,
                     .spread = value.spread,
                     .source = value.source,
                     .like = value.like,
                     .in_use = {},
                     .scale = {}};
  fitted.in_use = [value](const PublishedPresets& presets) {
    Cluster cluster = presets.clusters.find(value.preset)->second;
    return value.at(cluster);
  };
  fitted.scale = [value](Cluster& cluster, FittedTimes&, double factor) {
    // A rate that was measured is reached as it is.
    if (!is_of(value.family, cluster) || value.at(cluster) == 1) return;
    constexpr double kMostReached = 0.98;
    value.at(cluster) = std::min(kMostReached, value.at(cluster) * factor);
  };
  return fitted;
}

FittedValue of_times(const FittedTime& time) {
  return {.name = time.constant->name,
          .expected = time.expected,
          .low = time.low,
          .high = time.high,
          .spread = kSpread.value,
          .source = time.source,
          .like = {},
          .in_use = [time](const PublishedPresets& presets) { return presets.fitted.*time.value; },
          .scale = [time](Cluster&, FittedTimes& fitted,
                          double factor) { fitted.*time.value *= factor; }};
}

}  // namespace

const std::vector<FittedValue>& fitted_values() {
  static const std::vector<FittedValue> values = [] {
    std::vector<FittedValue> all;
    for (const ClusterValue& value : kClusterValues)
      all.push_back(of_clusters(value));
    for (const FittedTime& time : kFittedTimes)
      all.push_back(of_times(time));
    return all;
  }();
  return values;
}

Values values_in_use(const PublishedPresets& presets) {
  Values values;
  for (const FittedValue& value : fitted_values())
    values.push_back(value.in_use(presets));
  return values;
}

Values expected_values() {
  Values values;
  for (const FittedValue& value : fitted_values())
    values.push_back(value.expected);
  return values;
}

PublishedPresets with_values(const PublishedPresets& presets, const Values& values) {
  PublishedPresets result = presets;
  const std::vector<FittedValue>& all = fitted_values();
  FittedTimes unused;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double factor = values[i] / all[i].in_use(presets);
    for (auto& [name, cluster] : result.clusters)
      all[i].scale(cluster, unused, factor);
    Cluster no_cluster;
    all[i].scale(no_cluster, result.fitted, factor);
  }
  return result;
}

}  // namespace tera::plan
