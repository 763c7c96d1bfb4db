// teragpt tok: train, inspect, encode and decode with byte-level BPE tokenizers.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>

#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/thread_pool.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/data/bpe_input.h"
#include "core/data/bpe_trainer.h"
#include "core/data/line_reader.h"
#include "core/data/tokenizer.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

// Text or ids come from the option, else from standard input.
Result<std::string> given_or_stdin(const std::string& given, std::string_view option) {
  if (!given.empty()) return given;
  if (isatty(STDIN_FILENO) != 0) {
    return tera::fail(ErrorCode::invalid_input, fmt::format("{} was not given", option),
                      "give it, or pipe it to standard input");
  }
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

struct TrainArguments {
  std::vector<std::string> inputs;
  std::string output;
  std::string pre_tokenizer = "llama3";
  std::int64_t vocab_size = 4096;
  std::int64_t min_frequency = 2;
  int reserved = 0;
  int num_threads = 0;
  bool string_merges = false;
  bool force = false;
};

Result<ordered_json> train(const TrainArguments& arguments) {
  Vfs& vfs = posix_vfs();
  TERA_TRY_VOID(check_can_write(vfs, arguments.output));
  TERA_TRY(const bool there, vfs.exists(arguments.output));
  if (there && !arguments.force) {
    return tera::fail(ErrorCode::invalid_input, fmt::format("{} exists", arguments.output),
                      "choose another name, or overwrite it with --force");
  }
  data::BpeTrainerOptions options;
  options.vocab_size = arguments.vocab_size;
  options.min_frequency = arguments.min_frequency;
  options.pre_tokenizer = *data::pre_tokenizer_from_name(arguments.pre_tokenizer);
  for (int i = 0; i < arguments.reserved; ++i) {
    options.special_tokens.push_back(fmt::format("<|reserved_{}|>", i));
  }
  for (const std::string& input : arguments.inputs)
    TERA_TRY_VOID(data::LineReader::open(input));
  ThreadPool pool(arguments.num_threads);
  TERA_TRY(data::BpeTrainer trainer, data::BpeTrainer::create(std::move(options), pool));
  for (const std::string& input : arguments.inputs) {
    Progress progress("counting " + input, "B");
    TERA_TRY_VOID(data::add_text_file(input, trainer, [&](std::int64_t done, std::int64_t all) {
      progress.update(done, all);
      return stop_requests() == 0;
    }));
  }
  if (trainer.num_piece_uses() == 0) {
    return tera::fail(ErrorCode::invalid_input, "tok train: the input holds no text",
                      "name files of text, or a .jsonl as `teragpt data prepare` writes it");
  }
  Progress progress("merging", "merges");
  TERA_TRY(const data::TokenizerFile file, trainer.train([&](std::int64_t done, std::int64_t all) {
    progress.update(done, all);
    return stop_requests() == 0;
  }));
  const std::string text = data::write_tokenizer_file(file, arguments.string_merges);
  TERA_TRY_VOID(write_file_atomic(vfs, arguments.output, text));
  TERA_TRY(const data::Tokenizer tokenizer, data::Tokenizer::parse(text));
  return ordered_json{{"schema", "teragpt.tok_train/1"},
                      {"path", arguments.output},
                      {"vocab", tokenizer.vocab_size()},
                      {"merges", file.merges.size()},
                      {"pieces", trainer.num_pieces()},
                      {"piece_uses", trainer.num_piece_uses()},
                      {"pre_tokenizer", tokenizer.pre_tokenizer()},
                      {"sha256", tokenizer.sha256()}};
}

void add_train(CLI::App& verb, Cli& cli) {
  auto* sub = verb.add_subcommand("train", "Train a tokenizer on text");
  auto arguments = std::make_shared<TrainArguments>();
  sub->add_option("INPUT", arguments->inputs, ".jsonl of documents, or text files")->required();
  sub->add_option("-o,--output", arguments->output, "tokenizer.json to write")->required();
  sub->add_option("--vocab", arguments->vocab_size, "Size of the vocabulary")
      ->check(at_least(258, 1 << 20))
      ->capture_default_str();
  sub->add_option("--min-frequency", arguments->min_frequency,
                  "Least uses of a pair that is merged")
      ->check(at_least(1))
      ->capture_default_str();
  sub->add_option("--pre-tokenizer", arguments->pre_tokenizer, "gpt2, llama3 or qwen2")
      ->check(one_of({"gpt2", "llama3", "qwen2"}))
      ->capture_default_str();
  sub->add_option("--reserved", arguments->reserved, "Special tokens kept for later use")
      ->check(at_least(0, 4096));
  sub->add_option("--threads", arguments->num_threads, "0 takes all processors")
      ->check(at_least(0, 4096));
  sub->add_flag("--string-merges", arguments->string_merges,
                "Write merges as \"a b\", for older readers");
  sub->add_flag("--force", arguments->force, "Overwrite an existing file");
  sub->footer("Example:\n  teragpt tok train corpus.jsonl --vocab 4096 -o tokenizer.json");
  sub->callback([&cli, arguments] {
    catch_stop_signals();
    const Result<ordered_json> report = train(*arguments);
    if (!report) return cli.fail(report.error());
    if (const auto got = (*report)["vocab"].get<std::int64_t>(); got < arguments->vocab_size) {
      fmt::print(stderr, "note: {} of {} tokens: no other pair of them occurs {} times\n",
                 format_integer(got), format_integer(arguments->vocab_size),
                 arguments->min_frequency);
    }
    if (cli.json) return cli.print_json(*report);
    fmt::print("{}: {} tokens from {} different pieces ({} in all)\nfingerprint {}\n",
               arguments->output, format_integer((*report)["vocab"].get<std::int64_t>()),
               format_integer((*report)["pieces"].get<std::int64_t>()),
               format_integer((*report)["piece_uses"].get<std::int64_t>()),
               (*report)["sha256"].get<std::string>());
  });
}

void add_encode(CLI::App& verb, Cli& cli) {
  struct Arguments {
    std::string tokenizer, text, file;
    bool special = false;
  };
  auto* sub = verb.add_subcommand("encode", "Text to token ids");
  auto arguments = std::make_shared<Arguments>();
  sub->add_option("TOKENIZER", arguments->tokenizer, "tokenizer.json")->required();
  auto* text = sub->add_option("--text", arguments->text, "The text; else standard input");
  sub->add_option("--file", arguments->file, "A file to encode")->excludes(text);
  sub->add_flag("--special", arguments->special, "Recognise special tokens in the text");
  sub->footer("Example:\n  teragpt tok encode tokenizer.json --text 'In the beginning'");
  sub->callback([&cli, arguments] {
    const Result<data::Tokenizer> tokenizer = data::Tokenizer::load(arguments->tokenizer);
    if (!tokenizer) return cli.fail(tokenizer.error());
    const Result<std::string> input = arguments->file.empty()
                                          ? given_or_stdin(arguments->text, "--text")
                                          : read_text(posix_vfs(), arguments->file, 1 << 30);
    if (!input) return cli.fail(input.error());
    const auto start = std::chrono::steady_clock::now();
    const std::vector<std::int32_t> ids = tokenizer->encode(*input, arguments->special);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (cli.json) {
      return cli.print_json({{"schema", "teragpt.tok_encode/1"},
                             {"bytes", input->size()},
                             {"tokens", ids.size()},
                             {"encode_s", took.count()},
                             {"ids", ids}});
    }
    fmt::print("{}\n", fmt::join(ids, " "));
  });
}

// Ids separated by spaces or commas.
Result<std::vector<std::int32_t>> parse_ids(const std::string& text) {
  std::vector<std::int32_t> ids;
  for (std::size_t at = text.find_first_not_of(" ,\n\t[]"); at != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(" ,\n\t[]", at), text.size());
    const std::string word = text.substr(at, end - at);
    if (word.size() > 9 || word.find_first_not_of("0123456789") != std::string::npos) {
      return tera::fail(ErrorCode::invalid_input,
                        fmt::format("--ids: got '{}', expected a token id", word.substr(0, 40)),
                        "ids are separated by spaces or commas");
    }
    ids.push_back(std::stoi(word));
    at = text.find_first_not_of(" ,\n\t[]", end);
  }
  return ids;
}

void add_decode(CLI::App& verb, Cli& cli) {
  struct Arguments {
    std::string tokenizer, ids;
  };
  auto* sub = verb.add_subcommand("decode", "Token ids to text");
  auto arguments = std::make_shared<Arguments>();
  sub->add_option("TOKENIZER", arguments->tokenizer, "tokenizer.json")->required();
  sub->add_option("--ids", arguments->ids, "The ids; else standard input");
  sub->footer("Example:\n  teragpt tok decode tokenizer.json --ids '310 262 1170'");
  sub->callback([&cli, arguments] {
    const Result<data::Tokenizer> tokenizer = data::Tokenizer::load(arguments->tokenizer);
    if (!tokenizer) return cli.fail(tokenizer.error());
    const Result<std::string> input = given_or_stdin(arguments->ids, "--ids");
    if (!input) return cli.fail(input.error());
    const Result<std::vector<std::int32_t>> ids = parse_ids(*input);
    if (!ids) return cli.fail(ids.error());
    const Result<std::string> text = tokenizer->decode(*ids);
    if (!text) return cli.fail(text.error());
    if (cli.json) return cli.print_json({{"schema", "teragpt.tok_decode/1"}, {"text", *text}});
    std::fwrite(text->data(), 1, text->size(), stdout);
    if (isatty(STDOUT_FILENO) != 0) std::fputc('\n', stdout);
  });
}

// What a vocabulary consists of.
ordered_json describe(const data::Tokenizer& tokenizer) {
  std::int64_t special = 0;
  std::int64_t unused = 0;
  std::int64_t blank = 0;
  std::int64_t with_digit = 0;
  std::int64_t longest = 0;
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view token = tokenizer.token_bytes(id);
    special += tokenizer.is_special(id) ? 1 : 0;
    unused += token.empty() ? 1 : 0;
    blank += !token.empty() && token.find_first_not_of(" \t\r\n") == std::string_view::npos ? 1 : 0;
    with_digit += token.find_first_of("0123456789") != std::string_view::npos ? 1 : 0;
    longest = std::max(longest, std::ssize(token));
  }
  return {{"vocab", tokenizer.vocab_size()},
          {"eod_id", tokenizer.eod_id()},
          {"pre_tokenizer", tokenizer.pre_tokenizer()},
          {"special", special},
          {"unused_ids", unused},
          {"white_space_tokens", blank},
          {"tokens_with_digits", with_digit},
          {"longest_token_bytes", longest},
          {"sha256", tokenizer.sha256()}};
}

void add_inspect(CLI::App& verb, Cli& cli) {
  struct Arguments {
    std::string tokenizer;
    std::vector<std::int32_t> ids;
  };
  auto* sub = verb.add_subcommand("inspect", "What a tokenizer consists of");
  auto arguments = std::make_shared<Arguments>();
  sub->add_option("TOKENIZER", arguments->tokenizer, "tokenizer.json")->required();
  sub->add_option("--id", arguments->ids, "Show the bytes of these ids")->check(at_least(0));
  sub->footer("Example:\n  teragpt tok inspect tokenizer.json --id 300");
  sub->callback([&cli, arguments] {
    const Result<data::Tokenizer> tokenizer = data::Tokenizer::load(arguments->tokenizer);
    if (!tokenizer) return cli.fail(tokenizer.error());
    ordered_json report{{"schema", "teragpt.tok_inspect/1"}, {"path", arguments->tokenizer}};
    report.update(describe(*tokenizer));
    for (const std::int32_t id : arguments->ids) {
      if (tokenizer->token_bytes(id).empty()) {
        return cli.fail({ErrorCode::invalid_input,
                         fmt::format("--id: got {}, expected the id of a token, 0 to {}", id,
                                     tokenizer->vocab_size() - 1),
                         "`teragpt tok encode` shows the ids of a text"});
      }
      report["tokens"].push_back({{"id", id}, {"bytes", std::string(tokenizer->token_bytes(id))}});
    }
    if (cli.json) return cli.print_json(report);
    report.erase("schema");
    for (const auto& [key, value] : report.items()) {
      if (key == "tokens") continue;
      fmt::print("{:<20} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
    }
    for (const std::int32_t id : arguments->ids) {
      const ordered_json shown = std::string(tokenizer->token_bytes(id));
      fmt::print("{:<20} {}\n", fmt::format("token {}", id),
                 shown.dump(-1, ' ', true, ordered_json::error_handler_t::replace));
    }
  });
}

}  // namespace

void add_tok_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("tok", "Tokenizers: train, encode, decode, inspect");
  verb->require_subcommand(1);
  verb->footer("Example:\n  teragpt tok train corpus.jsonl --vocab 4096 -o tokenizer.json");
  add_train(*verb, cli);
  add_encode(*verb, cli);
  add_decode(*verb, cli);
  add_inspect(*verb, cli);
}

}  // namespace tera::app
