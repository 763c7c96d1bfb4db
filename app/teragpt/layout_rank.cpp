#include "app/teragpt/layout_rank.h"

#include <map>

#include "core/base/clock.h"
#include "core/comm/mesh_groups.h"
#include "core/train/synthetic.h"

namespace tera::app {
namespace {

using Axes = std::map<std::string, AxisTime>;

// Of the step that began then; the recorder keeps more operations than a step has.
void add_times(const comm::FlightRecorder& flight, double begin_s, Axes& axes) {
  for (const comm::FlightRecord& record : flight.records()) {
    if (record.begin_s >= begin_s && record.state == comm::FlightRecord::State::done)
      axes[record.axis].seconds += record.end_s - record.begin_s;
  }
}

void add_traffic(const comm::Traffic& traffic, double sign, Axes& axes) {
  for (const comm::TrafficCount& count : traffic.counts()) {
    if (count.ranks == 1) continue;
    axes[count.axis].calls += sign * static_cast<double>(count.calls);
    axes[count.axis].wire_bytes += sign * count.wire_bytes();
  }
}

// Every rank has the same axes, of groups of the same sizes but at the ends of a pipeline.
std::vector<AxisTime> mean_of_ranks(Axes& axes,
                                    const plan::RankMesh& mesh,
                                    int steps,
                                    comm::Communicator& world,
                                    Backend& backend) {
  std::vector<std::string> names = {"world"};
  for (const comm::MeshGroup& group : comm::mesh_groups(mesh, 0))
    names.emplace_back(group.name);
  Tensor sums = Tensor::empty(backend, {std::ssize(names), 3}, DType::f64, MemoryKind::workspace);
  double* at = sums.data<double>();
  for (const std::string& name : names) {
    const AxisTime& axis = axes[name];
    for (const double value : {axis.calls, axis.wire_bytes, axis.seconds})
      *at++ = value / world.size() / steps;
  }
  world.all_reduce(sums, comm::Reduce::sum);
  std::vector<AxisTime> means;
  at = sums.data<double>();
  for (const std::string& name : names) {
    if (at[0] > 0) means.push_back({name, at[0], at[1], at[2]});
    at += 3;
  }
  return means;
}

}  // namespace

void to_json(nlohmann::ordered_json& json, const LayoutSteps& steps) {
  json = {{"steps_s", steps.steps_s}, {"axes", nlohmann::ordered_json::array()}};
  for (const AxisTime& axis : steps.axes) {
    json["axes"].push_back({{"axis", axis.axis},
                            {"calls", axis.calls},
                            {"wire_bytes", axis.wire_bytes},
                            {"seconds", axis.seconds}});
  }
}

void from_json(const nlohmann::ordered_json& json, LayoutSteps& steps) {
  json.at("steps_s").get_to(steps.steps_s);
  for (const nlohmann::ordered_json& axis : json.at("axes")) {
    steps.axes.push_back({axis.at("axis").get<std::string>(), axis.at("calls").get<double>(),
                          axis.at("wire_bytes").get<double>(), axis.at("seconds").get<double>()});
  }
}

LayoutSteps run_layout(const spec::RunSpec& spec,
                       comm::Communicator& world,
                       Backend& backend,
                       int steps) {
  train::SyntheticTrainer trainer(spec, backend, &world);
  trainer.step();
  Axes axes;
  LayoutSteps timed;
  add_traffic(world.traffic(), -1, axes);
  for (int i = 0; i < steps; ++i) {
    const double begin_s = monotonic_s();
    trainer.step();
    timed.steps_s.push_back(monotonic_s() - begin_s);
    add_times(world.flight_recorder(), begin_s, axes);
  }
  add_traffic(world.traffic(), 1, axes);
  timed.axes = mean_of_ranks(axes, *plan::RankMesh::make(spec.layout), steps, world, backend);
  return timed;
}

}  // namespace tera::app
