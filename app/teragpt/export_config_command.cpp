// teragpt export-config: a spec as the configuration of another project.
#include <memory>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/spec_json.h"
#include "core/spec/interchange/interchange.h"

namespace tera::app {
namespace {

struct ExportArguments {
  std::string file;
  std::string to;
  std::string output;  // empty: standard output
  std::vector<std::string> overrides;
  bool force = false;
};

// The usual name of such a file.
std::string_view file_name(spec::ConfigFormat format) {
  static constexpr std::array<std::string_view, EnumNames<spec::ConfigFormat>::value.size()>
      kNames = {"pretrain.sh", "ds_config.json", "config.yml", "train.toml", "config.json"};
  return kNames[static_cast<std::size_t>(format)];
}

void export_config(Cli& cli, const ExportArguments& args) {
  spec::RunSpec spec;
  if (!load_spec(cli, args.file, args.overrides, spec)) return;
  const auto format = enum_from_name<spec::ConfigFormat>(args.to).value();
  const Result<spec::ExportedConfig> exported = spec::export_config(spec, format);
  if (!exported) return cli.fail(exported.error());
  if (!args.output.empty()) {
    const Result<void> written = write_new_file(args.output, exported->text, args.force);
    if (!written) return cli.fail(written.error());
  }
  report_left_out(exported->left_out);
  if (cli.json) {
    nlohmann::ordered_json document;
    document["schema"] = "teragpt.export-config/1";
    document["format"] = args.to;
    const std::string name = args.output.empty() ? std::string(file_name(format)) : args.output;
    document["files"] = {{name, exported->text}};
    document["left_out"] = to_json(exported->left_out);
    cli.print_json(document);
  } else if (args.output.empty()) {
    fmt::print("{}", exported->text);
  } else {
    fmt::print("wrote {}\n", args.output);
  }
}

}  // namespace

void add_export_config_command(CLI::App& root, Cli& cli) {
  auto args = std::make_shared<ExportArguments>();
  CLI::App* verb =
      root.add_subcommand("export-config", "Write a spec as another project's configuration");
  verb->add_option("SPEC", args->file, "Run spec (YAML)")->required();
  verb->add_option("--to", args->to, "Project to write it for")
      ->required()
      ->check(one_of(config_format_names()));
  add_set_option(*verb, args->overrides);
  verb->add_option("-o,--output", args->output, "File to write; without, it is printed")
      ->type_name("FILE");
  verb->add_flag("--force", args->force, "Replace an existing file");
  verb->footer(
      "Examples:\n"
      "  teragpt export-config my-run.yaml --to megatron -o pretrain.sh\n"
      "  teragpt export-config my-run.yaml --to deepspeed --json\n"
      "What the other project has no place for is listed on stderr.");
  verb->callback([args, &cli] { export_config(cli, *args); });
}

}  // namespace tera::app
