// teragpt import: configurations of other projects become a spec.
#include <memory>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/spec_json.h"
#include "core/base/vfs.h"
#include "core/spec/interchange/interchange.h"
#include "core/spec/presets.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"

namespace tera::app {
namespace {

struct ImportArguments {
  std::vector<std::string> files;
  std::string from;     // empty: by the file
  std::string onto;     // spec whose other fields stay
  std::string cluster;  // preset
  std::string output;   // empty: standard output
  std::vector<std::string> overrides;
  std::int64_t num_gpus = 0;
  bool force = false;
};

// As many nodes of the cluster as the layout needs.
Result<void> set_cluster(const std::string& preset, spec::RunSpec& spec) {
  if (preset.empty()) return {};
  TERA_TRY_VOID(spec::set_field(spec, "cluster.preset", preset));
  const std::int64_t per_node = spec.cluster.devices_per_node;
  const std::int64_t nodes = (spec.layout.world_size() + per_node - 1) / per_node;
  if (!spec.cluster.device.is_cpu) spec.cluster.num_nodes = static_cast<int>(nodes);
  return {};
}

// Applies --cluster and --set and validates; false when what comes out is no spec.
bool finish(Cli& cli, const ImportArguments& args, spec::RunSpec& spec) {
  if (const Result<void> set = set_cluster(args.cluster, spec); !set) {
    cli.fail(set.error());
    return false;
  }
  for (const std::string& item : args.overrides) {
    const auto equals = item.find('=');
    const Result<void> set =
        equals == std::string::npos || equals == 0
            ? Result<void>(tera::fail(ErrorCode::invalid_input,
                                      fmt::format("--set: got '{}', expected PATH=VALUE", item),
                                      "for example --set training.num_steps=100"))
            : spec::set_field(spec, item.substr(0, equals), item.substr(equals + 1));
    if (set) continue;
    cli.fail(set.error());
    return false;
  }
  std::vector<Diagnostic> errors;
  for (const Diagnostic& d : spec::validate(spec))
    if (d.severity == Severity::error) errors.push_back(d);
  cli.report("the imported spec", errors);
  return errors.empty();
}

bool read_files(Cli& cli, const ImportArguments& args, std::vector<spec::ConfigFile>& files) {
  constexpr std::uint64_t kMaxBytes = 1 << 20;
  for (const std::string& name : args.files) {
    const Result<std::string> text = read_text(posix_vfs(), name, kMaxBytes);
    if (!text) {
      cli.fail(text.error());
      return false;
    }
    files.push_back({name, *text});
  }
  return true;
}

void import(Cli& cli, const ImportArguments& args) {
  std::vector<spec::ConfigFile> files;
  if (!read_files(cli, args, files)) return;
  spec::ImportOptions options{.onto = {}, .num_gpus = args.num_gpus};
  if (!args.onto.empty() && !load_spec(cli, args.onto, {}, options.onto)) return;
  if (!args.cluster.empty()) options.onto.cluster = {};  // finish() sets the one that is named
  const spec::ConfigFormat format =
      enum_from_name<spec::ConfigFormat>(args.from).value_or(spec::guess_format(files.front()));
  spec::ImportedConfig imported = spec::import_config(format, files, options);
  for (const spec::ImportFinding& found : imported.findings)
    cli.report(args.files[found.file], {found.diagnostic});
  if (!imported.ok() || !finish(cli, args, imported.spec)) return;
  const std::string text = fmt::format("# From {}.\n", fmt::join(args.files, ", ")) +
                           spec::to_template_yaml(imported.spec);
  if (!args.output.empty()) {
    const Result<void> written = write_new_file(args.output, text, args.force);
    if (!written) return cli.fail(written.error());
  }
  report_left_out(imported.left_out);
  if (cli.json) {
    nlohmann::ordered_json document;
    document["schema"] = "teragpt.import/1";
    document["format"] = enum_name(format);
    document["file"] = args.output;
    document["spec"] = to_json(imported.spec);
    document["left_out"] = to_json(imported.left_out);
    std::vector<Diagnostic> diagnostics;
    for (spec::ImportFinding& found : imported.findings)
      diagnostics.push_back(std::move(found.diagnostic));
    document["diagnostics"] = to_json(diagnostics);
    cli.print_json(document);
  } else if (args.output.empty()) {
    fmt::print("{}", text);
  } else {
    fmt::print("wrote {}\nnext:  teragpt plan {}\n", args.output, args.output);
  }
}

}  // namespace

void add_import_command(CLI::App& root, Cli& cli) {
  auto args = std::make_shared<ImportArguments>();
  CLI::App* verb = root.add_subcommand("import", "Make a spec of another project's configuration");
  verb->add_option("FILE", args->files, "Launch script or arguments, JSON, YAML or TOML")
      ->required();
  verb->add_option("--from", args->from, "Project it is of; without, by the file")
      ->check(one_of(config_format_names()));
  verb->add_option("--gpus", args->num_gpus, "GPUs of the run, where the files do not say")
      ->check(at_least(1, 1 << 30));
  verb->add_option("--cluster", args->cluster, "Preset of the machines it is planned for")
      ->type_name("NAME");
  verb->add_option("--onto", args->onto, "Spec that keeps what the files say nothing about")
      ->type_name("SPEC");
  add_set_option(*verb, args->overrides);
  verb->add_option("-o,--output", args->output, "Spec to write; without, it is printed")
      ->type_name("FILE");
  verb->add_flag("--force", args->force, "Replace an existing file");
  verb->footer(
      "Examples:\n"
      "  teragpt import pretrain.sh --cluster h100-ib -o my-run.yaml\n"
      "  teragpt import 20B.yml cluster.yml --from gpt-neox\n"
      "  teragpt import ds_config.json --onto my-run.yaml --gpus 64\n"
      "What has no place in a spec is listed on stderr.");
  verb->callback([args, &cli] { import(cli, *args); });
}

}  // namespace tera::app
