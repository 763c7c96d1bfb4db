#include "core/nn/param_store.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <tuple>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/plan/parametrization.h"

namespace tera::nn {
namespace {

DType value_dtype(const plan::ParamSpec& spec, DType compute) {
  return spec.always_f32 && compute != DType::f64 ? DType::f32 : compute;
}

// Values of elements [begin, end) of the whole tensor into to[0 ...].
using Fill = std::function<void(std::int64_t begin, std::int64_t end, float* to)>;

// Elements side by side.
struct Piece {
  std::int64_t global, local, count;
};

// Of elements [begin, end) of the part, in its order, none longer than `longest`.
std::vector<Piece> pieces_of(const plan::ParamSlice& slice,
                             const Param::Kept& kept,
                             std::int64_t longest) {
  std::vector<Piece> pieces;
  slice.for_each_in(
      kept.begin, kept.end, [&](std::int64_t global, std::int64_t local, std::int64_t count, bool) {
        for (std::int64_t at = 0; at < count; at += longest)
          pieces.push_back({global + at, local + at - kept.begin, std::min(longest, count - at)});
      });
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.local < b.local; });
  return pieces;
}

// Makes the values in f32 and rounds them to the tensor's dtype, part by part.
void fill_from_f32(const Param& param, const Fill& fill) {
  constexpr std::int64_t kPart = std::int64_t{1} << 22;
  constexpr std::int64_t kPiece = std::int64_t{1} << 15;
  const Param::Kept kept = param.kept();
  const Tensor& flat = kept.values;
  Backend& backend = flat.backend();
  const bool direct = flat.dtype() == DType::f32;
  const std::vector<Piece> pieces = pieces_of(param.slice, kept, kPiece);
  for (auto begin = pieces.begin(); begin != pieces.end();) {
    const std::int64_t from = begin->local;
    const auto end = std::find_if(begin, pieces.end(), [&](const Piece& piece) {
      return piece.local + piece.count > from + kPart;
    });
    const Tensor target = flat.slice(0, from, (end - 1)->local + (end - 1)->count);
    const Tensor made =
        direct ? target : Tensor::zeros(backend, target.shape(), DType::f32, MemoryKind::workspace);
    backend.context().executor->parallel_for(end - begin, [&](std::int64_t i, int /*worker*/) {
      const Piece& piece = *(begin + i);
      fill(piece.global, piece.global + piece.count, made.data<float>() + (piece.local - from));
    });
    if (!direct) backend.ops().copy(backend.context(), made, target);
    begin = end;
  }
}

Fill constant(float value) {
  return [value](std::int64_t begin, std::int64_t end, float* to) {
    std::fill(to, to + (end - begin), value);
  };
}

// Element i is half i % 2 of the normal pair i / 2, so any part of a tensor can be made alone.
Fill normal(double std, const Philox& random) {
  return [std, random](std::int64_t begin, std::int64_t end, float* to) {
    if (begin % 2 != 0 && begin < end) {
      float pair[2];
      random.normals(0, static_cast<std::uint64_t>(begin / 2), std, pair);
      *to++ = pair[1];
      ++begin;
    }
    random.normals(0, static_cast<std::uint64_t>(begin / 2), std,
                   std::span(to, static_cast<std::size_t>(end - begin)));
  };
}

// Word i % 4 of counter i / 4, as 24 bits in [0, 1), spread over [-bound, bound).
Fill uniform(double bound, const Philox& random) {
  return [bound, random](std::int64_t begin, std::int64_t end, float* to) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint32_t word =
          random.words(0, static_cast<std::uint64_t>(i / 4))[static_cast<std::size_t>(i % 4)];
      const double unit = static_cast<double>(word >> 8) * 0x1.0p-24;
      to[i - begin] = static_cast<float>(bound * (2.0 * unit - 1.0));
    }
  };
}

// Elements of a bucket that no tensor has.
template <class Visit>
void for_each_gap(const plan::ParamBucket& bucket, const Visit& visit) {
  std::int64_t end = 0;
  for (const plan::ParamBucket::Entry& entry : bucket.entries) {
    if (entry.begin > end) visit(end, entry.begin);
    end = entry.begin + entry.count;
  }
  if (bucket.num_elements > end) visit(end, bucket.num_elements);
}

// Elements of a tensor in a row, as the tensor of a shape.
Tensor shaped(const Tensor& flat, std::int64_t begin, const plan::ParamSlice& slice) {
  return flat.slice(0, begin, begin + slice.num_elements()).reshape(slice.shape);
}

Tensor in_a_row(const Tensor& tensor, std::int64_t begin, std::int64_t end) {
  return tensor.reshape({tensor.num_elements()}).slice(0, begin, end);
}

}  // namespace

const Tensor& Param::gradient() {
  const Target target = product_target();
  if (!target.accumulate) grad.backend().ops().zero(grad.backend().context(), grad);
  return grad;
}

Param::Target Param::product_target() {
  TERA_CHECK(trained, "gradient of '{}', which is not trained", spec.name);
  const bool accumulate = grad.present();
  if (accumulate) return {grad, true};
  if (bucket == nullptr) {
    grad = Tensor::empty(value.backend(), slice.shape, kernels::accumulate_dtype(value.dtype()),
                         MemoryKind::gradients);
    return {grad, false};
  }
  if (!bucket->gradients.present()) {
    Backend& backend = bucket->weight_shard.backend();
    bucket->gradients = Tensor::empty(backend, {bucket->plan.num_elements},
                                      kernels::accumulate_dtype(bucket->weight_shard.dtype()),
                                      MemoryKind::gradients);
    for_each_gap(bucket->plan, [&](std::int64_t begin, std::int64_t end) {
      backend.ops().zero(backend.context(), bucket->gradients.slice(0, begin, end));
    });
  }
  grad = shaped(bucket->gradients, bucket_begin, slice);
  return {grad, false};
}

// In the shard; of nothing anywhere.
std::int64_t Param::shard_offset() const {
  return num_owned() > 0 ? bucket_begin + owned_begin - bucket->plan.shard_begin() : 0;
}

Tensor Param::owned_value() const {
  if (bucket == nullptr) return in_a_row(value, 0, value.num_elements());
  const std::int64_t begin = shard_offset();
  return bucket->weight_shard.slice(0, begin, begin + num_owned());
}

Tensor Param::owned_gradient() const {
  if (bucket == nullptr) return in_a_row(grad, 0, grad.num_elements());
  const std::int64_t begin = shard_offset();
  return bucket->gradient_shard.slice(0, begin, begin + num_owned());
}

Param::Kept Param::kept() const {
  if (!value.present()) return {owned_value(), owned_begin, owned_end};
  return {in_a_row(value, 0, value.num_elements()), 0, value.num_elements()};
}

ParamStore::ParamStore(Backend& backend, plan::LocalTable table, ParamStoreOptions options)
    : backend_(&backend), options_(std::move(options)) {
  TERA_CHECK(options_.compute == DType::f32 || options_.compute == DType::bf16 ||
                 options_.compute == DType::f16 || options_.compute == DType::f64,
             "parameters in {}, expected f32, bf16, f16 or f64", dtype_name(options_.compute));
  params_.reserve(table.size());
  for (plan::LocalParam& held : table) {
    Param param;
    param.trained = options_.gradients && held.spec.trainable;
    param.spec = std::move(held.spec);
    param.slice = std::move(held.slice);
    param.owned_end = param.slice.num_elements();
    params_.push_back(std::move(param));
  }
  make_buckets();
  for (Param& param : params_) {
    if (param.bucket != nullptr) continue;
    param.value = Tensor::zeros(backend, param.slice.shape,
                                value_dtype(param.spec, options_.compute), MemoryKind::weights);
  }
}

void ParamStore::make_buckets() {
  buckets_.reserve(options_.buckets.size());
  for (const plan::ParamBucket& planned : options_.buckets) {
    ParamBucket& bucket = buckets_.emplace_back();
    bucket.plan = planned;
    const Tensor kept = Tensor::zeros(
        *backend_, {keeps_weights() ? planned.num_elements : planned.shard_elements()},
        value_dtype(params_.at(planned.entries.front().param).spec, options_.compute),
        MemoryKind::weights);
    if (keeps_weights()) bucket.weights = kept;
    bucket.weight_shard =
        keeps_weights()
            ? kept.slice(0, planned.shard_begin(), planned.shard_begin() + planned.shard_elements())
            : kept;
    for (const plan::ParamBucket::Entry& entry : planned.entries) {
      Param& param = params_.at(entry.param);
      param.bucket = &bucket;
      param.bucket_begin = entry.begin;
      std::tie(param.owned_begin, param.owned_end) = planned.owned(entry);
    }
    if (keeps_weights()) show_weights(bucket);
  }
}

void ParamStore::show_weights(ParamBucket& bucket) {
  for (const plan::ParamBucket::Entry& entry : bucket.plan.entries) {
    Param& param = params_[entry.param];
    param.value = shaped(bucket.weights, entry.begin, param.slice);
  }
}

void ParamStore::hold_weights(ParamBucket& bucket) {
  bucket.weights = Tensor::empty(*backend_, {bucket.plan.num_elements}, bucket.weight_shard.dtype(),
                                 MemoryKind::weights);
  show_weights(bucket);
}

void ParamStore::drop_weights(ParamBucket& bucket) {
  for (const plan::ParamBucket::Entry& entry : bucket.plan.entries)
    params_[entry.param].value = {};
  bucket.weights = {};
}

void ParamStore::drop_gradients(ParamBucket& bucket) {
  for (const plan::ParamBucket::Entry& entry : bucket.plan.entries)
    params_[entry.param].grad = {};
  bucket.gradients = {};
}

Param& ParamStore::get(const std::string& name) {
  const auto found = std::find_if(params_.begin(), params_.end(),
                                  [&](const Param& p) { return p.spec.name == name; });
  TERA_CHECK(found != params_.end(), "no parameter '{}' among {}", name, params_.size());
  return *found;
}

bool ParamStore::has(const std::string& name) const {
  return std::any_of(params_.begin(), params_.end(),
                     [&](const Param& p) { return p.spec.name == name; });
}

void ParamStore::zero_grads() {
  for (Param& param : params_)
    param.grad = {};
  for (ParamBucket& bucket : buckets_)
    bucket.gradients = bucket.gradient_shard = {};
}

void ParamStore::settle_grads() {
  for (Param& param : params_) {
    if (param.trained) param.gradient();
  }
}

void init_params(ParamStore& store, const spec::ModelConfig& model, std::uint64_t seed) {
  for (const Param& param : store.params()) {
    const Philox random(seed, RngPurpose::init, name_hash(param.spec.name));
    Fill fill;
    switch (param.spec.init) {
      case plan::ParamInit::normal:
      case plan::ParamInit::scaled_normal:
        fill = normal(plan::init_std(param.spec, model), random);
        break;
      case plan::ParamInit::kaiming_uniform:
        fill = uniform(1.0 / std::sqrt(static_cast<double>(param.spec.shape.back())), random);
        break;
      case plan::ParamInit::ones:
        fill = constant(1.0F);
        break;
      case plan::ParamInit::zeros:
        fill = constant(0.0F);
        break;
    }
    fill_from_f32(param, fill);
  }
}

}  // namespace tera::nn
