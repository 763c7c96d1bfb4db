#include "core/data/tokenizer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <unordered_map>

#include <utf8proc.h>

#include <fmt/format.h>

#include "core/base/vfs.h"
#include "core/data/added_token_finder.h"
#include "core/data/bpe_model.h"
#include "core/data/pre_tokenizer.h"
#include "core/data/tokenizer_file.h"
#include "core/data/unicode_class.h"

namespace tera::data {
namespace {

constexpr std::string_view kEndOfDocument = "<|endoftext|>";

// The ids of pieces seen lately, per thread: 2 MiB, two entries per place, no locks. A piece of up
// to 24 bytes with up to 8 ids fits; text repeats its words, so nearly every piece is found here.
class PieceCache {
 public:
  static constexpr std::size_t kMaxPiece = 24;
  static constexpr std::size_t kMaxIds = 8;
  struct alignas(64) Entry {
    std::uint64_t key[3] = {0, 0, 0};  // the piece, zero-padded
    std::int32_t ids[kMaxIds] = {};
    std::uint8_t size = 0;  // of the piece; 0: empty entry
    std::uint8_t num_ids = 0;
  };

  // Empties the cache when another tokenizer uses the thread.
  void belong_to(std::uint64_t owner) {
    if (owner == owner_ && !entries_.empty()) return;
    entries_.assign(kEntries, Entry{});
    owner_ = owner;
  }

  // Looks for a piece of at most kMaxPiece bytes; text_end bounds what may be read behind it.
  const Entry* find(std::string_view piece, const char* text_end) {
    if (text_end - piece.data() >= static_cast<std::ptrdiff_t>(kMaxPiece)) {
      std::memcpy(key_, piece.data(), kMaxPiece);
      for (std::size_t word = 0; word < 3; ++word)
        key_[word] &= mask(piece.size(), word);
    } else {
      key_[0] = key_[1] = key_[2] = 0;
      std::memcpy(key_, piece.data(), piece.size());
    }
    std::uint64_t h = (key_[0] ^ piece.size()) * 0x9E3779B97F4A7C15ULL;
    h = (h ^ (h >> 29) ^ key_[1]) * 0xBF58476D1CE4E5B9ULL;
    h = (h ^ (h >> 32) ^ key_[2]) * 0x94D049BB133111EBULL;
    place_ = entries_.data() + (h >> (64 - kPlaceBits)) * 2;
    if (is(place_[0], piece.size())) return &place_[0];
    return is(place_[1], piece.size()) ? &place_[1] : nullptr;
  }

  // Keeps the ids of the piece that find() has just missed, in place of the older of two.
  void keep(std::size_t piece_size, std::span<const std::int32_t> ids) {
    if (ids.size() > kMaxIds) return;
    place_[1] = place_[0];
    std::copy(key_, key_ + 3, place_[0].key);
    std::copy(ids.begin(), ids.end(), place_[0].ids);
    place_[0].size = static_cast<std::uint8_t>(piece_size);
    place_[0].num_ids = static_cast<std::uint8_t>(ids.size());
  }

 private:
  static constexpr int kPlaceBits = 14;
  static constexpr std::size_t kEntries = std::size_t{2} << kPlaceBits;
  // Bytes of a word that belong to a piece of this size (little-endian).
  static std::uint64_t mask(std::size_t size, std::size_t word) {
    const std::size_t begin = word * 8;
    if (size >= begin + 8) return ~std::uint64_t{0};
    return size <= begin ? 0 : (std::uint64_t{1} << (8 * (size - begin))) - 1;
  }
  bool is(const Entry& entry, std::size_t size) const {
    return entry.size == size && entry.key[0] == key_[0] && entry.key[1] == key_[1] &&
           entry.key[2] == key_[2];
  }
  std::vector<Entry> entries_;
  std::uint64_t owner_ = 0;
  std::uint64_t key_[3] = {0, 0, 0};  // of the last find()
  Entry* place_ = nullptr;
};

// Collects ids in a fixed buffer, so that a piece found in the cache costs one copy of fixed size.
// What was appended reaches the vector with flush().
class IdBuffer {
 public:
  explicit IdBuffer(std::vector<std::int32_t>& out) : out_(out) {}

  void append(const PieceCache::Entry& entry) {
    if (size_ + PieceCache::kMaxIds > kSize) flush();
    std::memcpy(ids_ + size_, entry.ids, sizeof entry.ids);
    size_ += entry.num_ids;
  }
  void flush() {
    out_.insert(out_.end(), ids_, ids_ + size_);
    size_ = 0;
  }

 private:
  static constexpr std::size_t kSize = 1024;
  std::vector<std::int32_t>& out_;
  std::int32_t ids_[kSize];
  std::size_t size_ = 0;
};

std::uint64_t next_owner() {
  static std::atomic<std::uint64_t> counter{0};
  return ++counter;
}

// Canonical composition of valid UTF-8; other bytes are left alone.
std::string compose(std::string_view text) {
  std::string composed;
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    utf8proc_uint8_t* out = nullptr;
    const utf8proc_ssize_t size =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(valid), &out,
                     static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(out, &std::free);
    if (size < 0) {
      composed += text.substr(0, valid);
    } else {
      composed.append(reinterpret_cast<const char*>(out), static_cast<std::size_t>(size));
    }
    text.remove_prefix(valid);
    if (!text.empty()) {
      composed.push_back(text.front());
      text.remove_prefix(1);
    }
  }
  return composed;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

struct Tokenizer::Impl {
  TokenizerFile file;
  BpeModel bpe;
  AddedTokenFinder added;  // not special
  AddedTokenFinder added_or_special;
  std::unordered_map<std::string_view, std::int32_t> piece_ids;  // when merges are ignored
  std::int32_t eod = -1;
  std::uint64_t owner = next_owner();

  // Ids of text without added tokens.
  void encode_plain(std::string_view text, std::vector<std::int32_t>& out) const;
  void encode_piece(std::string_view piece, std::vector<std::int32_t>& out) const {
    if (file.ignore_merges) {
      if (const auto at = piece_ids.find(piece); at != piece_ids.end()) {
        out.push_back(at->second);
        return;
      }
    }
    bpe.encode(piece, out);
  }
};

void Tokenizer::Impl::encode_plain(std::string_view text, std::vector<std::int32_t>& out) const {
  std::string changed;
  if (file.nfc && !is_ascii(text)) {
    changed = compose(text);
    text = changed;
  }
  if (file.add_prefix_space && !text.starts_with(' ')) {
    changed = " " + std::string(text);
    text = changed;
  }
  thread_local PieceCache cache;
  cache.belong_to(owner);
  const char* const end = text.data() + text.size();
  PieceScanner scanner(file.pre_tokenizer, text);
  IdBuffer buffer(out);
  for (std::string_view piece = scanner.next(); !piece.empty(); piece = scanner.next()) {
    const bool cached = piece.size() <= PieceCache::kMaxPiece;
    if (cached) {
      if (const PieceCache::Entry* entry = cache.find(piece, end)) {
        buffer.append(*entry);
        continue;
      }
    }
    buffer.flush();
    const std::size_t first = out.size();
    encode_piece(piece, out);
    if (cached) cache.keep(piece.size(), std::span(out).subspan(first));
  }
  buffer.flush();
}

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool in_folder = std::filesystem::is_directory(path, ignored);
  const std::filesystem::path file = in_folder ? path / "tokenizer.json" : path;
  if (in_folder && !std::filesystem::exists(file, ignored)) {
    return fail(ErrorCode::not_found,
                fmt::format("{}: got a folder without tokenizer.json", path.string()),
                "name a tokenizer.json, or the folder that holds one");
  }
  TERA_TRY(const std::string text, read_text(posix_vfs(), file, 64 << 20));
  Result<Tokenizer> tokenizer = parse(text);
  if (!tokenizer) {
    Error error = tokenizer.error();
    error.message = file.string() + ": " + error.message;
    return tl::unexpected<Error>(std::move(error));
  }
  return tokenizer;
}

Result<Tokenizer> Tokenizer::parse(std::string_view json) {
  auto impl = std::make_shared<Impl>();
  TERA_TRY(impl->file, parse_tokenizer_file(json));
  const TokenizerFile& file = impl->file;
  std::vector<bool> is_added(file.tokens.size(), false);
  std::vector<AddedToken> plain;
  for (const AddedToken& token : file.added_tokens) {
    is_added[static_cast<std::size_t>(token.id)] = true;
    if (!token.special) plain.push_back(token);
    if (token.content == kEndOfDocument) impl->eod = token.id;
  }
  std::array<std::int32_t, 256> byte_ids;
  byte_ids.fill(-1);
  for (std::size_t id = 0; id < file.tokens.size(); ++id) {
    const std::string& token = file.tokens[id];
    if (token.empty() || is_added[id]) continue;
    if (token.size() == 1) {
      byte_ids[static_cast<unsigned char>(token[0])] = static_cast<std::int32_t>(id);
    }
    if (file.ignore_merges) impl->piece_ids.emplace(token, static_cast<std::int32_t>(id));
  }
  if (const auto missing = std::count(byte_ids.begin(), byte_ids.end(), -1); missing > 0) {
    const auto first = std::find(byte_ids.begin(), byte_ids.end(), -1) - byte_ids.begin();
    return fail(ErrorCode::invalid_input,
                fmt::format("has no token for {} of the 256 byte values, such as "
                            "0x{:02x}: some text could not be encoded",
                            missing, first),
                "train with the whole byte alphabet");
  }
  impl->bpe = BpeModel(byte_ids, file.merges);
  impl->added = AddedTokenFinder(plain);
  impl->added_or_special = AddedTokenFinder(file.added_tokens);
  Tokenizer tokenizer;
  tokenizer.impl_ = std::move(impl);
  return tokenizer;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool allow_special) const {
  const AddedTokenFinder& finder = allow_special ? impl_->added_or_special : impl_->added;
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  std::size_t at = 0;
  while (at < text.size()) {
    const AddedTokenFinder::Match match = finder.find(text, at);
    if (match.begin > at) impl_->encode_plain(text.substr(at, match.begin - at), ids);
    if (match.id >= 0) ids.push_back(match.id);
    at = match.end;
  }
  return ids;
}

Result<std::string> Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string bytes;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string_view token = token_bytes(ids[i]);
    if (token.empty()) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("id {} at position {}: expected 0 to {}", ids[i], i, vocab_size() - 1),
          "the ids belong to another tokenizer");
    }
    bytes += token;
  }
  return bytes;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return impl_->file.tokens[static_cast<std::size_t>(id)];
}

std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(impl_->file.tokens.size());
}

std::int32_t Tokenizer::eod_id() const {
  return impl_->eod;
}

std::string Tokenizer::sha256() const {
  return impl_->file.sha256;
}

std::string Tokenizer::pre_tokenizer() const {
  return std::string(pre_tokenizer_name(impl_->file.pre_tokenizer));
}

bool Tokenizer::is_special(std::int32_t id) const {
  return std::any_of(impl_->file.added_tokens.begin(), impl_->file.added_tokens.end(),
                     [id](const AddedToken& token) { return token.id == id && token.special; });
}

}  // namespace tera::data
