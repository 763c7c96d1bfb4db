// Hashes of durable bytes: SHA-256 for identity, XXH3 for speed. Hex is lower case.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tera {

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string to_hex(std::span<const std::byte> bytes);
// 16 hex digits, most significant first.
std::string to_hex(std::uint64_t value);

std::string sha256_hex(std::string_view bytes);
std::uint64_t xxh3_64(std::span<const std::byte> bytes);
std::uint64_t xxh3_64(std::string_view bytes);

// 128-bit XXH3 in its canonical (big-endian) byte order, so that files agree between machines.
struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  bool operator==(const Hash128&) const = default;
  auto operator<=>(const Hash128&) const = default;  // NOLINT(modernize-use-nullptr): no pointers
};
Hash128 xxh3_128(std::string_view bytes);
std::string to_hex(const Hash128& hash);  // 32 digits
// The 16 canonical bytes.
std::string canonical_bytes(const Hash128& hash);

// SHA-256 of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::span<const std::byte> bytes);
  std::string hex();  // ends the computation

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// XXH3-64 of bytes that come in pieces.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(Xxh3&&) noexcept;
  Xxh3& operator=(Xxh3&&) noexcept;
  void reset();
  void update(std::span<const std::byte> bytes);
  std::uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Appends an integer as little-endian bytes: what the order and the file headers hash and hold.
template <class Integer>
void append_le(std::string& out, Integer value) {
  auto bits = static_cast<std::uint64_t>(value);
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    out.push_back(static_cast<char>(bits & 0xFF));
    bits >>= 8;
  }
}

}  // namespace tera
