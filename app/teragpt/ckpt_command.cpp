// teragpt ckpt list|verify|show|prune|upcycle|merge: the checkpoints of a run.
#include <fmt/format.h>

#include "app/teragpt/run_view.h"
#include "core/base/units.h"
#include "core/checkpoint/checkpoint.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

// What is known of a checkpoint, by what was looked at: `list` reads its manifest and the sizes of
// its files, `verify` every byte.
constexpr const char* kSizesChecked = "sizes checked";
constexpr const char* kVerified = "verified";
constexpr const char* kDamaged = "damaged";

struct CkptArguments {
  RunArguments run;
  std::int64_t step = -1;  // -1: all, or the newest
  int keep = 0;            // 0: as the run's spec says
};

struct RunCheckpoints {
  run::RunDirectory dir;
  std::vector<checkpoint::CheckpointInfo> found;  // newest first
};

// The checkpoints of the run, only that of --step when it is given. Reports when there is none.
std::optional<RunCheckpoints> find(Cli& cli, const CkptArguments& args) {
  std::optional<run::RunDirectory> dir = open_run(cli, args.run);
  if (!dir) return std::nullopt;
  Result<std::vector<checkpoint::CheckpointInfo>> found =
      checkpoint::list(posix_vfs(), dir->checkpoints_dir());
  if (!found) {
    cli.fail(found.error());
    return std::nullopt;
  }
  if (args.step >= 0) {
    std::string steps;
    for (const checkpoint::CheckpointInfo& info : *found)
      steps += fmt::format("{}{}", steps.empty() ? "" : ", ", info.step);
    std::erase_if(*found, [&](const auto& info) { return info.step != args.step; });
    if (found->empty()) {
      cli.fail({ErrorCode::not_found,
                fmt::format("run {} has no checkpoint of step {}", dir->id(), args.step),
                steps.empty() ? "it has none" : "it has steps " + steps});
      return std::nullopt;
    }
  }
  return RunCheckpoints{std::move(*dir), std::move(*found)};
}

ordered_json base_json(const char* schema, const run::RunDirectory& dir) {
  return {{"schema", schema}, {"run", dir.id()}, {"path", dir.checkpoints_dir().string()}};
}

void list(Cli& cli, const CkptArguments& args) {
  const std::optional<RunCheckpoints> run = find(cli, args);
  if (!run) return;
  ordered_json rows = ordered_json::array();
  if (!cli.json) fmt::print("{:>12}  {:>10}  {:>8}  {}\n", "STEP", "SIZE", "TENSORS", "STATE");
  for (const checkpoint::CheckpointInfo& info : run->found) {
    const Result<checkpoint::Reader> reader = checkpoint::Reader::open(posix_vfs(), info.path);
    if (cli.json) {
      ordered_json row = {{"step", info.step},
                          {"path", info.path.string()},
                          {"state", reader ? kSizesChecked : kDamaged}};
      if (reader) {
        row["bytes"] = reader->num_bytes();
        row["num_tensors"] = reader->tensors().size();
      } else {
        row["problem"] = reader.error().message;
      }
      rows.push_back(std::move(row));
    } else if (reader) {
      fmt::print("{:>12}  {:>10}  {:>8}  {}\n", info.step,
                 format_bytes(static_cast<double>(reader->num_bytes())), reader->tensors().size(),
                 kSizesChecked);
    } else {
      fmt::print("{:>12}  {:>10}  {:>8}  {}: {}\n", info.step, "-", "-", kDamaged,
                 reader.error().message);
    }
  }
  if (cli.json) {
    ordered_json document = base_json("teragpt.ckpt_list/1", run->dir);
    document["checkpoints"] = std::move(rows);
    cli.print_json(document);
  } else if (run->found.empty()) {
    fmt::print("run {} has no checkpoint yet\n", run->dir.id());
  }
}

void verify(Cli& cli, const CkptArguments& args) {
  const std::optional<RunCheckpoints> run = find(cli, args);
  if (!run) return;
  ordered_json rows = ordered_json::array();
  bool all_good = true;
  for (const checkpoint::CheckpointInfo& info : run->found) {
    const Result<checkpoint::Reader> reader = checkpoint::Reader::open(posix_vfs(), info.path);
    const Result<void> verified =
        reader ? reader->verify() : Result<void>(tl::unexpected<Error>(reader.error()));
    all_good = all_good && verified;
    if (cli.json) {
      ordered_json row = {{"step", info.step},
                          {"path", info.path.string()},
                          {"state", verified ? kVerified : kDamaged},
                          {"valid", verified.has_value()}};
      if (!verified) row["problem"] = verified.error().message;
      rows.push_back(std::move(row));
    } else if (verified) {
      fmt::print("step {}: every byte of {} verified\n", info.step,
                 format_bytes(static_cast<double>(reader->num_bytes())));
    } else {
      fmt::print("step {}: DAMAGED: {}\n", info.step, verified.error().message);
    }
  }
  if (cli.json) {
    ordered_json document = base_json("teragpt.ckpt_verify/1", run->dir);
    document["valid"] = all_good && !run->found.empty();
    document["checkpoints"] = std::move(rows);
    cli.print_json(document);
  } else if (run->found.empty()) {
    fmt::print("run {} has no checkpoint yet\n", run->dir.id());
  }
  if (!all_good || run->found.empty()) cli.exit_code = exit_no;
}

void show(Cli& cli, const CkptArguments& args) {
  const std::optional<RunCheckpoints> run = find(cli, args);
  if (!run) return;
  if (run->found.empty()) {
    return cli.fail({ErrorCode::not_found, fmt::format("run {} has no checkpoint", run->dir.id()),
                     "training.checkpoint_interval says when it writes one; `teragpt stop` makes "
                     "it write one"});
  }
  const Result<checkpoint::Reader> reader =
      checkpoint::Reader::open(posix_vfs(), run->found.front().path);
  if (!reader) return cli.fail(reader.error());
  const ordered_json state = ordered_json::parse(reader->state().json, nullptr, false);
  if (cli.json) {
    ordered_json document = base_json("teragpt.ckpt/1", run->dir);
    document["path"] = reader->path().string();
    document["step"] = reader->state().step;
    document["bytes"] = reader->num_bytes();
    document["state"] = state;
    document["tensors"] = ordered_json::array();
    for (const checkpoint::TensorInfo& info : reader->tensors()) {
      document["tensors"].push_back({{"name", info.name},
                                     {"role", info.role},
                                     {"dtype", dtype_name(info.dtype)},
                                     {"shape", info.shape},
                                     {"bytes", info.num_bytes()}});
    }
    return cli.print_json(document);
  }
  fmt::print("{}\nstep {}, {}, {} tensors\n", reader->path().string(), reader->state().step,
             format_bytes(static_cast<double>(reader->num_bytes())), reader->tensors().size());
  for (const auto& [key, value] : state.items()) {
    if (key == "spec") continue;  // a page of YAML: `ckpt show --json` has it
    fmt::print("  {:<18} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  for (const checkpoint::TensorInfo& info : reader->tensors()) {
    fmt::print("  {:<10} {:<44} {:<5} [{}]\n", info.role, info.name, dtype_name(info.dtype),
               fmt::join(info.shape, ", "));
  }
}

void prune(Cli& cli, const CkptArguments& args) {
  const std::optional<run::RunDirectory> dir = open_run(cli, args.run);
  if (!dir) return;
  const std::optional<run::RunStatus> status = status_of(cli, *dir);
  if (!status) return;
  if (is_under_way(*status)) {
    return cli.fail({ErrorCode::failed,
                     fmt::format("run {} is being trained by process {}, which prunes by itself",
                                 dir->id(), status->pid),
                     "stop the run first: teragpt stop"});
  }
  int keep = args.keep;
  if (keep == 0) {
    const Result<spec::RunSpec> spec = dir->spec();
    if (!spec) return cli.fail(spec.error());
    keep = spec->training.keep_checkpoints;
  }
  const Result<std::vector<std::int64_t>> removed =
      checkpoint::prune_steps(posix_vfs(), dir->checkpoints_dir(), keep);
  if (!removed) return cli.fail(removed.error());
  if (cli.json) {
    ordered_json document = base_json("teragpt.ckpt_prune/1", *dir);
    document["kept"] = keep;
    document["removed_steps"] = *removed;
    return cli.print_json(document);
  }
  if (removed->empty()) {
    fmt::print("nothing to remove: run {} has at most {} checkpoints\n", dir->id(), keep);
  } else {
    fmt::print("removed the checkpoints of {} steps: {}\n", removed->size(),
               fmt::join(*removed, ", "));
  }
}

void add_step_option(CLI::App& verb, CkptArguments& args, const char* help) {
  verb.add_option("--step", args.step, help)->check(at_least(0));
}

}  // namespace

void add_ckpt_command(CLI::App& root, Cli& cli) {
  auto* group = root.add_subcommand(
      "ckpt", "List, verify, show and prune the checkpoints of a run; upcycle or merge one");
  group->require_subcommand(1);
  group->footer("Example:\n  teragpt ckpt verify 20260101-120000-0a1b2c3d");
  const auto add = [&](const char* name, const char* help, const char* example, auto function) {
    auto* verb = group->add_subcommand(name, help);
    auto args = std::make_shared<CkptArguments>();
    add_run_options(*verb, args->run);
    verb->footer(fmt::format("Example:\n  teragpt ckpt {}", example));
    verb->callback([&cli, args, function] { function(cli, *args); });
    return std::pair{verb, args};
  };
  add("list", "Steps and sizes; their bytes are checked by verify", "list 20260101-120000-0a1b2c3d",
      list);
  const auto [verify_verb, verify_args] = add("verify", "Read and check every byte",
                                              "verify 20260101-120000-0a1b2c3d --step 100", verify);
  add_step_option(*verify_verb, *verify_args, "Only this step (default: all)");
  const auto [show_verb, show_args] =
      add("show", "State and tensors of one checkpoint", "show 20260101-120000-0a1b2c3d", show);
  add_step_option(*show_verb, *show_args, "Step (default: the newest)");
  const auto [prune_verb, prune_args] = add("prune", "Remove all but the newest checkpoints",
                                            "prune 20260101-120000-0a1b2c3d --keep 2", prune);
  prune_verb
      ->add_option("--keep", prune_args->keep,
                   "Newest checkpoints to keep, at least 2 (default: training.keep_checkpoints)")
      ->check(at_least(2, 1000000));
  add_upcycle_command(*group, cli);
  add_merge_command(*group, cli);
}

}  // namespace tera::app
