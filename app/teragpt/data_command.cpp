// teragpt data: from text to token files, and what is in them.
#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/thread_pool.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/data/data_plan.h"
#include "core/data/indexed_dataset.h"
#include "core/data/manifest.h"
#include "core/data/prepare.h"
#include "core/data/provenance.h"
#include "core/data/tokenize.h"
#include "core/data/tokenizer.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

constexpr std::array<const char*, 3> kSplits = {"train", "valid", "test"};

ordered_json source_rows(const data::Manifest& manifest) {
  ordered_json rows = ordered_json::array();
  for (const data::Source& source : manifest.sources) {
    rows.push_back({{"id", source.id},
                    {"version", source.version},
                    {"documents", source.documents},
                    {"utf8_bytes", source.utf8_bytes},
                    {"licence", source.licence.spdx},
                    {"licence_status", source.licence.status},
                    {"evidence", source.licence.evidence_path}});
  }
  return rows;
}

ordered_json manifest_report(const data::Manifest& manifest) {
  ordered_json report{{"name", manifest.name},
                      {"id", manifest.id()},
                      {"documents", manifest.documents},
                      {"utf8_bytes", manifest.utf8_bytes}};
  if (manifest.kind == data::ManifestKind::dataset) {
    report["sequences"] = manifest.sequences;
    report["tokens"] = manifest.tokens;
    report["tokenizer"] = {{"sha256", manifest.tokenizer.sha256},
                           {"vocab", manifest.tokenizer.vocab}};
    for (std::size_t i = 0; i < kSplits.size(); ++i) {
      report["splits"][kSplits[i]] = {manifest.splits[i].first, manifest.splits[i].last};
    }
  }
  for (const data::FileEntry& file : manifest.files) {
    report["files"].push_back(
        {{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  report["sources"] = source_rows(manifest);
  return report;
}

void print_sources(const data::Manifest& manifest) {
  for (const data::Source& source : manifest.sources) {
    fmt::print("  {:<16} {:>9} documents  {:>9}  {} ({})\n", source.id,
               format_integer(source.documents),
               format_bytes(static_cast<double>(source.utf8_bytes)),
               source.licence.spdx.empty() ? "licence unknown" : source.licence.spdx,
               source.licence.status);
  }
}

void add_prepare(CLI::App& verb, Cli& cli) {
  struct Arguments {
    data::PrepareOptions options;
    std::string utf8 = "replace";
    std::vector<std::string> files;
    std::string output;
  };
  auto* sub =
      verb.add_subcommand("prepare", "Raw text to cleaned, deduplicated, shuffled documents");
  auto a = std::make_shared<Arguments>();
  sub->add_option("FILE", a->files, ".txt and .jsonl files");
  sub->add_option("--from-debian", a->options.debian_packages, "Text of an installed package")
      ->type_name("PACKAGE");
  sub->add_option("-o,--output", a->output, "Prefix of OUT.jsonl and OUT.docs.json")->required();
  sub->add_option("--separator", a->options.file_options.separator,
                  "Line that separates documents in .txt files; without it a file is one document");
  sub->add_option("--text-key", a->options.file_options.text_key,
                  "Field of .jsonl that holds the text")
      ->capture_default_str();
  sub->add_option("--licence", a->options.file_options.licence,
                  "SPDX expression you declare for the files; else their licence is unclear");
  sub->add_option("--declared-by", a->options.file_options.declared_by, "Who declares it");
  sub->add_option("--invalid-utf8", a->utf8, "replace (by U+FFFD) or drop (the document)")
      ->check(one_of({"replace", "drop"}))
      ->capture_default_str();
  sub->add_option("--min-bytes", a->options.min_bytes, "Shorter documents are dropped")
      ->check(at_least(0))
      ->capture_default_str();
  sub->add_option("--max-bytes", a->options.max_bytes, "Longer documents are dropped")
      ->check(at_least(1))
      ->capture_default_str();
  sub->add_option("--seed", a->options.seed, "Of the shuffle")
      ->check(at_least(0, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  sub->add_flag("--force", a->options.overwrite, "Overwrite existing files");
  sub->footer(
      "Example:\n  teragpt data prepare --from-debian bible-kjv --from-debian jargon-text -o "
      "corpus");
  sub->callback([&cli, a] {
    catch_stop_signals();
    data::PrepareOptions& options = a->options;
    options.prefix = a->output;
    options.files.assign(a->files.begin(), a->files.end());
    options.invalid_utf8 = a->utf8 == "drop" ? data::InvalidUtf8::drop : data::InvalidUtf8::replace;
    options.tool_version = TERA_VERSION;
    Progress progress("reading", "B");
    options.on_progress = [&](std::int64_t bytes) {
      progress.update(bytes, 0);
      return stop_requests() == 0;
    };
    const Result<data::Manifest> manifest = data::prepare(posix_vfs(), options);
    if (!manifest) return cli.fail(manifest.error());
    const data::ProcessingStep& step = manifest->steps.back();
    if (cli.json) {
      ordered_json report{{"schema", "teragpt.data_prepare/1"}};
      report.update(manifest_report(*manifest));
      report["dropped"] = step.dropped;
      report["replaced_bytes"] = std::stoll(step.options.at("replaced_bytes"));
      return cli.print_json(report);
    }
    fmt::print("{}.jsonl: {} documents, {}\n", a->output, format_integer(manifest->documents),
               format_bytes(static_cast<double>(manifest->utf8_bytes)));
    print_sources(*manifest);
    for (const auto& [reason, count] : step.dropped) {
      fmt::print("  dropped {}: {}\n", reason, format_integer(count));
    }
  });
}

void add_tokenize(CLI::App& verb, Cli& cli) {
  struct Arguments {
    data::TokenizeOptions options;
    std::string documents, tokenizer, output;
    double valid_percent = 0;
    double test_percent = 0;
    int num_threads = 0;
  };
  auto* sub = verb.add_subcommand("tokenize", "Documents to token files with a manifest");
  auto a = std::make_shared<Arguments>();
  sub->add_option("DOCUMENTS", a->documents, ".jsonl, as `data prepare` writes it")->required();
  sub->add_option("--tokenizer", a->tokenizer, "tokenizer.json")->required();
  sub->add_option("-o,--output", a->output, "Prefix of the files written")->required();
  sub->add_option("--valid", a->valid_percent, "Percent of the documents held out for validation")
      ->check(number_between(0, 99));
  sub->add_option("--test", a->test_percent, "Percent of the documents held out for tests")
      ->check(number_between(0, 99));
  sub->add_option("--split-seed", a->options.split_seed, "Of the choice of held-out documents")
      ->check(at_least(0, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  sub->add_option("--threads", a->num_threads, "0 takes all processors")->check(at_least(0, 4096));
  sub->add_flag("--force", a->options.overwrite, "Overwrite existing files");
  sub->footer(
      "Example:\n  teragpt data tokenize corpus.jsonl --tokenizer tokenizer.json --valid 2 -o "
      "corpus");
  sub->callback([&cli, a] {
    catch_stop_signals();
    data::TokenizeOptions& options = a->options;
    options.documents = a->documents;
    options.tokenizer = a->tokenizer;
    options.prefix = a->output;
    options.valid_share = a->valid_percent / 100;
    options.test_share = a->test_percent / 100;
    options.tool_version = TERA_VERSION;
    Progress progress("tokenizing", "documents");
    options.on_progress = [&](std::int64_t done, std::int64_t all) {
      progress.update(done, all);
      return stop_requests() == 0;
    };
    ThreadPool pool(a->num_threads);
    const Result<data::Manifest> manifest = data::tokenize(posix_vfs(), pool, options);
    if (!manifest) return cli.fail(manifest.error());
    if (cli.json) {
      ordered_json report{{"schema", "teragpt.data_tokenize/1"}};
      report.update(manifest_report(*manifest));
      return cli.print_json(report);
    }
    fmt::print("{}.bin: {} tokens in {} documents ({:.2f} bytes per token)\nmanifest {}\n",
               a->output, format_integer(manifest->tokens), format_integer(manifest->documents),
               static_cast<double>(manifest->utf8_bytes) /
                   static_cast<double>(std::max<std::int64_t>(1, manifest->tokens)),
               manifest->id());
  });
}

// The manifest beside a prefix, or beside PREFIX.docs.json when it is of documents.
Result<data::Manifest> load_manifest(const std::string& prefix) {
  const auto tokens = data::with_suffix(prefix, ".tgd.json");
  const auto documents = data::with_suffix(prefix, ".docs.json");
  TERA_TRY(const bool has_tokens, posix_vfs().exists(tokens));
  TERA_TRY(const bool has_documents, posix_vfs().exists(documents));
  if (!has_tokens && !has_documents) {
    return tera::fail(
        ErrorCode::not_found,
        fmt::format("{}: found neither {} nor {}", prefix, tokens.string(), documents.string()),
        "name the prefix without .bin or .idx, as -o of `teragpt data` wrote it");
  }
  return data::Manifest::load(has_tokens ? tokens : documents);
}

void add_inspect(CLI::App& verb, Cli& cli) {
  auto* sub = verb.add_subcommand("inspect", "Counts, splits, sources and licences of a dataset");
  auto prefix = std::make_shared<std::string>();
  sub->add_option("PREFIX", *prefix, "Prefix of the files")->required();
  sub->footer("Example:\n  teragpt data inspect corpus");
  sub->callback([&cli, prefix] {
    const Result<data::Manifest> manifest = load_manifest(*prefix);
    if (!manifest) return cli.fail(manifest.error());
    if (cli.json) {
      ordered_json report{{"schema", "teragpt.data_inspect/1"}};
      report.update(manifest_report(*manifest));
      return cli.print_json(report);
    }
    fmt::print("{}  manifest {}\n", manifest->name, manifest->id());
    fmt::print("  {} documents, {} of text\n", format_integer(manifest->documents),
               format_bytes(static_cast<double>(manifest->utf8_bytes)));
    if (manifest->kind == data::ManifestKind::dataset) {
      fmt::print("  {} tokens, vocabulary of {}\n", format_integer(manifest->tokens),
                 format_integer(manifest->tokenizer.vocab));
      for (std::size_t i = 0; i < kSplits.size(); ++i) {
        fmt::print("  {}: sequences {} to {}\n", kSplits[i], manifest->splits[i].first,
                   manifest->splits[i].last);
      }
    }
    print_sources(*manifest);
  });
}

struct ShowArguments {
  std::string prefix, tokenizer;
  std::int64_t document = 0;
  std::int64_t most_tokens = 512;
};

Result<ordered_json> show(const ShowArguments& a) {
  TERA_TRY(const data::Manifest manifest, load_manifest(a.prefix));
  if (manifest.kind != data::ManifestKind::dataset) {
    return tera::fail(ErrorCode::invalid_input,
                      fmt::format("{}: holds documents, expected token files", a.prefix),
                      fmt::format("make them: teragpt data tokenize {}.jsonl", a.prefix));
  }
  TERA_TRY(const data::IndexedDataset files, data::IndexedDataset::open(a.prefix, &manifest));
  if (a.document >= files.num_documents()) {
    return tera::fail(ErrorCode::invalid_input,
                      fmt::format("--doc: got {}, expected a whole number from 0 to {}", a.document,
                                  files.num_documents() - 1),
                      fmt::format("{} has {} documents", a.prefix, files.num_documents()));
  }
  const std::int64_t first = files.document_start(a.document);
  const std::int64_t size = files.document_start(a.document + 1) - first;
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(std::min(size, a.most_tokens)));
  TERA_TRY_VOID(files.read_tokens(first, tokens));
  ordered_json report{{"schema", "teragpt.data_show/1"},
                      {"document", a.document},
                      {"first_token", first},
                      {"tokens", size},
                      {"ids", tokens}};
  const auto prov = data::with_suffix(a.prefix, ".prov");
  TERA_TRY(const bool has_provenance, posix_vfs().exists(prov));
  if (has_provenance) {
    TERA_TRY(const std::vector<data::ProvenanceRecord> records, data::read_provenance(prov));
    const auto sequence = static_cast<std::size_t>(files.document_sequence(a.document));
    if (sequence < records.size() && records[sequence].source < manifest.sources.size()) {
      report["source"] = manifest.sources[records[sequence].source].id;
      report["ordinal"] = records[sequence].ordinal;
    }
  }
  if (!a.tokenizer.empty()) {
    TERA_TRY(const data::Tokenizer tokenizer, data::Tokenizer::load(a.tokenizer));
    if (tokenizer.sha256() != manifest.tokenizer.sha256) {
      return tera::fail(ErrorCode::invalid_input,
                        fmt::format("{} is not the tokenizer of {}", a.tokenizer, a.prefix),
                        fmt::format("its fingerprint must be {}", manifest.tokenizer.sha256));
    }
    TERA_TRY(report["text"], tokenizer.decode(tokens));
  }
  return report;
}

void add_show(CLI::App& verb, Cli& cli) {
  auto* sub = verb.add_subcommand("show", "One document of a dataset");
  auto a = std::make_shared<ShowArguments>();
  sub->add_option("PREFIX", a->prefix, "Prefix of the token files")->required();
  sub->add_option("--doc", a->document, "Number of the document")->required()->check(at_least(0));
  sub->add_option("--tokenizer", a->tokenizer, "tokenizer.json, to show text");
  sub->add_option("--tokens", a->most_tokens, "Show at most so many")
      ->check(at_least(1, 1 << 24))
      ->capture_default_str();
  sub->footer("Example:\n  teragpt data show corpus --doc 7 --tokenizer tokenizer.json");
  sub->callback([&cli, a] {
    const Result<ordered_json> report = show(*a);
    if (!report) return cli.fail(report.error());
    if (cli.json) return cli.print_json(*report);
    const ordered_json& r = *report;
    fmt::print("document {}: {} tokens from {}", r["document"].get<std::int64_t>(),
               r["tokens"].get<std::int64_t>(), r["first_token"].get<std::int64_t>());
    if (r.contains("source")) {
      fmt::print(", {} #{}", r["source"].get<std::string>(), r["ordinal"].get<std::uint64_t>());
    }
    fmt::print("\n{}\n", r.contains("text")
                             ? r["text"].get<std::string>()
                             : fmt::format("{}", fmt::join(r["ids"].get<std::vector<int>>(), " ")));
  });
}

// Token ids of all documents against the vocabulary: what --deep adds to hashes and structure.
Result<void> check_token_range(const std::string& prefix, const data::Manifest& manifest) {
  TERA_TRY(const data::IndexedDataset files,
           data::IndexedDataset::open(prefix, &manifest, data::VerifyOnRead::off));
  Progress progress("checking ids", "tokens");
  std::vector<std::int32_t> tokens;
  constexpr std::int64_t kChunk = 1 << 20;
  for (std::int64_t at = 0; at < files.num_tokens(); at += std::ssize(tokens)) {
    tokens.resize(static_cast<std::size_t>(std::min(kChunk, files.num_tokens() - at)));
    TERA_TRY_VOID(files.read_tokens(at, tokens));
    const auto largest = std::max_element(tokens.begin(), tokens.end());
    if (*largest >= manifest.tokenizer.vocab) {
      return tera::fail(
          ErrorCode::corrupt,
          fmt::format("{}.bin: token {} has id {}, expected below the vocabulary's {}", prefix,
                      at + (largest - tokens.begin()), *largest, manifest.tokenizer.vocab));
    }
    progress.update(at, files.num_tokens());
  }
  return {};
}

void add_verify(CLI::App& verb, Cli& cli) {
  struct Arguments {
    std::string prefix;
    bool deep = false;
  };
  auto* sub = verb.add_subcommand("verify", "Are the files what the manifest says?");
  auto a = std::make_shared<Arguments>();
  sub->add_option("PREFIX", a->prefix, "Prefix of the files")->required();
  sub->add_flag("--deep", a->deep, "Read every byte: hashes and token ids");
  sub->footer("Example:\n  teragpt data verify corpus --deep");
  sub->callback([&cli, a] {
    const Result<data::Manifest> manifest = load_manifest(a->prefix);
    if (!manifest) return cli.fail(manifest.error());
    std::vector<std::string> faults;
    const auto note = [&](const Result<void>& result) {
      if (!result) faults.push_back(result.error().message);
    };
    const auto folder = std::filesystem::path(a->prefix).parent_path();
    for (const data::FileEntry& file : manifest->files) {
      note(data::verify_file(folder, file, a->deep));
    }
    if (manifest->kind == data::ManifestKind::dataset && faults.empty()) {
      if (a->deep) {
        note(check_token_range(a->prefix, *manifest));
        const auto records = data::read_provenance(data::with_suffix(a->prefix, ".prov"));
        if (!records) faults.push_back(records.error().message);
      } else if (const auto files = data::IndexedDataset::open(a->prefix); !files) {
        faults.push_back(files.error().message);
      }
    }
    if (!faults.empty()) cli.exit_code = exit_no;
    if (cli.json) {
      return cli.print_json({{"schema", "teragpt.data_verify/1"},
                             {"id", manifest->id()},
                             {"deep", a->deep},
                             {"ok", faults.empty()},
                             {"faults", faults}});
    }
    for (const std::string& fault : faults)
      cli.fail({ErrorCode::corrupt, fault, {}});
    if (faults.empty()) {
      fmt::print("{}: {} files {}\n", a->prefix, manifest->files.size(),
                 a->deep ? "verified to the byte" : "have the right sizes and structure");
    }
  });
}

struct OrderArguments {
  std::string spec;
  std::vector<std::string> overrides;
  std::string steps = "0..10";
  std::string chain_before;
};

// "a..b": steps a up to and without b.
Result<std::pair<std::int64_t, std::int64_t>> parse_steps(const std::string& text) {
  const std::size_t dots = text.find("..");
  const auto number = [](const std::string& digits) -> std::int64_t {
    const bool good = !digits.empty() && digits.size() <= 15 &&
                      digits.find_first_not_of("0123456789") == std::string::npos;
    return good ? std::stoll(digits) : -1;
  };
  const std::int64_t first = dots == std::string::npos ? -1 : number(text.substr(0, dots));
  const std::int64_t last = dots == std::string::npos ? -1 : number(text.substr(dots + 2));
  if (first < 0 || last <= first) {
    return tera::fail(
        ErrorCode::invalid_input,
        fmt::format("--steps: got '{}', expected FIRST..LAST, without the last", text),
        "for example --steps 0..100");
  }
  return std::pair(first, last);
}

// The hash chain of the steps, from the data alone; prints each step as it is known.
Result<void> verify_order(const spec::RunSpec& spec, const OrderArguments& a, const Cli& cli) {
  TERA_TRY(const auto steps, parse_steps(a.steps));
  TERA_TRY(const data::DataPlan plan, data::DataPlan::open(spec));
  TERA_TRY(data::HashChain chain, data::HashChain::parse(a.chain_before));
  if (steps.first > 0 && a.chain_before.empty()) {
    return tera::fail(
        ErrorCode::invalid_input,
        fmt::format("--steps: got {}, which needs the chain of step {}", a.steps, steps.first - 1),
        "give it with --chain, or begin at step 0");
  }
  data::BlockTable table;
  data::Sample sample;
  std::string bytes;
  for (std::int64_t step = steps.first; step < steps.second; ++step) {
    TERA_TRY_VOID(check_stop("data verify-order", "--steps and --chain go on from the last line"));
    bytes.clear();
    const spec::StepSamples samples = plan.samples_of(step);
    for (std::int64_t x = 0; x < samples.count; ++x) {
      TERA_TRY_VOID(plan.read_sample(samples.first + x, table, sample));
      for (const std::int32_t token : sample.tokens)
        append_le(bytes, token);
    }
    chain.advance(bytes);
    if (cli.json) {
      cli.print_json_line({{"schema", "teragpt.data_order/1"},
                           {"step", step},
                           {"chain", chain.hex()},
                           {"plan_hash", plan.plan_hash()}});
    } else {
      fmt::print("{:>8}  {}\n", step, chain.hex());
    }
  }
  return {};
}

void add_verify_order(CLI::App& verb, Cli& cli) {
  auto* sub = verb.add_subcommand("verify-order", "The hash chain of steps, from the data alone");
  auto a = std::make_shared<OrderArguments>();
  sub->add_option("SPEC", a->spec, "Run specification")->required();
  sub->add_option("--steps", a->steps, "FIRST..LAST, without the last")->capture_default_str();
  sub->add_option("--chain", a->chain_before, "Chain of the step before the first");
  add_set_option(*sub, a->overrides);
  sub->footer("Example:\n  teragpt data verify-order run.yaml --steps 0..100");
  sub->callback([&cli, a] {
    catch_stop_signals();
    spec::RunSpec spec;
    if (!load_spec(cli, a->spec, a->overrides, spec)) return;
    if (const Result<void> done = verify_order(spec, *a, cli); !done) cli.fail(done.error());
  });
}

}  // namespace

void add_data_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("data", "Text to token files, and what is in them");
  verb->require_subcommand(1);
  verb->footer("Example:\n  teragpt data prepare --from-debian bible-kjv -o corpus");
  add_prepare(*verb, cli);
  add_tokenize(*verb, cli);
  add_inspect(*verb, cli);
  add_show(*verb, cli);
  add_verify(*verb, cli);
  add_verify_order(*verb, cli);
}

}  // namespace tera::app
