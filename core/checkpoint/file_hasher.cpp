#include "core/checkpoint/file_hasher.h"

#include <algorithm>
#include <new>

#include <xxhash.h>

#include "core/base/hash.h"

namespace tera::checkpoint {
namespace {

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};
using StatePtr = std::unique_ptr<XXH3_state_t, FreeState>;

StatePtr make_state() {
  StatePtr state(XXH3_createState());
  if (!state) throw std::bad_alloc();
  return state;
}

}  // namespace

struct FileHasher::State {
  StatePtr block = make_state();
  StatePtr whole = make_state();
};

FileHasher::FileHasher() : state_(std::make_unique<State>()) {
  XXH3_64bits_reset(state_->block.get());
  XXH3_128bits_reset(state_->whole.get());
}

FileHasher::~FileHasher() = default;
FileHasher::FileHasher(FileHasher&&) noexcept = default;
FileHasher& FileHasher::operator=(FileHasher&&) noexcept = default;

void FileHasher::update(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t room = kBlockBytes - num_bytes_ % kBlockBytes;
    const std::span<const std::byte> piece =
        bytes.first(std::min<std::uint64_t>(room, bytes.size()));
    XXH3_64bits_update(state_->block.get(), piece.data(), piece.size());
    XXH3_128bits_update(state_->whole.get(), piece.data(), piece.size());
    num_bytes_ += piece.size();
    bytes = bytes.subspan(piece.size());
    if (num_bytes_ % kBlockBytes == 0) {
      blocks_.push_back(XXH3_64bits_digest(state_->block.get()));
      XXH3_64bits_reset(state_->block.get());
    }
  }
}

std::vector<std::uint64_t> FileHasher::blocks() const {
  std::vector<std::uint64_t> all = blocks_;
  if (num_bytes_ % kBlockBytes != 0) all.push_back(XXH3_64bits_digest(state_->block.get()));
  return all;
}

std::string FileHasher::whole_hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->whole.get());
  return to_hex(Hash128{.high = hash.high64, .low = hash.low64});
}

}  // namespace tera::checkpoint
