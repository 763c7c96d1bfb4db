// teragpt convert: models from and to other projects' files.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "app/teragpt/checkpoint_model.h"
#include "app/teragpt/cli.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/infer/convert.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

struct ConvertArguments {
  std::string input, output;
  std::string from, to;  // one of them
  std::string dtype = "as-trained";
  std::string tokenizer;
  std::string max_shard = "5GB";
  bool ema = false;
  bool fused_experts = false;
  bool no_verify = false;
  int num_threads = 0;
};

infer::ConvertOptions options_of(const ConvertArguments& args) {
  return {.verify = !args.no_verify,
          .num_threads = args.num_threads,
          .progress = [phase = std::string(), shown = std::shared_ptr<Progress>()](
                          std::string_view what, std::int64_t done, std::int64_t total) mutable {
            if (phase != what) {
              phase = what;
              shown.reset();  // ends its line first
              shown = std::make_shared<Progress>(phase, phase == "verify" ? "prompts" : "B");
            }
            shown->update(done, total);
            return stop_requests().load() == 0;
          }};
}

Result<std::uint64_t> shard_bytes_of(const std::string& text) {
  const char* hint = "for example 5GB, 500MB or 2GiB";
  const Result<double> bytes = parse_quantity(text);
  if (!bytes) {
    return tera::fail(ErrorCode::invalid_input,
                      fmt::format("--max-shard-size: {}", bytes.error().message), hint);
  }
  constexpr double kMost = 1e18;
  if (*bytes >= 1 && *bytes <= kMost) return static_cast<std::uint64_t>(*bytes);
  return tera::fail(ErrorCode::invalid_input,
                    fmt::format("--max-shard-size: got \"{}\", expected at least one byte", text),
                    hint);
}

Result<infer::Converted> convert(const ConvertArguments& args) {
  if (!args.from.empty()) {
    return infer::import_hugging_face(posix_vfs(), args.input, args.output, options_of(args));
  }
  TERA_TRY(const std::uint64_t shard_bytes, shard_bytes_of(args.max_shard));
  TERA_TRY(const checkpoint::Reader reader, open_checkpoint(args.input));
  const auto weights = args.ema ? checkpoint::WeightSet::ema : checkpoint::WeightSet::trained;
  if (args.to == "peft")
    return infer::export_peft(posix_vfs(), reader, args.output, weights, options_of(args));
  infer::ExportOptions options{.convert = options_of(args),
                               .weights = weights,
                               .fused_experts = args.fused_experts,
                               .max_shard_bytes = shard_bytes,
                               .tokenizer = args.tokenizer};
  if (args.dtype != "as-trained") options.bf16 = args.dtype == "bf16";
  return infer::export_hugging_face(posix_vfs(), reader, args.output, options);
}

std::string_view word(Severity severity) {
  return severity == Severity::warning ? "warning" : "note";
}

void print_result(const ConvertArguments& args, const infer::Converted& converted) {
  std::uint64_t bytes = 0;
  for (const auto& [path, size] : converted.files)
    bytes += size;
  fmt::print("{}: {}, {} parameters, {} in {} files\n", args.output, enum_name(converted.family),
             format_count(static_cast<double>(converted.num_params)),
             format_bytes(static_cast<double>(bytes)), converted.files.size());
  if (converted.difference) {
    fmt::print(
        "verified: the logits of {} prompts differ by at most {:.3g} (the largest is {:.3g})\n",
        infer::kNumProbes, converted.difference->max_abs_diff, converted.difference->max_abs);
  } else {
    fmt::print("not verified\n");
  }
}

void print_json(Cli& cli, const ConvertArguments& args, const infer::Converted& converted) {
  ordered_json document = {{"schema", "teragpt.convert/1"},
                           {"output", args.output},
                           {"architecture", enum_name(converted.family)},
                           {"total_params", converted.num_params},
                           {"ema", args.ema},
                           {"verified", converted.difference.has_value()}};
  if (converted.difference) {
    document["max_abs_diff"] = converted.difference->max_abs_diff;
    document["max_abs_logit"] = converted.difference->max_abs;
    document["prompts"] = infer::kNumProbes;
  }
  document["files"] = converted.files;
  document["notes"] = ordered_json::array();
  for (const Diagnostic& d : converted.notes) {
    document["notes"].push_back({{"severity", word(d.severity)},
                                 {"field", d.field},
                                 {"message", d.message},
                                 {"hint", d.hint}});
  }
  cli.print_json(document);
}

void run(Cli& cli, const ConvertArguments& args) {
  if (args.from.empty() == args.to.empty()) {
    return cli.fail(
        {ErrorCode::invalid_input,
         "convert: expected one of --from hugging-face, --to hugging-face and --to peft",
         "teragpt convert --help shows examples"});
  }
  catch_stop_signals();
  const Result<infer::Converted> converted = convert(args);
  if (!converted) return cli.fail(converted.error());
  cli.report(args.input, converted->notes);
  if (cli.json) {
    print_json(cli, args, *converted);
  } else {
    print_result(args, *converted);
  }
}

}  // namespace

void add_convert_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("convert", "Models from and to Hugging Face directories");
  auto args = std::make_shared<ConvertArguments>();
  const CLI::IsMember projects({"hugging-face"});
  verb->add_option("INPUT", args->input,
                   "With --from a model directory; with --to a checkpoint, run directory or run id")
      ->required();
  auto* from = verb->add_option("--from", args->from, "Import from")->check(projects);
  verb->add_option("--to", args->to, "Export to; peft: the adapters of a run")
      ->check(CLI::IsMember({"hugging-face", "peft"}))
      ->excludes(from);
  verb->add_option("-o,--output", args->output, "Directory to make; must not exist")
      ->type_name("DIR")
      ->required();
  verb->add_option("--dtype", args->dtype, "Export: element type of the weights")
      ->check(CLI::IsMember({"as-trained", "fp32", "bf16"}))
      ->capture_default_str();
  verb->add_flag("--ema", args->ema, "Export: the running mean of the weights (training.ema_decay)")
      ->excludes(from);
  verb->add_option("--max-shard-size", args->max_shard, "Export: largest file")
      ->type_name("BYTES")
      ->capture_default_str();
  verb->add_flag("--fused-experts", args->fused_experts,
                 "Export: the experts of a layer as one tensor, as transformers 5 holds them");
  verb->add_option("--tokenizer", args->tokenizer, "Export: tokenizer.json (default: the run's)")
      ->type_name("FILE");
  verb->add_flag("--no-verify", args->no_verify,
                 "Do not reload the result and compare logits (which needs the model in memory)");
  verb->add_option("--threads", args->num_threads, "Threads of the comparison; 0 = all")
      ->check(at_least(0))
      ->capture_default_str();
  verb->footer(
      "Examples:\n  teragpt convert OLMoE-1B-7B --from hugging-face -o olmoe\n"
      "  teragpt convert 20260101-120000-0a1b2c3d --to hugging-face -o my-model --dtype bf16\n"
      "  teragpt convert 20260101-120000-0a1b2c3d --to peft -o my-adapters\n"
      "The directory appears when it is complete; Ctrl-C leaves nothing behind.");
  verb->callback([&cli, args] { run(cli, *args); });
}

}  // namespace tera::app
