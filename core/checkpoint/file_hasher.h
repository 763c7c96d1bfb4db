// The checksums of a checkpoint's files: XXH3-64 of each block, XXH3-128 of the whole.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tera::checkpoint {

inline constexpr std::uint64_t kBlockBytes = std::uint64_t{1} << 20;

// Both checksums of a file whose bytes come in pieces of any size.
class FileHasher {
 public:
  FileHasher();
  ~FileHasher();
  FileHasher(FileHasher&&) noexcept;
  FileHasher& operator=(FileHasher&&) noexcept;
  void update(std::span<const std::byte> bytes);

  std::uint64_t num_bytes() const { return num_bytes_; }
  std::vector<std::uint64_t> blocks() const;  // the last block may be short; none for an empty file
  std::string whole_hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::vector<std::uint64_t> blocks_;  // the complete ones
  std::uint64_t num_bytes_ = 0;
};

}  // namespace tera::checkpoint
