// The estimate as text for a terminal.
#pragma once
#include <string>

#include "core/plan/estimate.h"

namespace tera::app {

std::string plan_text(const spec::RunSpec& spec, const plan::Estimate& estimate);
// One term and everything below it, with formula and source.
std::string term_text(const plan::Term& term);
}  // namespace tera::app
