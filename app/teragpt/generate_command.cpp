// teragpt generate: text from a checkpoint.
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "app/teragpt/checkpoint_model.h"
#include "app/teragpt/cli.h"
#include "core/base/units.h"
#include "core/infer/generate.h"

namespace tera::app {
namespace {

struct GenerateArguments {
  std::string checkpoint;
  std::string prompt;
  std::string tokenizer;
  infer::SamplingOptions sampling;
};

Result<infer::Generated> generate(Cli& cli, const GenerateArguments& args) {
  TERA_TRY(const std::unique_ptr<CheckpointModel> loaded,
           CheckpointModel::load(args.checkpoint, args.tokenizer));
  catch_stop_signals();
  bool begun = false;  // the prompt stands before the text, and nothing before an error
  const auto print = [&](std::string_view piece) {
    if (cli.json) return;
    fmt::print("{}{}", std::exchange(begun, true) ? "" : args.prompt, piece);
    std::fflush(stdout);
  };
  TERA_TRY(infer::Generated generated,
           infer::generate(loaded->model(), loaded->tokenizer(), args.prompt, args.sampling,
                           [&](std::string_view piece) {
                             print(piece);
                             return stop_requests().load() == 0;
                           }));
  print("\n");
  return generated;
}

void run(Cli& cli, const GenerateArguments& args) {
  const Result<infer::Generated> generated = generate(cli, args);
  if (!generated) return cli.fail(generated.error());
  if (cli.json) {
    return cli.print_json({{"schema", "teragpt.generate/1"},
                           {"prompt", args.prompt},
                           {"text", generated->text},
                           {"tokens", generated->tokens},
                           {"logprobs", generated->logprobs},
                           {"ended", generated->ended},
                           {"prefill_s", generated->prefill_s},
                           {"decode_s", generated->decode_s}});
  }
  const double rate =
      static_cast<double>(generated->tokens.size()) / std::max(1e-9, generated->decode_s);
  fmt::print(stderr, "{} tokens, {}\n", generated->tokens.size(), format_rate(rate, "tok/s"));
}

}  // namespace

void add_generate_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("generate", "Text from a checkpoint");
  auto args = std::make_shared<GenerateArguments>();
  verb->add_option("CKPT", args->checkpoint, "Checkpoint directory, run directory or run id")
      ->required();
  verb->add_option("--prompt", args->prompt, "Text to go on from; empty starts a document");
  verb->add_option("--max-tokens", args->sampling.max_tokens, "Most new tokens")
      ->check(at_least(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--temperature", args->sampling.temperature, "0 takes the most likely token")
      ->check(number_between(0, 100))
      ->capture_default_str();
  verb->add_option("--top-k", args->sampling.top_k, "Sample from the k most likely tokens; 0 = all")
      ->check(at_least(0))
      ->capture_default_str();
  verb->add_option("--top-p", args->sampling.top_p,
                   "Sample from the smallest set of this probability")
      ->check(number_between(0, 1))
      ->capture_default_str();
  verb->add_option("--seed", args->sampling.seed, "Seed of the sampling")
      ->check(at_least(0, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  verb->add_option("--tokenizer", args->tokenizer, "tokenizer.json (default: the run's)")
      ->type_name("FILE");
  verb->footer(
      "Example:\n  teragpt generate 20260101-120000-0a1b2c3d --prompt 'In the beginning' "
      "--max-tokens 100");
  verb->callback([&cli, args] { run(cli, *args); });
}

}  // namespace tera::app
