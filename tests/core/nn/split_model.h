// Ranks that share out a model compute what one rank does: in f64, so that the order of sums is all
// that differs.
#pragma once
#include <memory>

#include <gtest/gtest.h>

#include "core/comm/mesh_groups.h"
#include "core/nn/tensor_parallel.h"
#include "core/plan/rank_mesh.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/distance.h"
#include "tests/support/spawn_ranks.h"

namespace tera::nn::test {

// The parameters of all of a model, or of what one rank of a layout holds of it.
struct SplitModel {
  explicit SplitModel(const spec::ModelConfig& config)
      : params(*backend, plan::make_param_table(config), {.compute = DType::f64}) {}
  // load: rows of an expert buffer, over an even load.
  SplitModel(const spec::RunSpec& spec, comm::Communicator& world, double load = 1)
      : groups(std::make_unique<comm::MeshGroups>(*plan::RankMesh::make(spec.layout), world)),
        params(*backend,
               plan::local_table(spec, groups->mesh(), world.rank()),
               {.compute = DType::f64,
                .parallel = {.groups = groups.get(),
                             .sequence_parallel = spec.layout.sequence_parallel,
                             .expert_dispatcher = spec.layout.expert_dispatcher,
                             .expert_load = load}}) {}

  // After the last backward.
  void finish_gradients() {
    params.settle_grads();
    const TensorGroup tensor_ranks(params);
    for (Param& param : params.params()) {
      if (param.trained) sum_shared_gradient(param, tensor_ranks);
    }
  }

  ThreadPool pool{1};
  std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  std::unique_ptr<comm::MeshGroups> groups;  // null: everything is here
  ParamStore params;
};

// Those of a part, summed over its replicas, are those of the same elements of the whole.
inline void expect_gradients_of(SplitModel& whole, SplitModel& part) {
  for (Param& param : part.params.params()) {
    if (!param.trained) continue;
    part.groups->replicas(param.spec.is_expert()).all_reduce(param.grad, comm::Reduce::sum);
    const std::vector<double> want =
        part_of(values_of(whole.params.get(param.spec.name).grad), param.slice);
    EXPECT_LT(tera::test::relative_distance(values_of(param.grad), want), 1e-11)
        << param.spec.name << " on rank " << part.groups->rank();
  }
}

}  // namespace tera::nn::test
