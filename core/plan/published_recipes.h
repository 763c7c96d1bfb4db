// How published benchmarks of models with experts were run, where their tables do not say it: the
// settings of the recipes that the tables name, release by release.
#pragma once
#include <optional>
#include <vector>

#include "core/plan/published_table.h"
#include "core/spec/parallel_layout.h"
#include "core/spec/software_config.h"

namespace tera::plan {

// Sets what concerns experts: dispatch, overlap, recorded graphs, fused kernels, 8-bit attention.
// Nothing for rows without experts and rows of tables without recipes.
void set_published_recipe(const PublishedRow& row, spec::SoftwareConfig& software);
// What the recipe of a row recomputes; where it names single operations, the kinds around it. Empty
// where there is no recipe.
std::optional<std::vector<spec::RecomputeKind>> published_recompute(const PublishedRow& row);
// Whether experts take as many tokens as they would on average, and no more.
bool drops_tokens(const PublishedRow& row);

}  // namespace tera::plan
