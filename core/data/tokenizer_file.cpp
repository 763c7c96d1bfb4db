#include "core/data/tokenizer_file.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/hash.h"
#include "core/base/json_read.h"
#include "core/data/unicode_class.h"

namespace tera::data {
namespace {

using nlohmann::json;

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

constexpr const char* kKnownFiles =
    "expected the tokenizer.json of a byte-level BPE tokenizer, as `teragpt tok train` writes it";

tl::unexpected<Error> refuse(std::string message, std::string hint = kKnownFiles) {
  return fail(ErrorCode::invalid_input, std::move(message), std::move(hint));
}

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 80) + "...";
  return text;
}

bool flag(const json& object, const char* key, bool otherwise) {
  const auto at = object.find(key);
  return at != object.end() && at->is_boolean() ? at->get<bool>() : otherwise;
}

std::string type_of(const json& object) {
  const auto at = object.is_object() ? object.find("type") : object.end();
  return object.is_object() && at != object.end() && at->is_string() ? at->get<std::string>()
                                                                     : std::string();
}

Result<void> read_normalizer(const json& root, TokenizerFile& file) {
  const auto at = root.find("normalizer");
  if (at == root.end() || at->is_null()) return {};
  if (type_of(*at) == "NFC") {
    file.nfc = true;
    return {};
  }
  return refuse(fmt::format("normalizer {} is not supported", shown(*at)),
                "byte-level tokenizers with no normalizer or NFC are");
}

Result<void> read_pre_tokenizer(const json& root, TokenizerFile& file) {
  const std::string hint =
      "supported are ByteLevel with its own pattern (GPT-2), and Split with the Llama-3 or Qwen2 "
      "pattern followed by ByteLevel";
  const auto at = root.find("pre_tokenizer");
  if (at == root.end()) return refuse("has no pre_tokenizer", hint);
  if (type_of(*at) == "ByteLevel" && flag(*at, "use_regex", true)) {
    file.pre_tokenizer = PreTokenizerKind::gpt2;
    file.add_prefix_space = flag(*at, "add_prefix_space", true);
    return {};
  }
  const json* parts = type_of(*at) == "Sequence" && at->contains("pretokenizers")
                          ? &(*at)["pretokenizers"]
                          : nullptr;
  if (parts == nullptr || !parts->is_array() || parts->size() != 2 ||
      type_of((*parts)[0]) != "Split" || type_of((*parts)[1]) != "ByteLevel" ||
      flag((*parts)[1], "use_regex", true) || flag((*parts)[1], "add_prefix_space", true)) {
    return refuse(fmt::format("pre_tokenizer {} is not supported", shown(*at)), hint);
  }
  const json& split = (*parts)[0];
  const bool isolated =
      split.value("behavior", json()) == "Isolated" && !flag(split, "invert", false);
  const auto pattern = split.find("pattern");
  if (!isolated || pattern == split.end() || !pattern->is_object() ||
      !pattern->value("Regex", json()).is_string()) {
    return refuse(fmt::format("pre_tokenizer {} is not supported", shown(split)), hint);
  }
  const auto kind = pre_tokenizer_from_pattern((*pattern)["Regex"].get<std::string>());
  if (!kind) return refuse(fmt::format("pattern {} is not known", shown(*pattern)), hint);
  file.pre_tokenizer = *kind;
  return {};
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
          fmt::format("model.{} is {}, which byte-level tokenizers do not have", key, shown(*at)));
    }
  }
  if (flag(model, "byte_fallback", false)) {
    return refuse("model.byte_fallback is true, which is not byte-level BPE");
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
    file.added_tokens.push_back(std::move(token));
  }
  return {};
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
    if (const auto at = added.find(text); at != added.end() && at->second == id) continue;
    const auto slot = static_cast<std::size_t>(id);
    if (used[slot]) {
      return refuse(
          fmt::format("model.vocab: id {} is given twice, once to {}", id, shown(json(text))));
    }
    Result<std::string> bytes = alphabet_to_bytes(text);
    if (!bytes || bytes->empty() || bytes->size() > kMaxTokenBytes) {
      return refuse(
          fmt::format("model.vocab: {} is not 1 to {} characters of the byte-level alphabet",
                      shown(json(text)), kMaxTokenBytes),
          "only byte-level BPE tokenizers are supported");
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
  TERA_TRY_VOID(read_normalizer(root, file));
  TERA_TRY_VOID(read_pre_tokenizer(root, file));
  TERA_TRY_VOID(read_added_tokens(root, file));
  TERA_TRY(const Ids ids, read_vocab(*model, file));
  TERA_TRY_VOID(read_merges(*model, ids, file));
  file.ignore_merges = flag(*model, "ignore_merges", false);
  file.sha256 = sha256_hex(root.dump(-1, ' ', false, json::error_handler_t::replace));
  return file;
}

std::string write_tokenizer_file(const TokenizerFile& file, bool string_merges) {
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
                                    {"normalized", false},
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
