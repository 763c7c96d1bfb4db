// teragpt init: writes a commented spec to start from.
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/units.h"
#include "core/plan/param_table.h"
#include "core/spec/presets.h"
#include "core/spec/yaml.h"

namespace tera::app {
namespace {

struct InitOptions {
  std::string preset = "tiny-moe";
  std::string file;  // empty: PRESET.yaml; "-": stdout
  bool list = false;
  bool force = false;
};

Result<std::vector<spec::RunPreset>> all_presets() {
  TERA_TRY(const std::vector<std::string> names, spec::run_preset_names());
  std::vector<spec::RunPreset> presets;
  for (const std::string& name : names) {
    TERA_TRY(spec::RunPreset preset, spec::run_preset(name));
    presets.push_back(std::move(preset));
  }
  return presets;
}

void list_presets(Cli& cli) {
  const auto presets = all_presets();
  if (!presets) return cli.fail(presets.error());
  if (!cli.json) {
    fmt::print("{:<18}{:>12}{:>12}{:>10}  {}\n", "preset", "parameters", "per token", "ranks",
               "description");
  }
  nlohmann::ordered_json listed = nlohmann::ordered_json::array();
  for (const spec::RunPreset& preset : *presets) {
    const plan::ParamCounts counts = plan::count_params(preset.spec.model);
    if (cli.json) {
      listed.push_back({{"name", preset.name},
                        {"title", preset.title},
                        {"total_params", counts.total},
                        {"active_params", counts.active},
                        {"ranks", preset.spec.layout.world_size()},
                        {"device", preset.spec.cluster.device.name}});
    } else {
      fmt::print("{:<18}{:>12}{:>12}{:>10}  {}\n", preset.name,
                 format_count(static_cast<double>(counts.total)),
                 format_count(static_cast<double>(counts.active)),
                 format_integer(preset.spec.layout.world_size()), preset.title);
    }
  }
  if (cli.json) {
    nlohmann::ordered_json document;
    document["schema"] = "teragpt.init/1";
    document["presets"] = std::move(listed);
    cli.print_json(document);
  }
}

void write_spec(Cli& cli, const InitOptions& options) {
  const Result<spec::RunPreset> preset = spec::run_preset(options.preset);
  if (!preset) {
    Error error = preset.error();
    error.hint += "; `teragpt init --list` shows all";
    return cli.fail(error);
  }
  const std::string file = options.file.empty() ? options.preset + ".yaml" : options.file;
  const std::string text = preset->comment + "# Next: `teragpt check " +
                           (file == "-" ? "FILE" : file) + "`, then `teragpt plan`.\n" +
                           spec::to_template_yaml(preset->spec);
  if (file == "-") {
    fmt::print("{}", text);
    return;
  }
  const Result<void> written = write_new_file(file, text, options.force);
  if (!written) return cli.fail(written.error());
  if (cli.json) {
    nlohmann::ordered_json document;
    document["schema"] = "teragpt.init/1";
    document["preset"] = options.preset;
    document["file"] = file;
    cli.print_json(document);
  } else {
    fmt::print("wrote {}\nnext:  teragpt plan {}\n", file, file);
  }
}

}  // namespace

void add_init_command(CLI::App& root, Cli& cli) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* verb = root.add_subcommand("init", "Write a commented spec to start from");
  verb->add_option("--preset", options->preset, "Preset to start from")
      ->type_name("NAME")
      ->capture_default_str();
  verb->add_option("-o,--output", options->file, "File to write; '-' is standard output")
      ->type_name("FILE");
  verb->add_flag("--list", options->list, "List the presets");
  verb->add_flag("--force", options->force, "Replace an existing file");
  verb->footer("Example: teragpt init --preset tiny-moe -o my-run.yaml");
  verb->callback([options, &cli] {
    if (options->list) {
      list_presets(cli);
    } else {
      write_spec(cli, *options);
    }
  });
}

}  // namespace tera::app
