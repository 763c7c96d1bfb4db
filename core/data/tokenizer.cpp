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
#include "core/data/piece_cache.h"
#include "core/data/pre_tokenizer.h"
#include "core/data/tokenizer_file.h"
#include "core/data/unicode_class.h"

namespace tera::data {
namespace {

constexpr std::string_view kEndOfDocument = "<|endoftext|>";

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

// Marks in place of spaces, and before the text if wanted.
std::string with_marks(std::string_view text, bool prefix) {
  std::string marked(prefix ? kSpaceMark : "");
  for (const char c : text) {
    if (c == ' ') {
      marked += kSpaceMark;
    } else {
      marked += c;
    }
  }
  return marked;
}

}  // namespace

struct Tokenizer::Impl {
  // Added tokens: looked for in the text, and in what the normalizer makes of the rest.
  struct Finders {
    AddedTokenFinder raw, normalized;
  };

  TokenizerFile file;
  std::array<std::int32_t, 256> byte_ids{};
  std::unordered_map<char32_t, std::int32_t> character_ids;  // with byte_fallback
  BpeModel bpe;
  Finders added;  // not special
  Finders added_or_special;
  std::unordered_map<std::string_view, std::int32_t> piece_ids;  // when merges are ignored
  std::int32_t eod = -1;                                         // "<|endoftext|>"
  std::uint64_t owner = next_owner();

  void index_tokens();
  Result<void> check_bytes() const;
  Finders find_added(bool special) const;

  // What the normalizer makes of a part of the text.
  std::string_view normalized(std::string_view part, std::string& changed) const;
  // Ids of text without added tokens.
  void encode_plain(std::string_view text, bool at_start, std::vector<std::int32_t>& out) const;
  template <class Scanner>
  void encode_pieces(Scanner scanner, const char* end, std::vector<std::int32_t>& out) const;
  void encode_piece(std::string_view piece, std::vector<std::int32_t>& out) const;
};

// Ids by what they are looked up by.
void Tokenizer::Impl::index_tokens() {
  byte_ids.fill(-1);
  std::vector<bool> is_added(file.tokens.size(), false);
  for (const AddedToken& token : file.added_tokens) {
    is_added[static_cast<std::size_t>(token.id)] = true;
    if (token.content == kEndOfDocument) eod = token.id;
  }
  const std::vector<std::string>& tokens = file.byte_fallback ? file.written : file.tokens;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string& token = tokens[i];
    const auto id = static_cast<std::int32_t>(i);
    if (token.empty() || (is_added[i] && !file.byte_fallback)) continue;
    const int byte = file.byte_fallback  ? fallback_byte(token)
                     : token.size() == 1 ? static_cast<unsigned char>(token[0])
                                         : -1;
    if (byte >= 0) byte_ids[static_cast<std::size_t>(byte)] = id;
    if (file.byte_fallback) {
      const char* const end = token.data() + token.size();
      const auto first = static_cast<unsigned char>(token[0]);
      const DecodedChar c =
          first < 0x80 ? DecodedChar{0, 1, first} : decode_non_ascii(token.data(), end);
      if (c.size == token.size() && (first < 0x80 || c.size > 1))
        character_ids.emplace(c.code_point, id);
    }
    if (file.ignore_merges) piece_ids.emplace(token, id);
  }
}

Result<void> Tokenizer::Impl::check_bytes() const {
  const auto missing = std::count(byte_ids.begin(), byte_ids.end(), -1);
  if (missing == 0) return {};
  const auto first = std::find(byte_ids.begin(), byte_ids.end(), -1) - byte_ids.begin();
  return fail(ErrorCode::invalid_input,
              fmt::format("has no token for {} of the 256 byte values, such as "
                          "0x{:02x}: some text could not be encoded",
                          missing, first),
              "train with the whole byte alphabet");
}

Tokenizer::Impl::Finders Tokenizer::Impl::find_added(bool special) const {
  std::vector<AddedToken> raw;
  std::vector<AddedToken> behind;
  for (AddedToken token : file.added_tokens) {
    if (token.special && !special) continue;
    if (!token.normalized) {
      raw.push_back(std::move(token));
      continue;
    }
    std::string changed;
    token.content = std::string(normalized(token.content, changed));
    behind.push_back(std::move(token));
  }
  return {AddedTokenFinder(raw), AddedTokenFinder(behind)};
}

std::string_view Tokenizer::Impl::normalized(std::string_view part, std::string& changed) const {
  if (file.nfc && !is_ascii(part)) return changed = compose(part);
  if (file.space_marks != SpaceMarks::by_normalizer) return part;
  return changed = with_marks(part, file.space_prefix == SpacePrefix::always);
}

// With byte_fallback: the characters that are tokens, and the bytes of those that are not.
void Tokenizer::Impl::encode_piece(std::string_view piece, std::vector<std::int32_t>& out) const {
  if (file.ignore_merges) {
    if (const auto at = piece_ids.find(piece); at != piece_ids.end()) {
      out.push_back(at->second);
      return;
    }
  }
  if (!file.byte_fallback) return bpe.encode(piece, out);
  std::vector<std::int32_t> ids;
  ids.reserve(piece.size());
  const char* const end = piece.data() + piece.size();
  for (const char* p = piece.data(); p < end;) {
    const auto first = static_cast<unsigned char>(*p);
    const DecodedChar c = first < 0x80 ? DecodedChar{0, 1, first} : decode_non_ascii(p, end);
    const auto known =
        first < 0x80 || c.size > 1 ? character_ids.find(c.code_point) : character_ids.end();
    if (known != character_ids.end()) {
      ids.push_back(known->second);
    } else {
      for (int i = 0; i < c.size; ++i)
        ids.push_back(byte_ids[static_cast<unsigned char>(p[i])]);
    }
    p += c.size;
  }
  bpe.merge(ids, out);
}

void Tokenizer::Impl::encode_plain(std::string_view text,
                                   bool at_start,
                                   std::vector<std::int32_t>& out) const {
  std::string changed;
  if (file.add_prefix_space && !text.starts_with(' ')) {
    changed = " " + std::string(text);
    text = changed;
  }
  if (file.space_marks == SpaceMarks::by_pre_tokenizer) {
    const bool missing = !text.starts_with(' ') && !text.starts_with(kSpaceMark);
    const bool prefix = file.space_prefix == SpacePrefix::unless_there ||
                        (file.space_prefix == SpacePrefix::at_start_unless_there && at_start);
    changed = with_marks(text, prefix && missing);
    text = changed;
  }
  const char* const end = text.data() + text.size();
  if (file.pre_tokenizer == PreTokenizerKind::splits) {
    encode_pieces(SplitScanner(file.splits, text), end, out);
  } else {
    encode_pieces(PieceScanner(file.pre_tokenizer, text), end, out);
  }
}

template <class Scanner>
void Tokenizer::Impl::encode_pieces(Scanner scanner,
                                    const char* end,
                                    std::vector<std::int32_t>& out) const {
  thread_local PieceCache cache;
  cache.belong_to(owner);
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
  const bool sentence_piece = in_folder
                                  ? std::filesystem::exists(path / "tokenizer.model", ignored) &&
                                        !std::filesystem::exists(file, ignored)
                                  : path.extension() == ".model";
  if (sentence_piece) {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: SentencePiece models are not read, only tokenizer.json",
                            (in_folder ? path / "tokenizer.model" : path).string()),
                "make one of it with transformers: AutoTokenizer.from_pretrained(folder, "
                "use_fast=True).save_pretrained(folder)");
  }
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
  TERA_TRY(SpecialTokens special,
           read_special_tokens(posix_vfs(), file.parent_path(),
                               [&](std::string_view token) { return tokenizer->id_of(token); }));
  tokenizer->set_special(std::move(special));
  return tokenizer;
}

// Ids beyond the vocabulary are those of a configuration that was left at its defaults.
void Tokenizer::set_special(SpecialTokens special) {
  const auto unknown = [this](std::int32_t id) { return token_bytes(id).empty(); };
  special_ = std::move(special);
  std::erase_if(special_.eos, unknown);
  if (unknown(special_.bos)) special_.bos = -1;
}

Result<Tokenizer> Tokenizer::parse(std::string_view json, SpecialTokens special) {
  auto impl = std::make_shared<Impl>();
  TERA_TRY(impl->file, parse_tokenizer_file(json));
  impl->index_tokens();
  TERA_TRY_VOID(impl->check_bytes());
  impl->bpe = BpeModel(impl->byte_ids, impl->file.merges);
  impl->added = impl->find_added(false);
  impl->added_or_special = impl->find_added(true);
  Tokenizer tokenizer;
  tokenizer.impl_ = std::move(impl);
  tokenizer.set_special(std::move(special));
  return tokenizer;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool allow_special) const {
  const Impl::Finders& finders = allow_special ? impl_->added_or_special : impl_->added;
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  // encode(part, whether the text begins with it) for what lies between the tokens.
  const auto around_tokens = [&ids](const AddedTokenFinder& finder, std::string_view in,
                                    const auto& encode) {
    for (std::size_t at = 0; at < in.size();) {
      const AddedTokenFinder::Match match = finder.find(in, at);
      if (match.begin > at) encode(in.substr(at, match.begin - at), at == 0);
      if (match.id >= 0) ids.push_back(match.id);
      at = match.end;
    }
  };
  around_tokens(finders.raw, text, [&](std::string_view part, bool first) {
    std::string changed;
    around_tokens(finders.normalized, impl_->normalized(part, changed),
                  [&](std::string_view plain, bool first_of_part) {
                    impl_->encode_plain(plain, first && first_of_part, ids);
                  });
  });
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
  if (impl_->file.strip_space && bytes.starts_with(' ')) bytes.erase(0, 1);
  return bytes;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return impl_->file.tokens[static_cast<std::size_t>(id)];
}

std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(impl_->file.tokens.size());
}

std::int32_t Tokenizer::id_of(std::string_view token) const {
  for (const AddedToken& added : impl_->file.added_tokens) {
    if (added.content == token) return added.id;
  }
  return -1;
}

std::int32_t Tokenizer::eod_id() const {
  return special_.eos.empty() ? impl_->eod : special_.eos.front();
}

bool Tokenizer::ends_text(std::int32_t id) const {
  return id >= 0 && (id == eod_id() ||
                     std::find(special_.eos.begin(), special_.eos.end(), id) != special_.eos.end());
}

const std::vector<std::int32_t>& Tokenizer::beginning() const {
  return impl_->file.beginning;
}

std::int32_t Tokenizer::start_id() const {
  return special_.bos >= 0 ? special_.bos : eod_id();
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
