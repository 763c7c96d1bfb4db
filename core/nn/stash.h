// Stash: what forward keeps for backward, for one micro-batch of one model chunk. Its content is
// the StashTable of core/plan, name by name; its bytes are what the planner predicts.
#pragma once
#include <map>
#include <string>

#include "core/tensor/tensor.h"

namespace tera::nn {

class Stash {
 public:
  explicit Stash(Backend& backend) : backend_(&backend) {}

  // A new tensor of MemoryKind::activations under this name. Throws ContractError if it exists.
  Tensor put(const std::string& name, std::initializer_list<std::int64_t> shape, DType dtype);
  // Keeps a tensor that another module made: the residual stream. The caller allocated it as
  // MemoryKind::activations; nothing is copied.
  void keep(const std::string& name, const Tensor& tensor);
  // The tensor of this name; ContractError names it when it is missing.
  const Tensor& get(const std::string& name) const;
  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  void release(const std::string& name);  // no error when absent
  void clear() { entries_.clear(); }
  // Gradients held between backward_input and backward_weight: MemoryKind::workspace.
  Tensor put_gradient(const std::string& name,
                      std::initializer_list<std::int64_t> shape,
                      DType dtype);
  void put_gradient(const std::string& name, const Tensor& tensor);

  // Takes the tensor of this name out: the caller is the last to use it.
  Tensor take(const std::string& name);

  const std::map<std::string, Tensor>& entries() const { return entries_; }
  Backend& backend() const { return *backend_; }

 private:
  void insert(const std::string& name, const Tensor& tensor);

  Backend* backend_;
  std::map<std::string, Tensor> entries_;
};

}  // namespace tera::nn
