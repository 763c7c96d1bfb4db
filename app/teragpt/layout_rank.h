// Training steps of one rank among several, with what they say to each other: what `bench layouts`
// starts as processes.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/comm/communicator.h"
#include "core/spec/run_spec.h"
#include "core/tensor/backend.h"

namespace tera::app {

// What ranks say along one axis, of the mean rank and one step.
struct AxisTime {
  std::string axis;
  double calls = 0;
  double wire_bytes = 0;
  // From asking for an operation to its end: waiting for others, moving, reducing; what computing
  // hides counts, too.
  double seconds = 0;
};

struct LayoutSteps {
  std::vector<double> steps_s;
  std::vector<AxisTime> axes;  // those that are used
};
void to_json(nlohmann::ordered_json& json, const LayoutSteps& steps);
void from_json(const nlohmann::ordered_json& json, LayoutSteps& steps);

// Random tokens, one step to warm up and `steps` that count. Collective; the same on every rank.
LayoutSteps run_layout(const spec::RunSpec& spec,
                       comm::Communicator& world,
                       Backend& backend,
                       int steps);

}  // namespace tera::app
