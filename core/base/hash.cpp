#include "core/base/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <fmt/format.h>

#include "core/base/check.h"

namespace tera {

std::string to_hex(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const std::byte b : bytes) {
    text.push_back(kDigits[static_cast<std::size_t>(b) >> 4]);
    text.push_back(kDigits[static_cast<std::size_t>(b) & 15]);
  }
  return text;
}

std::string to_hex(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(as_bytes(bytes));
  return hash.hex();
}

std::uint64_t xxh3_64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t xxh3_64(std::string_view bytes) {
  return xxh3_64(as_bytes(bytes));
}

Hash128 xxh3_128(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

std::string to_hex(const Hash128& hash) {
  return to_hex(hash.high) + to_hex(hash.low);
}

std::string canonical_bytes(const Hash128& hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH128_hash_t{.low64 = hash.low, .high64 = hash.high});
  return {reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest};
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  TERA_CHECK(
      state_->context != nullptr && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
      "SHA-256 is not available in this OpenSSL");
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  TERA_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1,
             "SHA-256 update failed");
}

std::string Sha256::hex() {
  std::byte digest[32];
  unsigned size = 0;
  TERA_CHECK(
      EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(digest), &size) == 1 &&
          size == sizeof digest,
      "SHA-256 gave {} bytes, expected {}", size, sizeof digest);
  return to_hex(digest);
}

struct Xxh3::State {
  XXH3_state_t* context = XXH3_createState();
  ~State() { XXH3_freeState(context); }
};

Xxh3::Xxh3() : state_(std::make_unique<State>()) {
  reset();
}
Xxh3::~Xxh3() = default;
Xxh3::Xxh3(Xxh3&&) noexcept = default;
Xxh3& Xxh3::operator=(Xxh3&&) noexcept = default;

void Xxh3::reset() {
  XXH3_64bits_reset(state_->context);
}

void Xxh3::update(std::span<const std::byte> bytes) {
  XXH3_64bits_update(state_->context, bytes.data(), bytes.size());
}

std::uint64_t Xxh3::value() const {
  return XXH3_64bits_digest(state_->context);
}

}  // namespace tera
