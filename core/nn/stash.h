// Stash: what forward keeps for backward, for one micro-batch of one model chunk. Its content is
// the StashTable of core/plan, name by name; its bytes are what the planner predicts.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/tensor/tensor.h"

namespace tera::nn {

class Stash {
 public:
  explicit Stash(Backend& backend) : backend_(&backend) {}

  // A new tensor under this name, that lasts unless Passing. Throws ContractError if it exists.
  Tensor put(const std::string& name, std::initializer_list<std::int64_t> shape, DType dtype);
  // One that no recompute gives up: MemoryKind::activations.
  Tensor put_lasting(const std::string& name,
                     std::initializer_list<std::int64_t> shape,
                     DType dtype);
  // Keeps a tensor that another module made: the residual stream. It lasts like what is
  // put; nothing is copied.
  void keep(const std::string& name, const Tensor& tensor);
  // The tensor of this name; ContractError names it when it is missing.
  const Tensor& get(const std::string& name) const;
  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  void release(const std::string& name);  // no error when absent
  // All whose names begin so, but for those that `lasts` names.
  void release_all(std::string_view prefix, const std::function<bool(std::string_view)>& lasts);
  void clear() { entries_.clear(); }
  // What lives in backward alone, gradients and what is computed again: MemoryKind::workspace.
  Tensor put_gradient(const std::string& name,
                      std::initializer_list<std::int64_t> shape,
                      DType dtype);
  void put_gradient(const std::string& name, const Tensor& tensor);

  // What is in it between the halves of a backward that a schedule parts counts as of
  // MemoryKind::activations.
  void hold();

  // Takes the tensor of this name out: the caller is the last to use it.
  Tensor take(const std::string& name);

  const std::map<std::string, Tensor>& entries() const { return entries_; }
  Backend& backend() const { return *backend_; }

  // While it lives, what is put does not last: MemoryKind::workspace.
  class Passing {
   public:
    explicit Passing(Stash& stash) : stash_(stash) { stash_.kind_ = MemoryKind::workspace; }
    ~Passing() { stash_.kind_ = MemoryKind::activations; }
    Passing(const Passing&) = delete;
    Passing& operator=(const Passing&) = delete;

   private:
    Stash& stash_;
  };

 private:
  Tensor make(const std::string& name,
              std::initializer_list<std::int64_t> shape,
              DType dtype,
              MemoryKind kind);
  void insert(const std::string& name, const Tensor& tensor);

  Backend* backend_;
  MemoryKind kind_ = MemoryKind::activations;
  std::map<std::string, Tensor> entries_;
};

}  // namespace tera::nn
