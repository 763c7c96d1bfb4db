#include "core/spec/cluster_origins.h"

#include "core/spec/presets.h"
#include "core/spec/yaml.h"

namespace tera::spec {

ClusterOrigins cluster_origins(const Cluster& cluster) {
  ClusterOrigins origins;
  const Result<ClusterPreset> preset = cluster_preset(cluster.preset);
  if (!preset) return origins;
  RunSpec here;
  here.cluster = cluster;
  RunSpec there;
  there.cluster = preset->cluster;
  for (const auto& [field, source] : preset->sources) {
    const Origin origin = source.starts_with("measured")     ? Origin::measured
                          : source.starts_with("calibrated") ? Origin::calibrated
                                                             : Origin::analytic;
    if (origin == Origin::analytic) continue;
    std::string path = "cluster." + field;
    if (get_field(here, path).value_or("") == get_field(there, path).value_or(""))
      origins.fields.emplace(std::move(path), origin);
  }
  const auto refined = origins.fields.find("cluster.device.matmul_efficiency");
  if (refined != origins.fields.end()) origins.own_runs = preset->own_runs;
  return origins;
}

}  // namespace tera::spec
