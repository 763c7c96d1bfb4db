// The estimate as text for a terminal, and what its step time rests on.
#pragma once
#include <string>

#include <nlohmann/json.hpp>

#include "core/plan/estimate.h"

namespace tera::app {

std::string plan_text(const spec::RunSpec& spec, const plan::Estimate& estimate);
// One term and everything below it, with formula and source.
std::string term_text(const plan::Term& term);
// Origin, error of groups left out (null: not known) and both in words.
nlohmann::ordered_json basis_json(const plan::TimeBasis& basis);
}  // namespace tera::app
