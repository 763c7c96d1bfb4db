#include "core/nn/kv_cache.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace tera::nn {

KvCache::KvCache(std::vector<LayerCache> layers, std::vector<int> begins, int capacity)
    : layers_(std::move(layers)), begins_(std::move(begins)), end_(begins_), capacity_(capacity) {
  TERA_CHECK(!begins_.empty(), "key-value cache of no sequence");
  for (const int begin : begins_) {
    TERA_CHECK(begin >= 0 && begin < capacity_, "sequence from slot {} on in a cache of {}", begin,
               capacity_);
  }
}

int KvCache::end(Range range) const {
  const int end = end_[at(range.first)];
  for (int s = range.first; s < range.first + range.count; ++s) {
    TERA_CHECK(end_[at(s)] == end, "sequences {} and {} of a batch end at slots {} and {}",
               range.first, s, end, end_[at(s)]);
  }
  return end;
}

int KvCache::base(Range range) const {
  int base = begins_[at(range.first)];
  for (int s = range.first; s < range.first + range.count; ++s)
    base = std::min(base, begins_[at(s)]);
  return base;
}

LayerCache KvCache::layer(int layer, Range range) const {
  const LayerCache& all = layers_[static_cast<std::size_t>(layer)];
  const int first = base(range);
  const auto part = [&](const Tensor& of) {
    return of.slice(0, range.first, range.first + range.count).slice(1, first, capacity_);
  };
  return {.keys = part(all.keys), .values = part(all.values), .length = end(range) - first};
}

void KvCache::advance(Range range, int count) {
  for (int s = range.first; s < range.first + range.count; ++s) {
    TERA_CHECK(count <= room(s), "{} tokens more in a cache that has room for {}", count, room(s));
    end_[at(s)] += count;
  }
}

void KvCache::copy(int from, int to) {
  for (const LayerCache& layer : layers_) {
    for (const Tensor& part : {layer.keys, layer.values}) {
      const auto filled = [&](int sequence) {
        return part.slice(0, sequence, sequence + 1).slice(1, begin(from), end_[at(from)]);
      };
      part.backend().ops().copy(part.backend().context(), filled(from), filled(to));
    }
  }
  begins_[at(to)] = begins_[at(from)];
  end_[at(to)] = end_[at(from)];
}

std::size_t KvCache::at(int sequence) const {
  TERA_CHECK(sequence >= 0 && sequence < num_sequences(), "sequence {} of a cache for {}", sequence,
             num_sequences());
  return static_cast<std::size_t>(sequence);
}

}  // namespace tera::nn
