// All problems of a spec at once, each with a hint.
#pragma once
#include <vector>

#include "core/base/error.h"
#include "core/spec/run_spec.h"

namespace tera::spec {

// Errors make the spec meaningless; warnings cost speed or memory; notes explain.
std::vector<Diagnostic> validate(const RunSpec& spec);
// What this build's engine cannot train yet (planning still works): errors naming the field.
std::vector<Diagnostic> validate_for_engine(const RunSpec& spec);

}  // namespace tera::spec
