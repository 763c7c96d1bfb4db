#include "core/train/whole_tensors.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/checkpoint/weights.h"
#include "core/plan/adapter_table.h"
#include "core/plan/optimizer_state.h"

namespace tera::train {
namespace {

constexpr std::string_view kWeight = "weight";

// What is kept of a tensor's rows or columns is split where its first dim is.
plan::ParamSpec spec_of(const WholeTensor& tensor) {
  plan::ParamSpec spec = tensor.param;
  if (spec.shape == tensor.info.shape) return spec;
  std::erase_if(spec.splits, [&](const plan::ParamSplit& split) {
    return split.dim != 0 || spec.shape.front() != tensor.info.shape.front();
  });
  spec.shape = tensor.info.shape;
  spec.row_parts.clear();
  return spec;
}

// Elements [begin, end) of a part that count on its rank, in a row.
template <class Visit>
std::int64_t for_counted(const plan::ParamSlice& slice,
                         std::int64_t begin,
                         std::int64_t end,
                         const Visit& visit) {
  std::int64_t packed = 0;
  slice.for_each_in(begin, end,
                    [&](std::int64_t global, std::int64_t local, std::int64_t count, bool first) {
                      if (!first) return;
                      visit(global, local, packed, count);
                      packed += count;
                    });
  return packed;
}

void copy_elements(const Tensor& from,
                   std::int64_t from_at,
                   const Tensor& to,
                   std::int64_t to_at,
                   std::int64_t count) {
  const std::int64_t width = dtype_bytes(to.dtype());
  std::memcpy(to.data<std::byte>() + to_at * width, from.data<const std::byte>() + from_at * width,
              static_cast<std::size_t>(count * width));
}

Tensor workspace(Backend& backend, std::int64_t elements, DType dtype) {
  return Tensor::empty(backend, {elements}, dtype, MemoryKind::workspace);
}

}  // namespace

std::vector<WholeTensor> whole_tensors(const spec::RunSpec& spec) {
  std::vector<WholeTensor> weights, states;
  for (const plan::ParamSpec& param : plan::make_param_table(spec)) {
    if (spec.lora.enabled() && !param.adapts) continue;  // frozen: kept where it came from
    if (!plan::has_master(param, spec.training)) {
      weights.push_back({param,
                         {.name = param.name,
                          .role = std::string(kWeight),
                          .dtype = plan::weight_dtype(param, spec.training.precision),
                          .shape = param.shape}});
    }
    for (const plan::StateTensor& state : plan::optimizer_state(param, spec.training)) {
      states.push_back({param,
                        {.name = param.name,
                         .role = std::string(state.role),
                         .dtype = DType::f32,
                         .shape = state.shape}});
    }
  }
  weights.insert(weights.end(), states.begin(), states.end());
  return weights;
}

// Of the ranks that own the same elements.
bool TensorParts::is_first_owner(const nn::Param& param) const {
  const int owners = param.bucket != nullptr ? param.bucket->plan.ranks : 1;  // of one copy
  return groups_.replicas(param.spec.is_expert()).rank() < owners;
}

TensorParts::Mine TensorParts::mine(const WholeTensor& tensor) const {
  if (!params_.has(tensor.info.name)) return {};
  const nn::Param& param = params_.get(tensor.info.name);
  if (!is_first_owner(param)) return {};
  if (param.slice.first_ranges().empty()) return {};  // a copy
  Mine mine;
  if (tensor.info.role == kWeight) {
    mine.values = param.owned_value();
  } else if (param.num_owned() > 0) {
    const Tensor state = optimizer_.state(tensor.info.name, tensor.info.role);
    mine.values = state.reshape({state.num_elements()});
  } else {
    return {};
  }
  mine.begin = param.owned_begin;
  mine.end = mine.begin + mine.values.num_elements();
  return mine;
}

Tensor TensorParts::gather(const std::vector<WholeTensor>& all, std::size_t index) {
  Backend& backend = params_.backend();
  comm::Communicator& world = groups_.world();
  const WholeTensor& tensor = all.at(index);
  Tensor asked = workspace(backend, 1, DType::i64);
  *asked.data<std::int64_t>() = static_cast<std::int64_t>(index);
  world.broadcast(asked, 0);
  const plan::ParamSpec spec = spec_of(tensor);
  Tensor whole =
      Tensor::empty(backend, tensor.info.shape, tensor.info.dtype, MemoryKind::workspace);
  std::int64_t found = 0;
  for (int rank = 0; rank < world.size(); ++rank) {
    Mine part;
    Tensor packed;
    if (rank == world.rank()) {
      part = mine(tensor);
    } else {
      Tensor range = workspace(backend, 2, DType::i64);
      world.recv(range, rank);
      part.begin = range.data<std::int64_t>()[0];
      part.end = range.data<std::int64_t>()[1];
    }
    if (part.begin == part.end) continue;
    plan::ParamSlice slice = plan::slice_of(spec, groups_.mesh(), rank);
    const std::int64_t count = for_counted(slice, part.begin, part.end, [](auto...) {});
    if (rank != world.rank() && count > 0) {
      packed = workspace(backend, count, tensor.info.dtype);
      world.recv(packed, rank);
    }
    for_counted(slice, part.begin, part.end,
                [&](std::int64_t global, std::int64_t local, std::int64_t at, std::int64_t n) {
                  if (packed.present()) {
                    copy_elements(packed, at, whole, global, n);
                  } else {
                    copy_elements(part.values, local - part.begin, whole, global, n);
                  }
                });
    found += count;
  }
  TERA_CHECK(found == whole.num_elements(), "{} '{}': ranks hold {} of {} elements",
             tensor.info.role, tensor.info.name, found, whole.num_elements());
  return whole;
}

void TensorParts::done() {
  Tensor asked = workspace(params_.backend(), 1, DType::i64);
  *asked.data<std::int64_t>() = -1;
  groups_.world().broadcast(asked, 0);
}

void TensorParts::answer(const std::vector<WholeTensor>& all) {
  Backend& backend = params_.backend();
  comm::Communicator& world = groups_.world();
  for (;;) {
    Tensor asked = workspace(backend, 1, DType::i64);
    world.broadcast(asked, 0);
    const std::int64_t index = *asked.data<std::int64_t>();
    if (index < 0) return;
    const WholeTensor& tensor = all.at(static_cast<std::size_t>(index));
    const Mine part = mine(tensor);
    Tensor range = workspace(backend, 2, DType::i64);
    range.data<std::int64_t>()[0] = part.begin;
    range.data<std::int64_t>()[1] = part.end;
    world.send(range, 0);
    if (part.begin == part.end) continue;
    const plan::ParamSlice slice = plan::slice_of(spec_of(tensor), groups_.mesh(), world.rank());
    const std::int64_t count = for_counted(slice, part.begin, part.end, [](auto...) {});
    if (count == 0) continue;
    const Tensor packed = workspace(backend, count, tensor.info.dtype);
    for_counted(slice, part.begin, part.end,
                [&](std::int64_t /*global*/, std::int64_t local, std::int64_t at, std::int64_t n) {
                  copy_elements(part.values, local - part.begin, packed, at, n);
                });
    world.send(packed, 0);
  }
}

Result<void> TensorParts::read(const WholeTensor& tensor,
                               const checkpoint::Reader& reader,
                               const checkpoint::TensorInfo& stored) {
  if (!params_.has(tensor.info.name)) return {};
  const nn::Param& param = params_.get(tensor.info.name);
  const bool weight = tensor.info.role == kWeight;
  if (!weight && param.num_owned() == 0) return {};
  const nn::Param::Kept kept = param.kept();
  const plan::ParamSlice slice = plan::slice_of(spec_of(tensor), groups_.mesh(), groups_.rank());
  const bool elements = tensor.info.shape == tensor.param.shape;
  const std::int64_t begin = weight ? kept.begin : param.owned_begin;
  const std::int64_t end = weight ? kept.end : elements ? param.owned_end : slice.num_elements();
  std::vector<checkpoint::ElementRun> runs;
  slice.for_each_in(begin, end,
                    [&](std::int64_t global, std::int64_t local, std::int64_t n, bool /*first*/) {
                      runs.push_back({.from = global, .to = local - begin, .count = n});
                    });
  std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.from < b.from; });
  const Tensor part =
      weight ? kept.values
             : Tensor::zeros(params_.backend(), {end - begin}, DType::f32, MemoryKind::workspace);
  TERA_TRY_VOID(checkpoint::read_weight(reader, stored, tensor.info.shape, runs, part));
  if (!weight) optimizer_.set_state(tensor.info.name, tensor.info.role, part);
  return {};
}

}  // namespace tera::train
