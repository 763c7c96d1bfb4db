#include "app/teragpt/prompts.h"

#include <iostream>
#include <iterator>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/vfs.h"

namespace tera::app {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20U;

Result<std::string> read_all(const std::string& file) {
  if (file != "-") return read_text(posix_vfs(), file, kMostBytes);
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

struct NamedPrompt {
  std::string text;
  infer::Prompt prompt;
};

bool is_id(const nlohmann::json& value) {
  return value.is_number_integer() && value >= 0 && value <= INT32_MAX;
}

// What {"prompt": ..., "seed": ...} or {"tokens": [...]} says; the message is without the place.
Result<NamedPrompt> parse_object(std::string_view line,
                                 CheckpointModel& loaded,
                                 std::uint64_t seed) {
  constexpr const char* kHint =
      R"(write {"prompt": "text"} or {"tokens": [ids]}, with "seed": a number if it has its own)";
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::invalid_input, "not a JSON object", kHint);
  for (const auto& [key, value] : object.items()) {
    if (key != "prompt" && key != "tokens" && key != "seed")
      return fail(ErrorCode::invalid_input, fmt::format("unknown key \"{}\"", key), kHint);
  }
  if (object.contains("prompt") == object.contains("tokens"))
    return fail(ErrorCode::invalid_input, "expected either \"prompt\" or \"tokens\"", kHint);
  if (object.contains("seed")) {
    if (!object["seed"].is_number_unsigned())
      return fail(
          ErrorCode::invalid_input,
          fmt::format("\"seed\" is {}, expected a whole number from 0 on", object["seed"].dump()),
          kHint);
    seed = object["seed"].get<std::uint64_t>();
  }
  NamedPrompt named{.text = {}, .prompt = {.tokens = {}, .seed = seed}};
  if (object.contains("prompt")) {
    if (!object["prompt"].is_string())
      return fail(ErrorCode::invalid_input, "\"prompt\" is not a text", kHint);
    named.text = object["prompt"].get<std::string>();
    TERA_TRY(const data::Tokenizer* const tokenizer, loaded.require_tokenizer());
    TERA_TRY(named.prompt, infer::make_prompt(*tokenizer, named.text, seed));
    return named;
  }
  const nlohmann::json& ids = object["tokens"];
  const data::Tokenizer* const tokenizer = loaded.tokenizer();
  const std::int32_t vocabulary = infer::vocabulary_of(loaded.model(), tokenizer);
  if (!ids.is_array()) return fail(ErrorCode::invalid_input, "\"tokens\" is not a list", kHint);
  for (const nlohmann::json& id : ids) {
    if (!is_id(id) || id >= vocabulary) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("\"tokens\" holds {}, expected ids from 0 to {}", id.dump(), vocabulary - 1),
          "the ids belong to another tokenizer");
    }
    named.prompt.tokens.push_back(id.get<std::int32_t>());
  }
  if (named.prompt.tokens.empty())
    return fail(ErrorCode::invalid_input, "\"tokens\" is empty", kHint);
  if (tokenizer != nullptr) {
    TERA_TRY(named.text, tokenizer->decode(named.prompt.tokens));
  }
  return named;
}

Result<NamedPrompt> parse_line(std::string_view line,
                               bool json,
                               CheckpointModel& loaded,
                               std::uint64_t seed) {
  if (json) return parse_object(line, loaded, seed);
  NamedPrompt named{.text = std::string(line), .prompt = {}};
  TERA_TRY(const data::Tokenizer* const tokenizer, loaded.require_tokenizer());
  TERA_TRY(named.prompt, infer::make_prompt(*tokenizer, line, seed));
  return named;
}

}  // namespace

Result<Prompts> read_prompts(const PromptArguments& args, CheckpointModel& loaded) {
  if (args.file.empty()) {
    TERA_TRY(const data::Tokenizer* const tokenizer, loaded.require_tokenizer());
    TERA_TRY(infer::Prompt prompt, infer::make_prompt(*tokenizer, args.text, args.seed));
    return Prompts{.texts = {args.text}, .prompts = {std::move(prompt)}};
  }
  TERA_TRY(const std::string text, read_all(args.file));
  const std::string name = args.file == "-" ? "standard input" : args.file;
  const bool json = args.jsonl || args.file.ends_with(".jsonl");
  Prompts read;
  std::string_view rest = text;
  for (int line_number = 1; !rest.empty(); ++line_number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}:{}: the line is empty", name, line_number),
                  R"(remove it; a prompt may be empty in JSON lines: {"prompt": ""})");
    }
    Result<NamedPrompt> prompt = parse_line(line, json, loaded, args.seed + read.prompts.size());
    if (!prompt) {
      return fail(prompt.error().code,
                  fmt::format("{}:{}: {}", name, line_number, prompt.error().message),
                  prompt.error().hint);
    }
    read.texts.push_back(std::move(prompt->text));
    read.prompts.push_back(std::move(prompt->prompt));
  }
  if (read.prompts.empty())
    return fail(ErrorCode::invalid_input, fmt::format("{} holds no prompt", name),
                "write one prompt a line");
  return read;
}

}  // namespace tera::app
