// Whole tensors out of the parts that ranks hold, and back: what a checkpoint is written from and
// read into, so that every layout reads what any other wrote.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/checkpoint/checkpoint.h"
#include "core/comm/mesh_groups.h"
#include "core/nn/param_store.h"
#include "core/train/optimizer.h"

namespace tera::train {

// A tensor that a run must keep: of a weight, or of what its optimizer has beside it.
struct WholeTensor {
  plan::ParamSpec param;  // global
  checkpoint::TensorInfo info;
};
// Weights without a master, then states, as f32; in the order of the model's table. With adapters
// theirs alone.
std::vector<WholeTensor> whole_tensors(const spec::RunSpec& spec);

class TensorParts {
 public:
  // All must outlive it.
  TensorParts(comm::MeshGroups& groups, nn::ParamStore& params, Optimizer& optimizer)
      : groups_(groups), params_(params), optimizer_(optimizer) {}

  bool is_leader() const { return groups_.rank() == 0; }
  comm::Communicator& world() { return groups_.world(); }
  Optimizer& optimizer() { return optimizer_; }
  Backend& backend() const { return params_.backend(); }

  // Rank 0 asks for tensors, in any order and as often as it likes, and all others answer until it
  // is done.
  Tensor gather(const std::vector<WholeTensor>& all, std::size_t index);
  void done();
  void answer(const std::vector<WholeTensor>& all);

  // Fills what this rank keeps of a tensor from what is stored of it, converted, and reads no more
  // of the checkpoint than that; nothing where it holds none of it.
  Result<void> read(const WholeTensor& tensor,
                    const checkpoint::Reader& reader,
                    const checkpoint::TensorInfo& stored);

 private:
  // Elements of this rank, in a row, and which those are of its part.
  struct Mine {
    Tensor values;
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };
  Mine mine(const WholeTensor& tensor) const;
  bool is_first_owner(const nn::Param& param) const;

  comm::MeshGroups& groups_;
  nn::ParamStore& params_;
  Optimizer& optimizer_;
};

}  // namespace tera::train
