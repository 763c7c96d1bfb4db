// The RunSpec a checkpoint was written with.
#pragma once
#include "core/base/result.h"
#include "core/checkpoint/checkpoint.h"
#include "core/spec/run_spec.h"

namespace tera::checkpoint {

// Reads the member "spec" (YAML text) of the state; corrupt when it is missing or does not parse.
Result<spec::RunSpec> saved_spec(const Reader& reader);

}  // namespace tera::checkpoint
