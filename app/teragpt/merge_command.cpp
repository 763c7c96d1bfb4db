// teragpt ckpt merge: a whole model of the adapters of a run and the weights they were trained on.
#include <fmt/format.h>

#include "app/teragpt/checkpoint_model.h"
#include "app/teragpt/run_view.h"
#include "core/base/units.h"
#include "core/infer/merge_adapters.h"

namespace tera::app {
namespace {

struct MergeArguments {
  std::string run;
  std::string out;
  std::int64_t step = -1;
  int num_threads = 0;
};

Result<infer::Merged> merge(const MergeArguments& args) {
  TERA_TRY(const checkpoint::Reader reader, open_checkpoint(args.run, args.step));
  return infer::merge_adapters(posix_vfs(), reader, args.out, {.num_threads = args.num_threads});
}

void run(Cli& cli, const MergeArguments& args) {
  const Result<infer::Merged> merged = merge(args);
  if (!merged) return cli.fail(merged.error());
  if (cli.json) {
    return cli.print_json({{"schema", "teragpt.ckpt_merge/1"},
                           {"output", args.out},
                           {"base", merged->base.string()},
                           {"adapters", merged->num_adapters},
                           {"bytes", merged->num_bytes}});
  }
  fmt::print("{}: {} adapters merged into {}, {}\n", args.out, merged->num_adapters,
             merged->base.string(), format_bytes(static_cast<double>(merged->num_bytes)));
  fmt::print("export it with: teragpt convert {} --to hugging-face -o DIR\n", args.out);
}

}  // namespace

void add_merge_command(CLI::App& group, Cli& cli) {
  auto* verb = group.add_subcommand("merge", "Add trained adapters to the weights they are of");
  auto args = std::make_shared<MergeArguments>();
  verb->add_option("RUN", args->run, "Checkpoint, run directory or run id of adapters")->required();
  verb->add_option("-o,--output", args->out, "Directory to make; must not exist")
      ->type_name("DIR")
      ->required();
  verb->add_option("--step", args->step, "Step of the run's checkpoint (default: the newest)")
      ->check(at_least(0));
  verb->add_option("--threads", args->num_threads, "Threads; 0 = all")->check(at_least(0));
  verb->footer(
      "Example:\n  teragpt ckpt merge 20260101-120000-0a1b2c3d -o merged\n"
      "  teragpt generate merged --prompt 'Once upon'\n"
      "Source: Hu et al. 2022, LoRA, section 4.1.");
  verb->callback([&cli, args] { run(cli, *args); });
}

}  // namespace tera::app
