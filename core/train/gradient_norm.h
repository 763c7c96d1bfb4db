// The norm of all gradients of a model, each element counted once wherever it is held.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/comm/mesh_groups.h"
#include "core/nn/param_store.h"
#include "core/spec/run_spec.h"

namespace tera::train {

class GradientNorm {
 public:
  // The store is make_param_store()'s. Both must outlive it.
  GradientNorm(nn::ParamStore& params, comm::MeshGroups& groups, const spec::RunSpec& spec);

  // Of the summed gradients, in f64; the same on every rank. Squares are added up tensor by tensor
  // in the order of the model's table, so that stages change no bit; with reproducible sums also
  // block by block of a tensor, so that replicas, which share out whole blocks, change none.
  double compute();

 private:
  struct Counted {  // elements [begin, end) of a part that count for the norm on this rank
    const nn::Param* param;
    std::size_t row;  // of the model's table
    std::int64_t begin, end;
  };
  void add_ranges(std::vector<double>& rows);
  void add_blocks(std::vector<double>& rows, bool experts);

  nn::ParamStore& params_;
  comm::MeshGroups& groups_;
  const bool reproducible_;
  std::vector<Counted> counted_;
  std::vector<std::size_t> row_of_;  // [parameter of the store] in the model's table
  std::size_t num_rows_ = 0;         // of that
};

}  // namespace tera::train
