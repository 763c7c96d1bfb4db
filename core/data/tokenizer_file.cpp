#include "core/data/tokenizer_file.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/json_read.h"
#include "core/data/text_beginning.h"
#include "core/data/tokenizer_json.h"
#include "core/data/tokenizer_pipeline.h"
#include "core/data/unicode_class.h"

namespace tera::data {
namespace {

using nlohmann::json;
using tokenizer_json::flag;
using tokenizer_json::refuse;
using tokenizer_json::shown;
using tokenizer_json::type_of;

constexpr std::int64_t kMaxVocab = 1 << 20;
constexpr std::size_t kMaxTokenBytes = 4096;
constexpr std::size_t kMaxAddedTokens = 65536;

struct ByteAlphabet {
  std::array<char32_t, 256> characters{};
  std::array<int, 512> bytes{};  // -1: not a character of the alphabet
  ByteAlphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const char32_t c = printable ? static_cast<char32_t>(b) : next++;
      characters[static_cast<std::size_t>(b)] = c;
      bytes[c] = b;
    }
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet kAlphabet;
  return kAlphabet;
}

Result<void> check_model_options(const json& model) {
  if (type_of(model) != "BPE") {
    return refuse(fmt::format("model.type is {}, expected \"BPE\"",
                              model.contains("type") ? shown(model["type"]) : "missing"));
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto at = model.find(key);
    if (at == model.end() || at->is_null()) continue;
    const auto* text = at->get_ptr<const json::string_t*>();
    if (text == nullptr || !text->empty()) {
      return refuse(
          fmt::format("model.{} is {}, which these tokenizers do not have", key, shown(*at)));
    }
  }
  const auto dropout = model.find("dropout");
  if (dropout != model.end() && !dropout->is_null() && *dropout != 0.0) {
    return refuse(fmt::format("model.dropout is {}, expected null: encoding would be random",
                              shown(*dropout)));
  }
  return {};
}

Result<void> read_added_tokens(const json& root, TokenizerFile& file) {
  const auto list = root.find("added_tokens");
  if (list == root.end() || list->is_null()) return {};
  if (!list->is_array() || list->size() > kMaxAddedTokens) {
    return refuse(fmt::format("added_tokens is not a list of at most {}", kMaxAddedTokens));
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const json& item = (*list)[i];
    std::string problem;
    const JsonReader reader(item, fmt::format("added_tokens[{}]", i), problem);
    AddedToken token{.id = 0, .content = reader.text("content")};
    const std::int64_t id = reader.integer("id", 0);
    if (!problem.empty()) return refuse(problem);
    if (id >= kMaxVocab || token.content.empty() || token.content.size() > kMaxTokenBytes) {
      return refuse(
          fmt::format("added_tokens[{}]: id {} and {} bytes, expected an id below {} and "
                      "1 to {} bytes",
                      i, id, token.content.size(), kMaxVocab, kMaxTokenBytes));
    }
    for (const char* key : {"single_word", "lstrip", "rstrip"}) {
      if (flag(item, key, false)) {
        return refuse(
            fmt::format("added_tokens[{}] has {} = true, which is not supported", i, key));
      }
    }
    token.id = static_cast<std::int32_t>(id);
    token.special = flag(item, "special", false);
    token.normalized = flag(item, "normalized", false);
    file.added_tokens.push_back(std::move(token));
  }
  return {};
}

// The bytes of a token with byte_fallback: "<0x0A>" is one byte, marks are spaces.
std::string unmarked(const std::string& written) {
  if (const int byte = fallback_byte(written); byte >= 0) return {static_cast<char>(byte)};
  std::string bytes = written;
  for (std::size_t at = 0; (at = bytes.find(kSpaceMark, at)) != std::string::npos; ++at)
    bytes.replace(at, kSpaceMark.size(), " ");
  return bytes;
}

// Whether merges join text with a mark behind it; else they never leave a marked word.
bool merges_cross_marks(const TokenizerFile& file) {
  return std::any_of(file.merges.begin(), file.merges.end(), [&](const BpeModel::Merge& merge) {
    const std::string& written = file.written[static_cast<std::size_t>(merge.merged)];
    std::size_t text = 0;  // behind the marks it begins with
    while (written.compare(text, kSpaceMark.size(), kSpaceMark) == 0)
      text += kSpaceMark.size();
    return written.find(kSpaceMark, text) != std::string::npos;
  });
}

using Ids = std::unordered_map<std::string, std::int32_t>;  // token as written -> id

Result<Ids> read_vocab(const json& model, TokenizerFile& file) {
  const auto vocab = model.find("vocab");
  if (vocab == model.end() || !vocab->is_object() || vocab->empty() ||
      std::ssize(*vocab) > kMaxVocab) {
    return refuse(fmt::format("model.vocab is not an object of 1 to {} tokens", kMaxVocab));
  }
  Ids ids;
  ids.reserve(vocab->size());
  std::int64_t largest = 0;
  for (const AddedToken& token : file.added_tokens)
    largest = std::max<std::int64_t>(largest, token.id);
  for (const auto& [text, value] : vocab->items()) {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
        value.get<std::int64_t>() >= kMaxVocab) {
      return refuse(fmt::format("model.vocab: id {} of {}, expected 0 to {}", shown(value),
                                shown(json(text)), kMaxVocab - 1));
    }
    largest = std::max(largest, value.get<std::int64_t>());
    ids.emplace(text, value.get<std::int32_t>());
  }
  file.tokens.resize(static_cast<std::size_t>(largest) + 1);
  if (file.byte_fallback) file.written.resize(file.tokens.size());
  std::vector<bool> used(file.tokens.size(), false);
  std::unordered_map<std::string_view, std::int32_t> added;
  for (const AddedToken& token : file.added_tokens) {
    const auto slot = static_cast<std::size_t>(token.id);
    if (used[slot]) return refuse(fmt::format("added_tokens: id {} is given twice", token.id));
    if (!added.emplace(token.content, token.id).second) {
      return refuse(fmt::format("added_tokens: {} is listed twice", shown(json(token.content))));
    }
    used[slot] = true;
    file.tokens[slot] = token.content;
  }
  for (const auto& [text, id] : ids) {
    const auto slot = static_cast<std::size_t>(id);
    if (file.byte_fallback) file.written[slot] = text;
    if (const auto at = added.find(text); at != added.end() && at->second == id) continue;
    if (used[slot]) {
      return refuse(
          fmt::format("model.vocab: id {} is given twice, once to {}", id, shown(json(text))));
    }
    Result<std::string> bytes =
        file.byte_fallback ? Result<std::string>(unmarked(text)) : alphabet_to_bytes(text);
    if (!bytes || bytes->empty() || bytes->size() > kMaxTokenBytes) {
      return refuse(
          fmt::format("model.vocab: {} is not 1 to {} characters of the byte-level alphabet",
                      shown(json(text)), kMaxTokenBytes),
          "BPE tokenizers are supported that are byte-level or have byte_fallback");
    }
    used[slot] = true;
    file.tokens[slot] = std::move(*bytes);
  }
  return ids;
}

// Both forms: "a b" and ["a", "b"].
std::optional<std::pair<std::string, std::string>> split_merge(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  if (!merge.is_string()) return std::nullopt;
  const auto text = merge.get<std::string>();
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
    return std::nullopt;
  }
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

Result<void> read_merges(const json& model, const Ids& ids, TokenizerFile& file) {
  const auto merges = model.find("merges");
  if (merges == model.end() || !merges->is_array() || std::ssize(*merges) > kMaxVocab) {
    return refuse(fmt::format("model.merges is not a list of at most {} merges", kMaxVocab));
  }
  file.merges.reserve(merges->size());
  for (std::size_t i = 0; i < merges->size(); ++i) {
    const auto pair = split_merge((*merges)[i]);
    if (!pair) {
      return refuse(fmt::format("model.merges[{}] is {}, expected \"a b\" or [\"a\", \"b\"]", i,
                                shown((*merges)[i])));
    }
    const auto left = ids.find(pair->first);
    const auto right = ids.find(pair->second);
    const auto merged = ids.find(pair->first + pair->second);
    if (left == ids.end() || right == ids.end() || merged == ids.end()) {
      return refuse(
          fmt::format("model.merges[{}] is {}: one of its tokens or their join is not in "
                      "model.vocab",
                      i, shown((*merges)[i])));
    }
    file.merges.push_back({left->second, right->second, merged->second});
  }
  return {};
}

}  // namespace

std::string bytes_to_alphabet(std::string_view bytes) {
  std::string text;
  for (const char b : bytes) {
    append_utf8(text, byte_alphabet().characters[static_cast<unsigned char>(b)]);
  }
  return text;
}

Result<std::string> alphabet_to_bytes(std::string_view text) {
  std::string bytes;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const auto lead = static_cast<unsigned char>(*p);
    const DecodedChar c = lead < 0x80 ? DecodedChar{0, 1, lead} : decode_non_ascii(p, end);
    const int byte =
        c.code_point < byte_alphabet().bytes.size() ? byte_alphabet().bytes[c.code_point] : -1;
    if (byte < 0) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("character U+{:04X} is not of the byte-level alphabet",
                              static_cast<std::uint32_t>(c.code_point)));
    }
    bytes.push_back(static_cast<char>(byte));
    p += c.size;
  }
  return bytes;
}

int fallback_byte(std::string_view written) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (written.size() != 6 || !written.starts_with("<0x") || written[5] != '>') return -1;
  const std::size_t high = kDigits.find(written[3]);
  const std::size_t low = kDigits.find(written[4]);
  return high == kDigits.npos || low == kDigits.npos ? -1 : static_cast<int>(high * 16 + low);
}

std::vector<std::uint8_t> bytes_by_code_point() {
  std::vector<std::uint8_t> bytes(256);
  for (std::size_t b = 0; b < bytes.size(); ++b)
    bytes[b] = static_cast<std::uint8_t>(b);
  std::sort(bytes.begin(), bytes.end(), [](std::uint8_t a, std::uint8_t b) {
    return byte_alphabet().characters[a] < byte_alphabet().characters[b];
  });
  return bytes;
}

Result<TokenizerFile> parse_tokenizer_file(std::string_view text) {
  Result<json> parsed = parse_json(text, {.max_bytes = 64 << 20, .max_depth = 16});
  if (!parsed) return refuse(parsed.error().message);
  const json& root = *parsed;
  const auto model = root.is_object() ? root.find("model") : root.end();
  if (!root.is_object() || model == root.end() || !model->is_object()) {
    return refuse("has no model");
  }
  TokenizerFile file;
  TERA_TRY_VOID(check_model_options(*model));
  file.byte_fallback = flag(*model, "byte_fallback", false);
  TERA_TRY_VOID(read_pipeline(root, file));
  TERA_TRY_VOID(read_added_tokens(root, file));
  TERA_TRY(const Ids ids, read_vocab(*model, file));
  TERA_TRY_VOID(read_merges(*model, ids, file));
  file.ignore_merges = flag(*model, "ignore_merges", false);
  TERA_TRY(file.beginning, read_beginning(root));
  for (const std::int32_t id : file.beginning) {
    if (id >= std::ssize(file.tokens) || file.tokens[static_cast<std::size_t>(id)].empty())
      return refuse(fmt::format("post_processor: id {} is no token", id));
  }
  if (file.pre_tokenizer == PreTokenizerKind::marked_words &&
      (file.ignore_merges || merges_cross_marks(file))) {
    file.pre_tokenizer = PreTokenizerKind::whole;
  }
  file.sha256 = sha256_hex(root.dump(-1, ' ', false, json::error_handler_t::replace));
  return file;
}

std::string write_tokenizer_file(const TokenizerFile& file, bool string_merges) {
  TERA_CHECK(!file.byte_fallback && file.splits.empty(), "only trained tokenizers are written");
  using OrderedJson = nlohmann::ordered_json;
  const auto byte_level = [&](bool use_regex) {
    return OrderedJson{{"type", "ByteLevel"},
                       {"add_prefix_space", use_regex && file.add_prefix_space},
                       {"trim_offsets", true},
                       {"use_regex", use_regex}};
  };
  OrderedJson root;
  root["version"] = "1.0";
  root["truncation"] = nullptr;
  root["padding"] = nullptr;
  root["added_tokens"] = OrderedJson::array();
  std::vector<bool> raw(file.tokens.size(), false);  // written as they are, not in the alphabet
  for (const AddedToken& token : file.added_tokens) {
    raw[static_cast<std::size_t>(token.id)] = true;
    root["added_tokens"].push_back({{"id", token.id},
                                    {"content", token.content},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", token.normalized},
                                    {"special", token.special}});
  }
  root["normalizer"] = file.nfc ? OrderedJson{{"type", "NFC"}} : OrderedJson(nullptr);
  if (file.pre_tokenizer == PreTokenizerKind::gpt2) {
    root["pre_tokenizer"] = byte_level(true);
  } else {
    const OrderedJson split = {{"type", "Split"},
                               {"pattern", {{"Regex", pre_tokenizer_pattern(file.pre_tokenizer)}}},
                               {"behavior", "Isolated"},
                               {"invert", false}};
    root["pre_tokenizer"] = {{"type", "Sequence"},
                             {"pretokenizers", OrderedJson::array({split, byte_level(false)})}};
  }
  root["post_processor"] = nullptr;
  root["decoder"] = {{"type", "ByteLevel"},
                     {"add_prefix_space", true},
                     {"trim_offsets", true},
                     {"use_regex", true}};
  OrderedJson model;
  model["type"] = "BPE";
  model["dropout"] = nullptr;
  model["unk_token"] = nullptr;
  model["continuing_subword_prefix"] = nullptr;
  model["end_of_word_suffix"] = nullptr;
  model["fuse_unk"] = false;
  model["byte_fallback"] = false;
  model["ignore_merges"] = file.ignore_merges;
  OrderedJson::object_t
      vocab;  // an ordered map searches linearly on insertion: append pairs instead
  std::vector<std::string> written(file.tokens.size());
  for (std::size_t id = 0; id < file.tokens.size(); ++id) {
    if (file.tokens[id].empty()) continue;
    written[id] = raw[id] ? file.tokens[id] : bytes_to_alphabet(file.tokens[id]);
    vocab.push_back({written[id], id});
  }
  model["vocab"] = std::move(vocab);
  OrderedJson merges = OrderedJson::array();
  for (const BpeModel::Merge& merge : file.merges) {
    const std::string& left = written[static_cast<std::size_t>(merge.left)];
    const std::string& right = written[static_cast<std::size_t>(merge.right)];
    merges.push_back(string_merges ? OrderedJson(fmt::format("{} {}", left, right))
                                   : OrderedJson::array({left, right}));
  }
  model["merges"] = std::move(merges);
  root["model"] = std::move(model);
  return root.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace tera::data
