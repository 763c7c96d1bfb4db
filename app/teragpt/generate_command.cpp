// teragpt generate: text from a checkpoint.
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "app/teragpt/checkpoint_model.h"
#include "app/teragpt/cli.h"
#include "app/teragpt/prompts.h"
#include "core/base/units.h"
#include "core/infer/generate.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

struct GenerateArguments {
  ModelArguments model;
  PromptArguments prompts;
  infer::GenerateOptions options;
  int batch = 8;
};

// Of all batches together.
struct Totals {
  std::int64_t tokens = 0;
  double prefill_s = 0;
  double decode_s = 0;
};

// What is printed of a token: its text, without a tokenizer null.
ordered_json text_of(std::int32_t token, const data::Tokenizer* tokenizer) {
  return tokenizer == nullptr ? ordered_json() : ordered_json(tokenizer->token_bytes(token));
}

ordered_json to_json(const infer::TokenLogprob& token, const data::Tokenizer* tokenizer) {
  return {{"token", token.token},
          {"text", text_of(token.token, tokenizer)},
          {"logprob", token.logprob}};
}

// By layer, null for a dense one.
ordered_json to_json(const std::vector<nn::ExpertChoices>& layers) {
  ordered_json rows = ordered_json::array();
  for (const nn::ExpertChoices& layer : layers) {
    rows.push_back(layer.experts.empty()
                       ? ordered_json(nullptr)
                       : ordered_json{{"experts", layer.experts}, {"gates", layer.gates}});
  }
  return rows;
}

ordered_json to_json(const std::string& prompt,
                     const infer::Generated& made,
                     const data::Tokenizer* tokenizer) {
  const auto text = [tokenizer](const std::string& known) {
    return tokenizer == nullptr ? ordered_json() : ordered_json(known);
  };
  ordered_json document = {{"schema", "teragpt.generate/1"},
                           {"prompt", text(prompt)},
                           {"prompt_tokens", made.prompt_tokens},
                           {"text", text(made.text)},
                           {"finish", enum_name(made.finish)}};
  document["tokens"] = ordered_json::array();
  document["logprobs"] = ordered_json::array();
  for (const infer::TokenLogprob& token : made.tokens) {
    document["tokens"].push_back(token.token);
    document["logprobs"].push_back(token.logprob);
  }
  for (const auto& place : made.alternatives) {
    ordered_json& row = document["alternatives"].emplace_back(ordered_json::array());
    for (const infer::TokenLogprob& token : place)
      row.push_back(to_json(token, tokenizer));
  }
  for (const auto& token : made.experts)
    document["experts"].push_back(to_json(token));
  return document;
}

// In quotes; without a tokenizer its id.
std::string quoted(std::int32_t token, const data::Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return fmt::format("{}", token);
  return ordered_json(std::string(tokenizer->token_bytes(token)))
      .dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// One line a token: what was drawn, and what might have been.
void print_alternatives(const infer::Generated& made, const data::Tokenizer* tokenizer) {
  for (std::size_t i = 0; i < made.alternatives.size(); ++i) {
    fmt::print("{:>4} {:>9.4f} {:<14}", i + 1, made.tokens[i].logprob,
               quoted(made.tokens[i].token, tokenizer));
    for (const infer::TokenLogprob& other : made.alternatives[i])
      fmt::print(" {} {:.4f}", quoted(other.token, tokenizer), other.logprob);
    fmt::print("\n");
  }
}

// One line a token: the experts of each layer with their gates.
void print_experts(const infer::Prompt& prompt,
                   const infer::Generated& made,
                   const data::Tokenizer* tokenizer) {
  for (std::size_t i = 0; i < made.experts.size(); ++i) {
    const std::int32_t token =
        i < prompt.tokens.size() ? prompt.tokens[i] : made.tokens[i - prompt.tokens.size()].token;
    fmt::print("{:>4} {:<14}", i + 1, quoted(token, tokenizer));
    for (std::size_t layer = 0; layer < made.experts[i].size(); ++layer) {
      const nn::ExpertChoices& choices = made.experts[i][layer];
      for (std::size_t k = 0; k < choices.experts.size(); ++k)
        fmt::print("{}{}:{:.2f}", k == 0 ? fmt::format("  layer {} ", layer) : " ",
                   choices.experts[k], choices.gates[k]);
    }
    fmt::print("\n");
  }
}

// Texts as they grow when there is one, whole texts in the order of the prompts when there are
// more.
class Printer {
 public:
  // tokenizer: null when ids are printed in place of text.
  Printer(Cli& cli, const data::Tokenizer* tokenizer, const Prompts& prompts)
      : cli_(cli), tokenizer_(tokenizer), prompts_(prompts), one_(prompts.texts.size() == 1) {}

  void piece(std::string_view text) {
    if (cli_.json || !one_) return;
    // The prompt stands before the text, and nothing before an error.
    fmt::print("{}{}", std::exchange(begun_, true) ? "" : prompts_.texts.front(), text);
    std::fflush(stdout);
  }
  void text(std::size_t i, const infer::Generated& made) {
    if (cli_.json) {
      const ordered_json document = to_json(prompts_.texts[i], made, tokenizer_);
      return one_ ? cli_.print_json(document) : cli_.print_json_line(document);
    }
    if (tokenizer_ == nullptr) {
      std::vector<std::int32_t> ids;
      for (const infer::TokenLogprob& token : made.tokens)
        ids.push_back(token.token);
      fmt::print("{}\n", fmt::join(ids, " "));
    } else if (one_) {
      piece("\n");
    } else {
      fmt::print("{}{}{}\n", std::exchange(begun_, true) ? "\n" : "", prompts_.texts[i], made.text);
    }
    print_alternatives(made, tokenizer_);
    print_experts(prompts_.prompts[i], made, tokenizer_);
    std::fflush(stdout);
  }

 private:
  Cli& cli_;
  const data::Tokenizer* tokenizer_;
  const Prompts& prompts_;
  bool one_;
  bool begun_ = false;
};

Result<Totals> generate(Cli& cli, const GenerateArguments& args) {
  TERA_TRY(const std::unique_ptr<CheckpointModel> loaded, CheckpointModel::load(args.model));
  const data::Tokenizer* const tokenizer = loaded->tokenizer();
  TERA_TRY(const Prompts prompts, read_prompts(args.prompts, *loaded));
  infer::GenerateOptions options = args.options;
  options.end_tokens = loaded->end_tokens();
  TERA_TRY_VOID(infer::check_prompts(loaded->model(), tokenizer, prompts.prompts, options));
  catch_stop_signals();
  Printer printer(cli, tokenizer, prompts);
  Totals totals;
  const auto batch = static_cast<std::size_t>(args.batch);
  for (std::size_t first = 0; first < prompts.prompts.size() && stop_requests() == 0;
       first += batch) {
    const std::span<const infer::Prompt> part =
        std::span(prompts.prompts).subspan(first, std::min(prompts.prompts.size() - first, batch));
    TERA_TRY(const infer::Generation made,
             infer::generate(loaded->model(), tokenizer, part, options,
                             {.on_piece = [&](int, std::string_view text) { printer.piece(text); },
                              .keep_going = [] { return stop_requests() == 0; }}));
    for (std::size_t i = 0; i < part.size(); ++i) {
      printer.text(first + i, made.texts[i]);
      totals.tokens += std::ssize(made.texts[i].tokens);
    }
    totals.prefill_s += made.prefill_s;
    totals.decode_s += made.decode_s;
  }
  return totals;
}

void run(Cli& cli, const GenerateArguments& args) {
  const Result<Totals> totals = generate(cli, args);
  if (!totals) return cli.fail(totals.error());
  const double rate = static_cast<double>(totals->tokens) / std::max(1e-9, totals->decode_s);
  fmt::print(stderr, "{} tokens, {}, prompts in {}\n", totals->tokens, format_rate(rate, "tok/s"),
             format_seconds(totals->prefill_s));
  const Result<void> stopped = check_stop("generate", "what was made until then is printed");
  if (!stopped) cli.fail(stopped.error());
}

// Options that cannot be meant together.
Result<void> check_together(const CLI::App& verb, const GenerateArguments& args) {
  const auto given = [&](const char* option) { return verb.count(option) > 0; };
  if (given("--prompt") && given("--prompts")) {
    return fail(ErrorCode::invalid_input, "--prompt and --prompts were both given",
                "put the text into the file, or leave one away");
  }
  if (args.prompts.jsonl && !given("--prompts")) {
    return fail(ErrorCode::invalid_input, "--jsonl without --prompts",
                "it says how the lines of that file are read");
  }
  if (args.options.sampling.temperature > 0) return {};
  for (const char* option : {"--top-k", "--top-p", "--min-p", "--seed"}) {
    if (given(option)) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("{} with --temperature 0, which always takes the most likely token", option),
          fmt::format("leave {} away, or raise --temperature", option));
    }
  }
  return {};
}

void add_sampling_options(CLI::App& verb, infer::SamplingOptions& sampling) {
  verb.add_option("--temperature", sampling.temperature, "0 takes the most likely token")
      ->check(number_between(0, 100))
      ->capture_default_str();
  verb.add_option("--top-k", sampling.top_k, "Sample from the k most likely tokens; 0 = all")
      ->check(at_least(0))
      ->capture_default_str();
  verb.add_option("--top-p", sampling.top_p, "Sample from the smallest set of this probability")
      ->check(number_between(0, 1))
      ->capture_default_str();
  verb.add_option("--min-p", sampling.min_p,
                  "Sample from tokens at least this share as likely as the most likely")
      ->check(number_between(0, 1))
      ->capture_default_str();
  verb.add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Divides positive logits of tokens of prompt and text, multiplies others")
      ->check(number_between(0.01, 100))
      ->capture_default_str();
  verb.add_option("--presence-penalty", sampling.presence_penalty,
                  "Subtracted from logits of tokens of the text")
      ->check(number_between(-100, 100))
      ->capture_default_str();
  verb.add_option("--frequency-penalty", sampling.frequency_penalty,
                  "Subtracted from logits of tokens of the text, for each time")
      ->check(number_between(-100, 100))
      ->capture_default_str();
}

}  // namespace

void add_generate_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("generate", "Text from a checkpoint");
  auto args = std::make_shared<GenerateArguments>();
  add_model_options(*verb, args->model);
  verb->add_option("--prompt", args->prompts.text, "Text to go on from; empty starts a document");
  verb->add_option(
          "--prompts", args->prompts.file,
          "Prompts, one a line (of FILE.jsonl: objects with prompt or tokens, and seed); - "
          "is standard input")
      ->type_name("FILE");
  verb->add_flag("--jsonl", args->prompts.jsonl, "The lines of --prompts are JSON");
  verb->add_option("--batch", args->batch, "Prompts at once; changes no text")
      ->check(at_least(1, infer::kMaxPrompts))
      ->capture_default_str();
  verb->add_option("--max-tokens", args->options.max_tokens, "Most new tokens")
      ->check(at_least(1, 1 << 20))
      ->capture_default_str();
  add_sampling_options(*verb, args->options.sampling);
  verb->add_option("--seed", args->prompts.seed,
                   "Seed of the sampling; the second prompt has the next, and so on")
      ->check(at_least(0, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  verb->add_option("--stop", args->options.stops, "Text to end before; may be repeated")
      ->type_name("TEXT")
      ->take_all();
  verb->add_option("--logprobs", args->options.num_alternatives,
                   "Most likely tokens to show for each place")
      ->check(at_least(0, 1000))
      ->capture_default_str();
  verb->add_flag("--experts", args->options.with_experts,
                 "Show the experts each token went to, and their gates");
  verb->footer(
      "Example:\n  teragpt generate 20260101-120000-0a1b2c3d --prompt 'In the beginning' "
      "--max-tokens 100\n"
      "  teragpt generate 20260101-120000-0a1b2c3d --prompts questions.txt --temperature 0 --json");
  verb->callback([&cli, args, verb] {
    const Result<void> together = check_together(*verb, *args);
    if (!together) return cli.fail(together.error());
    run(cli, *args);
  });
}

}  // namespace tera::app
