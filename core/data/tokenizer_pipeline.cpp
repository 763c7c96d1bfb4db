#include "core/data/tokenizer_pipeline.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/data/tokenizer_json.h"

namespace tera::data {
namespace {

using nlohmann::json;
using tokenizer_json::flag;
using tokenizer_json::refuse;
using tokenizer_json::shown;
using tokenizer_json::text_of;
using tokenizer_json::type_of;

const json& member(const json& object, const char* key) {
  static const json kNone;
  const auto at = object.is_object() ? object.find(key) : object.end();
  return !object.is_object() || at == object.end() ? kNone : *at;
}

// The steps of a Sequence under `key`, else the value itself; null is none.
std::vector<json> steps_of(const json& value, const char* key) {
  if (value.is_null()) return {};
  const json& list = member(value, key);
  if (type_of(value) != "Sequence" || !list.is_array()) return {value};
  return {list.begin(), list.end()};
}

Result<void> read_normalizer(const json& root, TokenizerFile& file) {
  const json& normalizer = member(root, "normalizer");
  for (const json& step : steps_of(normalizer, "normalizers")) {
    const std::string type = type_of(step);
    if (type == "NFC" && !file.byte_fallback) {
      file.nfc = true;
    } else if (type == "Prepend" && file.byte_fallback && text_of(step, "prepend") == kSpaceMark) {
      file.space_prefix = SpacePrefix::always;
    } else if (type == "Replace" && file.byte_fallback && text_of(step, "content") == kSpaceMark &&
               text_of(member(step, "pattern"), "String") == " ") {
      file.space_marks = SpaceMarks::by_normalizer;
    } else {
      return refuse(fmt::format("normalizer {} is not supported", shown(normalizer)),
                    "none or NFC is with byte-level BPE, and with byte_fallback \"\u2581\" for "
                    "spaces and before the text");
    }
  }
  return {};
}

// How text is cut before byte-level merges: a Split for each step, Digits, then ByteLevel.
Result<void> read_splits(const std::vector<json>& steps, TokenizerFile& file) {
  const std::string hint =
      "supported are ByteLevel with its own pattern (GPT-2), and before ByteLevel one Split with "
      "the Llama-3 or Qwen2 pattern, or several as DeepSeek-V2 and V3 have them";
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    const json& step = steps[i];
    std::string pattern;
    if (type_of(step) == "Digits") {
      pattern = flag(step, "individual_digits", false) ? "\\p{N}" : "\\p{N}+";
    } else {
      pattern = text_of(member(step, "pattern"), "Regex");
      if (type_of(step) != "Split" || text_of(step, "behavior") != "Isolated" ||
          flag(step, "invert", false) || pattern.empty()) {
        return refuse(fmt::format("pre_tokenizer {} is not supported", shown(step)), hint);
      }
    }
    const auto kind = pre_tokenizer_from_pattern(pattern);
    if (kind && steps.size() == 2) {
      file.pre_tokenizer = *kind;
      return {};
    }
    std::optional<SplitPattern> split = SplitPattern::parse(pattern);
    if (!split) {
      return refuse(fmt::format("pattern {} is not known", shown(json(pattern))), hint);
    }
    file.splits.push_back(std::move(*split));
  }
  file.pre_tokenizer = PreTokenizerKind::splits;
  return {};
}

Result<void> read_byte_level(const json& root, TokenizerFile& file) {
  const json& pre_tokenizer = member(root, "pre_tokenizer");
  const std::vector<json> steps = steps_of(pre_tokenizer, "pretokenizers");
  const json last = steps.empty() ? json() : steps.back();
  const bool own_pattern = last.is_object() && flag(last, "use_regex", true);
  const bool prefix = last.is_object() && flag(last, "add_prefix_space", true);
  if (type_of(last) != "ByteLevel" || own_pattern != (steps.size() == 1) ||
      (prefix && !own_pattern)) {
    return refuse(fmt::format("pre_tokenizer {} is not supported", shown(pre_tokenizer)),
                  "byte-level tokenizers end with ByteLevel; SentencePiece-like ones have "
                  "byte_fallback in their model");
  }
  if (steps.size() > 1) return read_splits(steps, file);
  file.pre_tokenizer = PreTokenizerKind::gpt2;
  file.add_prefix_space = prefix;
  return {};
}

// Spaces as marks: by the normalizer alone, or by Metaspace.
Result<void> read_marks(const json& root, TokenizerFile& file) {
  const json& pre_tokenizer = member(root, "pre_tokenizer");
  file.pre_tokenizer = PreTokenizerKind::marked_words;
  const bool marked = file.space_marks == SpaceMarks::by_normalizer;
  // A Split at spaces finds none where the normalizer has replaced them.
  const bool no_op =
      pre_tokenizer.is_null() || (type_of(pre_tokenizer) == "Split" &&
                                  text_of(member(pre_tokenizer, "pattern"), "String") == " " &&
                                  !flag(pre_tokenizer, "invert", false));
  if (marked && no_op) return {};
  if (marked || type_of(pre_tokenizer) != "Metaspace" ||
      text_of(pre_tokenizer, "replacement") != kSpaceMark) {
    return refuse(fmt::format("pre_tokenizer {} is not supported", shown(pre_tokenizer)),
                  "with byte_fallback, spaces become \"\u2581\" by the normalizer or by Metaspace");
  }
  const std::string scheme = text_of(pre_tokenizer, "prepend_scheme");
  const bool always = scheme.empty() && flag(pre_tokenizer, "add_prefix_space", true);
  file.space_marks = SpaceMarks::by_pre_tokenizer;
  if (scheme == "always" || always) {
    file.space_prefix = SpacePrefix::unless_there;
  } else if (scheme == "first") {
    file.space_prefix = SpacePrefix::at_start_unless_there;
  }
  if (flag(pre_tokenizer, "split", true)) file.pre_tokenizer = PreTokenizerKind::each_mark;
  return {};
}

// Whether decoding takes the space away that encoding put before the text.
bool strips_space(const json& root) {
  const std::vector<json> steps = steps_of(member(root, "decoder"), "decoders");
  return std::any_of(steps.begin(), steps.end(), [](const json& step) {
    return (type_of(step) == "Strip" && text_of(step, "content") == " " &&
            member(step, "start") == 1) ||
           (type_of(step) == "Metaspace" && text_of(step, "prepend_scheme") != "never");
  });
}

}  // namespace

Result<void> read_pipeline(const json& root, TokenizerFile& file) {
  TERA_TRY_VOID(read_normalizer(root, file));
  if (!file.byte_fallback) return read_byte_level(root, file);
  file.strip_space = strips_space(root);
  return read_marks(root, file);
}

}  // namespace tera::data
