#include "core/checkpoint/hash.h"

#include <algorithm>
#include <new>

#include <xxhash.h>

#include <fmt/format.h>

namespace tera::checkpoint {
namespace {

std::string hex_of(const XXH128_hash_t& hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

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

std::uint64_t hash64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string hash128_hex(std::string_view text) {
  return hex_of(XXH3_128bits(text.data(), text.size()));
}

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
  return hex_of(XXH3_128bits_digest(state_->whole.get()));
}

}  // namespace tera::checkpoint
