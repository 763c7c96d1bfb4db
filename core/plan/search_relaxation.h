// Why a search finds nothing: the constraint that binds, and the smallest step that would help.
#pragma once
#include "core/base/error.h"
#include "core/plan/search.h"

namespace tera::plan {

// No layout is legal on so many devices, under what is fixed.
Error nothing_legal(const spec::RunSpec& spec, const FixedAxes& fixed);
// No legal layout fits; `searched` tells how much the leanest needs.
Error nothing_fits(const spec::RunSpec& spec,
                   const SearchOptions& options,
                   const SearchControl& control,
                   const SearchResult& searched);

// The cluster with so many devices: whole nodes, or one node that is not full. Errors: a number of
// devices that is not whole nodes.
Result<spec::Cluster> cluster_of(spec::Cluster cluster, std::int64_t num_devices);

}  // namespace tera::plan
