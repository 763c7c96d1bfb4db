// teragpt eval: how good a model is: loss over text, and tasks.
#include <functional>

#include <fmt/format.h>

#include "app/teragpt/checkpoint_model.h"
#include "app/teragpt/cli.h"
#include "app/teragpt/logits_file.h"
#include "core/base/json_read.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/infer/eval_corpus.h"
#include "core/infer/eval_task.h"
#include "core/infer/generate.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

struct EvalArguments {
  ModelArguments model;
  std::vector<std::string> tasks;
  std::vector<std::string> data;
  std::string split = "valid";
  std::string tokens;
  std::string dump_logits;
  int seq = 0;
  std::int64_t limit = 0;
};

ordered_json to_json(const std::vector<infer::Metric>& metrics) {
  ordered_json object = ordered_json::object();
  for (const infer::Metric& metric : metrics) {
    object[metric.name] = {
        {"value", metric.value},
        {"standard_error",
         metric.standard_error ? ordered_json(*metric.standard_error) : ordered_json(nullptr)}};
  }
  return object;
}

ordered_json to_json(const infer::TaskResult& result) {
  ordered_json row = {{"kind", "task"},
                      {"name", result.name},
                      {"format", enum_name(result.format)},
                      {"few_shot", result.few_shot},
                      {"items", result.items},
                      {"metrics", to_json(result.metrics)}};
  for (const infer::TaskResult::Group& group : result.groups) {
    row["groups"].push_back(
        {{"name", group.name}, {"items", group.items}, {"metrics", to_json(group.metrics)}});
  }
  return row;
}

ordered_json to_json(const char* kind, const std::string& name, const infer::CorpusLoss& loss) {
  std::vector<infer::Metric> metrics = {{"loss", loss.loss, {}},
                                        {"perplexity", loss.perplexity, {}}};
  if (loss.bits_per_byte) metrics.push_back({"bits_per_byte", *loss.bits_per_byte, {}});
  return {{"kind", kind},
          {"name", name},
          {"tokens", loss.tokens},
          {"bytes", loss.bytes},
          {"metrics", to_json(metrics)}};
}

void print_metrics(const ordered_json& metrics, const char* indent) {
  for (const auto& [name, metric] : metrics.items()) {
    const ordered_json& error = metric["standard_error"];
    fmt::print("{}{:<16} {:.4f}{}\n", indent, name, metric["value"].get<double>(),
               error.is_null() ? "" : fmt::format(" +- {:.4f}", error.get<double>()));
  }
}

void print_row(const ordered_json& row) {
  const bool task = row["kind"] == "task";
  fmt::print(
      "{}: {} {}{}\n", row["name"].get<std::string>(),
      format_integer(row[task ? "items" : "tokens"].get<std::int64_t>()), task ? "items" : "tokens",
      task && row["few_shot"] > 0 ? fmt::format(", {} shots", row["few_shot"].get<int>()) : "");
  print_metrics(row["metrics"], "  ");
  if (!row.contains("groups")) return;
  for (const ordered_json& group : row["groups"]) {
    fmt::print("  {}: {} items\n", group["name"].get<std::string>(),
               format_integer(group["items"].get<std::int64_t>()));
    print_metrics(group["metrics"], "    ");
  }
}

constexpr const char* kIdsHint = "write lists of token ids: [[1, 2, 3], [4, 5, 6]]";

Result<std::vector<std::vector<std::int32_t>>> read_ids(const std::string& file) {
  TERA_TRY(const std::string text, read_text(posix_vfs(), file, std::uint64_t{256} << 20U));
  const Result<nlohmann::json> lists = tera::parse_json(text, {.max_bytes = text.size() + 1});
  if (!lists)
    return fail(lists.error().code, fmt::format("{}: {}", file, lists.error().message), kIdsHint);
  const auto wrong = [&](const std::string& what) {
    return fail(ErrorCode::invalid_input, fmt::format("{}: {}", file, what), kIdsHint);
  };
  if (!lists->is_array()) return wrong("not a list of lists");
  std::vector<std::vector<std::int32_t>> sequences;
  for (const nlohmann::json& list : *lists) {
    if (!list.is_array()) return wrong("not a list of lists");
    std::vector<std::int32_t>& sequence = sequences.emplace_back();
    for (const nlohmann::json& id : list) {
      if (!id.is_number_integer() || id < INT32_MIN || id > INT32_MAX)
        return wrong(fmt::format("{} is no token id", id.dump()));
      sequence.push_back(id.get<std::int32_t>());
    }
  }
  return sequences;
}

// Runs what was asked for, row by row.
class Evaluation {
 public:
  Evaluation(Cli& cli, const EvalArguments& args, CheckpointModel& loaded)
      : cli_(cli), args_(args), loaded_(loaded) {}

  Result<void> run() {
    std::vector<infer::TaskConfig> tasks;  // all of them, before the first is run
    for (const std::string& file : args_.tasks) {
      TERA_TRY(tasks.emplace_back(), infer::load_task(file));
    }
    if (args_.tasks.empty() && args_.data.empty() && args_.tokens.empty()) return run_own_data();
    for (const std::string& prefix : args_.data)
      TERA_TRY_VOID(run_corpus(prefix));
    if (!args_.tokens.empty()) TERA_TRY_VOID(run_tokens());
    for (const infer::TaskConfig& task : tasks)
      TERA_TRY_VOID(run_task(task));
    return {};
  }
  const ordered_json& rows() const { return rows_; }

 private:
  // The held-out text of the run's own datasets.
  Result<void> run_own_data() {
    if (loaded_.spec().data.datasets.empty()) {
      return fail(ErrorCode::invalid_input, "the run has no datasets, and nothing else was named",
                  "name --data PREFIX, --task FILE or --tokens FILE");
    }
    for (const spec::DatasetConfig& dataset : loaded_.spec().data.datasets)
      TERA_TRY_VOID(run_corpus(dataset.path));
    return {};
  }

  Result<void> run_corpus(const std::string& prefix) {
    Progress progress(prefix, "windows");
    const spec::RunSpec& spec = loaded_.spec();
    TERA_TRY(const infer::CorpusLoss loss,
             infer::corpus_loss(loaded_.model(),
                                {.prefix = prefix,
                                 .split = args_.split,
                                 .seq_length = args_.seq > 0 ? args_.seq : spec.training.seq_length,
                                 .cross_document_attention = spec.data.cross_document_attention,
                                 .limit = args_.limit,
                                 .tokenizer = loaded_.tokenizer(),
                                 .on_progress = watcher(progress)}));
    add(to_json("corpus", prefix, loss));
    return {};
  }

  Result<void> run_tokens() {
    TERA_TRY(const std::vector<std::vector<std::int32_t>> sequences, read_ids(args_.tokens));
    std::unique_ptr<LogitsFile> file;
    std::function<Result<void>(const Tensor&)> on_logits;
    if (!args_.dump_logits.empty()) {
      TERA_TRY(file, open_logits(sequences));
      on_logits = [&file](const Tensor& logits) { return file->append(logits); };
    }
    TERA_TRY(const infer::CorpusLoss loss,
             infer::sequence_loss(loaded_.model(), sequences, loaded_.tokenizer(), on_logits));
    if (file) TERA_TRY_VOID(file->finish());
    add(to_json("tokens", args_.tokens, loss));
    return {};
  }

  Result<std::unique_ptr<LogitsFile>> open_logits(
      const std::vector<std::vector<std::int32_t>>& sequences) const {
    for (const std::vector<std::int32_t>& sequence : sequences) {
      if (sequence.size() == sequences.front().size()) continue;
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: sequences of {} and {} tokens, --dump-logits needs one length",
                              args_.tokens, sequences.front().size(), sequence.size()),
                  "give sequences of one length, or leave --dump-logits away");
    }
    if (sequences.empty())
      return fail(ErrorCode::invalid_input, fmt::format("{} holds no sequence", args_.tokens),
                  kIdsHint);
    return LogitsFile::create(args_.dump_logits, std::ssize(sequences),
                              std::ssize(sequences.front()), loaded_.model().config().vocab_size);
  }

  Result<void> run_task(const infer::TaskConfig& task) {
    TERA_TRY(const data::Tokenizer* const tokenizer, loaded_.require_tokenizer());
    TERA_TRY_VOID(infer::check_can_decode(loaded_.model().config()));
    Progress progress(task.name, "items");
    infer::LikelihoodScorer scorer(loaded_.model(), tokenizer->vocab_size());
    TERA_TRY(const infer::TaskResult result,
             infer::run_task(scorer, *tokenizer, task,
                             {.limit = args_.limit, .on_progress = watcher(progress)}));
    add(to_json(result));
    return {};
  }

  static std::function<bool(std::int64_t, std::int64_t)> watcher(Progress& progress) {
    return [&progress](std::int64_t done, std::int64_t total) {
      progress.update(done, total);
      return stop_requests() == 0;
    };
  }

  void add(ordered_json row) {
    if (!cli_.json) print_row(row);
    std::fflush(stdout);
    rows_.push_back(std::move(row));
  }

  Cli& cli_;
  const EvalArguments& args_;
  CheckpointModel& loaded_;
  ordered_json rows_ = ordered_json::array();
};

void run(Cli& cli, const EvalArguments& args) {
  const Result<std::unique_ptr<CheckpointModel>> loaded = CheckpointModel::load(args.model);
  if (!loaded) return cli.fail(loaded.error());
  catch_stop_signals();
  Evaluation evaluation(cli, args, **loaded);
  const Result<void> done = evaluation.run();
  if (!done) return cli.fail(done.error());
  if (!cli.json) return;
  cli.print_json({{"schema", "teragpt.eval/1"},
                  {"checkpoint", args.model.checkpoint},
                  {"step", (*loaded)->step()},
                  {"rows", evaluation.rows()}});
}

}  // namespace

void add_eval_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand(
      "eval", "Loss, perplexity and bits per byte over text, and scores of tasks");
  auto args = std::make_shared<EvalArguments>();
  add_model_options(*verb, args->model);
  verb->add_option("--task", args->tasks, "Task file (YAML); may be repeated")
      ->type_name("FILE")
      ->take_all();
  verb->add_option("--data", args->data,
                   "Prefix of token files; may be repeated (default: the run's datasets)")
      ->type_name("PREFIX")
      ->take_all();
  verb->add_option("--split", args->split, "Documents of --data to predict")
      ->check(one_of({"train", "valid", "test"}))
      ->capture_default_str();
  verb->add_option("--tokens", args->tokens, "Lists of token ids (JSON) to predict")
      ->type_name("FILE");
  verb->add_option("--dump-logits", args->dump_logits,
                   "Write the logits [sequences, tokens, vocabulary] of --tokens as safetensors")
      ->type_name("FILE");
  verb->add_option("--seq", args->seq, "Tokens a window of --data reads (default: as in training)")
      ->check(at_least(1));
  verb->add_option("--limit", args->limit, "Windows or items of each at most; 0 = all")
      ->check(at_least(0, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  verb->footer(
      "Example:\n  teragpt eval 20260101-120000-0a1b2c3d --data corpus/books\n"
      "  teragpt eval 20260101-120000-0a1b2c3d --task hellaswag.yaml --limit 500 --json\n"
      "A task file:\n  format: hellaswag   # or arc, boolq, lambada, mmlu, multiple_choice, "
      "openbookqa, "
      "piqa, sciq, text, winogrande\n  data: hellaswag_val.jsonl\n  few_shot: 5\n"
      "  few_shot_data: hellaswag_train.jsonl");
  verb->callback([&cli, args] {
    if (!args->dump_logits.empty() && args->tokens.empty()) {
      return cli.fail({ErrorCode::invalid_input, "--dump-logits without --tokens",
                       "name the ids whose logits are wanted"});
    }
    run(cli, *args);
  });
}

}  // namespace tera::app
