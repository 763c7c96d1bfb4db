// teragpt generate: text from a checkpoint.
#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/thread_pool.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/saved_spec.h"
#include "core/data/tokenizer.h"
#include "core/infer/generate.h"
#include "core/infer/load_model.h"
#include "core/run/run_directory.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {
namespace {

namespace fs = std::filesystem;

struct GenerateArguments {
  std::string checkpoint;
  std::string prompt;
  std::string tokenizer;
  infer::SamplingOptions sampling;
};

// CKPT is a step directory, a run directory or a run id; of a run the newest valid checkpoint is taken.
Result<checkpoint::Reader> open_checkpoint(const std::string& name) {
  Vfs& vfs = posix_vfs();
  if (fs::exists(fs::path(name) / "COMMIT")) return checkpoint::Reader::open(vfs, name);
  TERA_TRY(const run::RunDirectory dir, run::RunDirectory::open(vfs, name));
  std::vector<std::string> skipped;
  Result<checkpoint::Reader> reader = checkpoint::open_latest_valid(vfs, dir.checkpoints_dir(), skipped);
  for (const std::string& reason : skipped) fmt::print(stderr, "warning: passed over a checkpoint: {}\n", reason);
  return reader;
}

Result<infer::Generated> generate(Cli& cli, const GenerateArguments& args) {
  TERA_TRY(const checkpoint::Reader reader, open_checkpoint(args.checkpoint));
  TERA_TRY(const spec::RunSpec spec, checkpoint::saved_spec(reader));
  TERA_TRY(const data::Tokenizer tokenizer,
           data::Tokenizer::load(args.tokenizer.empty() ? spec.data.tokenizer : args.tokenizer));
  ThreadPool pool(spec.launch.num_threads);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  const DType dtype = spec.training.precision == spec::Precision::bf16 ? DType::bf16 : DType::f32;
  nn::ParamStore params(*backend, plan::make_param_table(spec.model), {.compute = dtype, .gradients = false});
  TERA_TRY_VOID(infer::load_weights(reader, params));
  nn::Model model(spec.model, params);
  catch_stop_signals();
  if (!cli.json) fmt::print("{}", args.prompt);
  return infer::generate(model, tokenizer, args.prompt, args.sampling, [&cli](std::string_view piece) {
    if (!cli.json) {
      fmt::print("{}", piece);
      std::fflush(stdout);
    }
    return stop_requests().load() == 0;
  });
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
  const double rate = static_cast<double>(generated->tokens.size()) / std::max(1e-9, generated->decode_s);
  fmt::print("\n");
  fmt::print(stderr, "{} tokens, {}\n", generated->tokens.size(), format_rate(rate, "tok/s"));
}

}  // namespace

void add_generate_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("generate", "Text from a checkpoint");
  auto args = std::make_shared<GenerateArguments>();
  verb->add_option("CKPT", args->checkpoint, "Checkpoint directory, run directory or run id")->required();
  verb->add_option("--prompt", args->prompt, "Text to go on from; empty starts a document");
  verb->add_option("--max-tokens", args->sampling.max_tokens, "Most new tokens")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  verb->add_option("--temperature", args->sampling.temperature, "0 takes the most likely token")->check(CLI::Range(0.0, 100.0))->capture_default_str();
  verb->add_option("--top-k", args->sampling.top_k, "Sample from the k most likely tokens; 0 = all")->check(CLI::NonNegativeNumber)->capture_default_str();
  verb->add_option("--top-p", args->sampling.top_p, "Sample from the smallest set of this probability")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  verb->add_option("--seed", args->sampling.seed, "Seed of the sampling")->capture_default_str();
  verb->add_option("--tokenizer", args->tokenizer, "tokenizer.json (default: the run's)")->type_name("FILE");
  verb->footer("Example:\n  teragpt generate 20260101-120000-0a1b2c3d --prompt 'In the beginning' --max-tokens 100");
  verb->callback([&cli, args] { run(cli, *args); });
}

}  // namespace tera::app
