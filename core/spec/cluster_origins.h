// Which figures of a cluster were measured here, and which fitted to what others published.
#pragma once
#include <map>
#include <string>

#include "core/spec/origin.h"
#include "core/spec/own_runs.h"
#include "core/spec/run_spec.h"

namespace tera::spec {

struct ClusterOrigins {
  // By path, such as "cluster.device.matmul_efficiency"; what is not here is analytic.
  std::map<std::string, Origin> fields;
  OwnRunsFit own_runs;  // that are in these figures
};
// As the sources of the preset say, of figures that are as the preset has them: what a person has
// changed is theirs.
ClusterOrigins cluster_origins(const Cluster& cluster);

}  // namespace tera::spec
