// teragpt ckpt upcycle: a run of a Mixture-of-Experts model that starts from a dense checkpoint.
#include <fmt/format.h>

#include "app/teragpt/checkpoint_model.h"
#include "app/teragpt/run_view.h"
#include "core/checkpoint/saved_spec.h"
#include "core/comm/mesh_groups.h"
#include "core/infer/load_model.h"
#include "core/nn/upcycle.h"
#include "core/plan/param_table.h"
#include "core/spec/validate.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/optimizer.h"
#include "core/train/train_state.h"

namespace tera::app {
namespace {

struct UpcycleArguments {
  std::string dense;
  std::string spec;
  std::string out;
  std::string root;
  nn::UpcycleOptions options;
  std::vector<std::string> overrides;
};

// Root and id of the new run: `out` is a path, or a name under the root; empty takes a new id.
std::pair<std::filesystem::path, std::string> place_of(const UpcycleArguments& args) {
  const std::filesystem::path root =
      args.root.empty() ? run::default_runs_root() : std::filesystem::path(args.root);
  if (args.out.find('/') == std::string::npos) return {root, args.out};
  std::filesystem::path path = std::filesystem::path(args.out).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return {path.parent_path(), path.filename().string()};
}

// The dense weights as f32.
Result<nn::ParamStore> load_dense(const checkpoint::Reader& reader,
                                  const spec::ModelConfig& model,
                                  Backend& backend) {
  nn::ParamStore store(backend, plan::make_param_table(model),
                       {.compute = DType::f32, .gradients = false});
  TERA_TRY_VOID(infer::load_weights(reader, store));
  return store;
}

struct Upcycled {
  run::RunDirectory dir;
  std::filesystem::path checkpoint;
  std::filesystem::path source;
  std::int64_t step = 0;  // of the source
};

Result<Upcycled> upcycle(const UpcycleArguments& args, const spec::RunSpec& spec) {
  TERA_TRY(const checkpoint::Reader reader, open_checkpoint(args.dense));
  TERA_TRY(const spec::RunSpec dense, checkpoint::saved_spec(reader));
  TERA_TRY_VOID(nn::check_upcycle(dense.model, spec.model));
  ThreadPool pool(spec.launch.num_threads);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  const plan::ParamTable table = plan::make_param_table(spec.model);
  // Made in f32 and rounded once; the optimizer's master copies keep the f32 values.
  nn::ParamStore exact(*backend, table, {.compute = DType::f32, .gradients = false});
  {
    TERA_TRY(nn::ParamStore from, load_dense(reader, dense.model, *backend));
    TERA_TRY_VOID(nn::upcycle(dense.model, from, spec.model, exact, args.options));
  }
  nn::ParamStore params(
      *backend, table,
      {.compute = plan::compute_dtype(spec.training.precision), .gradients = false});
  const auto copy = [&](const Tensor& from, const Tensor& to) {
    backend->ops().copy(backend->context(), from, to);
  };
  for (nn::Param& param : params.params())
    copy(exact.get(param.spec.name).value, param.value);
  train::Optimizer optimizer(params, spec);
  for (const train::Optimizer::StateName& state : optimizer.state_names()) {
    if (state.role == "master")
      optimizer.set_state(state.name, state.role, exact.get(state.name).value);
  }

  const auto [root, id] = place_of(args);
  TERA_TRY(run::RunDirectory dir, run::RunDirectory::create(posix_vfs(), root, spec, id));
  const std::unique_ptr<comm::Communicator> world = comm::make_self_communicator();
  comm::MeshGroups groups(*plan::RankMesh::make({}), *world);
  train::TensorParts parts(groups, params, optimizer);
  Result<std::filesystem::path> saved =
      train::save_state(posix_vfs(), dir.checkpoints_dir(), spec, {}, parts);
  if (!saved) {
    static_cast<void>(posix_vfs().remove_all(dir.path()));  // the first error is the one to report
    return tl::unexpected<Error>(std::move(saved).error());
  }
  return Upcycled{std::move(dir), *saved, reader.path(), reader.state().step};
}

void run(Cli& cli, UpcycleArguments args) {
  spec::RunSpec spec;
  if (!load_spec(cli, args.spec, args.overrides, spec)) return;
  const std::vector<Diagnostic> engine = spec::validate_for_engine(spec);
  if (has_errors(engine)) return cli.report(args.spec, engine);
  args.options.seed = spec.seed;
  const Result<Upcycled> made = upcycle(args, spec);
  if (!made) return cli.fail(made.error());
  const bool keeps = nn::keeps_outputs(spec.model, args.options);
  if (cli.json) {
    return cli.print_json({{"schema", "teragpt.ckpt_upcycle/1"},
                           {"run", made->dir.id()},
                           {"path", made->dir.path().string()},
                           {"checkpoint", made->checkpoint.string()},
                           {"source", made->source.string()},
                           {"source_step", made->step},
                           {"num_experts", spec.model.num_experts},
                           {"keeps_outputs", keeps}});
  }
  fmt::print("run {}\n", made->dir.path().string());
  fmt::print("{} experts per layer from step {} of {}\n", spec.model.num_experts, made->step,
             made->source.string());
  fmt::print("before training {}\n",
             keeps ? "it computes what the dense model does"
                   : "its outputs differ from the dense model's: router_renormalize true, "
                     "routed_scaling_factor 1 and no noise keep them");
  fmt::print("train it with: teragpt train --run {} --resume\n",
             args.out.empty() ? made->dir.id() : made->dir.path().string());
}

}  // namespace

void add_upcycle_command(CLI::App& group, Cli& cli) {
  auto* verb = group.add_subcommand(
      "upcycle", "Start a Mixture-of-Experts run from a dense checkpoint: experts are its copies");
  auto args = std::make_shared<UpcycleArguments>();
  verb->add_option("DENSE", args->dense, "Checkpoint, run directory or run id of a dense model")
      ->required();
  verb->add_option("SPEC", args->spec, "Spec file (YAML) of the run with experts")->required();
  verb->add_option("-o,--out", args->out, "Directory or name of the new run (default: a new id)")
      ->type_name("RUN");
  verb->add_option("--noise-std", args->options.noise_std,
                   "Standard deviation of normal noise on the experts (default: 0)")
      ->check(CLI::Range(0.0, 100.0));
  verb->add_option("--noise-share", args->options.noise_share,
                   "Share of the elements that get noise (default: 1)")
      ->check(CLI::Range(0.0, 1.0));
  add_root_option(*verb, args->root);
  add_set_option(*verb, args->overrides);
  verb->footer(
      "Example:\n  teragpt ckpt upcycle 20260101-120000-0a1b2c3d moe.yaml -o runs/upcycled\n"
      "  teragpt train --run runs/upcycled --resume\n"
      "Source: Komatsuzaki et al. 2022, Sparse Upcycling.");
  verb->callback([&cli, args] { run(cli, *args); });
}

}  // namespace tera::app
