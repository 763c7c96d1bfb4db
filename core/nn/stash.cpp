#include "core/nn/stash.h"

#include <utility>

#include "core/base/check.h"

namespace tera::nn {

Tensor Stash::put(const std::string& name, std::initializer_list<std::int64_t> shape, DType dtype) {
  return make(name, shape, dtype, kind_);
}

Tensor Stash::put_lasting(const std::string& name,
                          std::initializer_list<std::int64_t> shape,
                          DType dtype) {
  return make(name, shape, dtype, MemoryKind::activations);
}

void Stash::keep(const std::string& name, const Tensor& tensor) {
  if (kind_ == MemoryKind::activations) tensor.count_as(kind_);
  insert(name, tensor);
}

void Stash::hold() {
  for (const auto& [name, tensor] : entries_)
    tensor.count_as(MemoryKind::activations);
}

const Tensor& Stash::get(const std::string& name) const {
  const auto found = entries_.find(name);
  TERA_CHECK(found != entries_.end(), "stash of {} tensors has no '{}'", entries_.size(), name);
  return found->second;
}

void Stash::release(const std::string& name) {
  entries_.erase(name);
}

void Stash::release_all(std::string_view prefix,
                        const std::function<bool(std::string_view)>& lasts) {
  std::erase_if(entries_, [&](const auto& entry) {
    return std::string_view(entry.first).substr(0, prefix.size()) == prefix && !lasts(entry.first);
  });
}

Tensor Stash::put_gradient(const std::string& name,
                           std::initializer_list<std::int64_t> shape,
                           DType dtype) {
  return make(name, shape, dtype, MemoryKind::workspace);
}

void Stash::put_gradient(const std::string& name, const Tensor& tensor) {
  insert(name, tensor);
}

Tensor Stash::take(const std::string& name) {
  Tensor tensor = get(name);
  release(name);
  return tensor;
}

Tensor Stash::make(const std::string& name,
                   std::initializer_list<std::int64_t> shape,
                   DType dtype,
                   MemoryKind kind) {
  Tensor tensor = Tensor::empty(*backend_, shape, dtype, kind);
  insert(name, tensor);
  return tensor;
}

void Stash::insert(const std::string& name, const Tensor& tensor) {
  const bool added = entries_.emplace(name, tensor).second;
  TERA_CHECK(added, "stash already holds '{}': two modules of one name, or a second forward", name);
}

}  // namespace tera::nn
