#include "app/teragpt/demo_data.h"

#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/resources.h"
#include "core/base/thread_pool.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/data/bpe_input.h"
#include "core/data/prepare.h"
#include "core/data/tokenize.h"
#include "core/spec/yaml.h"

namespace tera::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSpecName = "tiny-moe.yaml";

Result<void> prepare_documents(const fs::path& prefix) {
  if (fs::exists(prefix.string() + ".docs.json")) return {};
  Progress progress("reading text", "B");
  data::PrepareOptions options;
  options.debian_packages = {"bible-kjv", "jargon-text", "dict-devil"};
  options.prefix = prefix;
  options.overwrite = true;
  options.tool_version = TERA_VERSION;
  options.on_progress = [&](std::int64_t bytes) {
    progress.update(bytes, 0);
    return stop_requests().load() == 0;
  };
  TERA_TRY(const data::Manifest manifest, data::prepare(posix_vfs(), options));
  fmt::print(stderr, "text: {} documents, {}\n", format_integer(manifest.documents),
             format_bytes(static_cast<double>(manifest.utf8_bytes)));
  return {};
}

Result<void> make_tokenizer(const fs::path& documents, const fs::path& target, ThreadPool& pool) {
  if (fs::exists(target)) return {};
  TERA_TRY(const fs::path preset, resource_path(std::string("runs/") + kSpecName));
  const spec::ParsedSpec parsed = spec::load_run_spec(preset);
  Progress progress("training tokenizer", "merges");
  data::BpeTrainerOptions options;
  options.vocab_size = parsed.spec.model.vocab_size;
  const auto on_progress = [&](std::int64_t done, std::int64_t total) {
    progress.update(done, total);
    return stop_requests().load() == 0;
  };
  TERA_TRY(data::BpeTrainer trainer, data::BpeTrainer::create(options, pool));
  TERA_TRY_VOID(data::add_text_file(
      documents, trainer, [](std::int64_t, std::int64_t) { return stop_requests().load() == 0; }));
  TERA_TRY(const data::TokenizerFile file, trainer.train(on_progress));
  return write_file_atomic(posix_vfs(), target, data::write_tokenizer_file(file));
}

Result<void> make_tokens(const fs::path& documents,
                         const fs::path& tokenizer,
                         const fs::path& prefix,
                         ThreadPool& pool) {
  if (fs::exists(prefix.string() + ".tgd.json")) return {};
  Progress progress("tokenizing", "documents");
  data::TokenizeOptions options;
  options.documents = documents;
  options.tokenizer = tokenizer;
  options.prefix = prefix;
  options.valid_share = 0.02;
  options.overwrite = true;
  options.tool_version = TERA_VERSION;
  options.on_progress = [&](std::int64_t done, std::int64_t total) {
    progress.update(done, total);
    return stop_requests().load() == 0;
  };
  TERA_TRY(const data::Manifest manifest, data::tokenize(posix_vfs(), pool, options));
  fmt::print(stderr, "tokens: {}\n", format_integer(manifest.tokens));
  return {};
}

}  // namespace

fs::path default_demo_dir() {
  const char* data = std::getenv("XDG_DATA_HOME");
  if (data != nullptr && *data == '/') return fs::path(data) / "teragpt" / "demo";
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr ? home : ".") / ".local" / "share" / "teragpt" / "demo";
}

Result<fs::path> prepare_demo(const fs::path& dir) {
  const fs::path data_dir = dir / "data";
  TERA_TRY_VOID(make_dirs(posix_vfs(), data_dir));
  ThreadPool pool;
  TERA_TRY_VOID(prepare_documents(data_dir / "documents"));
  TERA_TRY_VOID(make_tokenizer(data_dir / "documents.jsonl", data_dir / "tokenizer.json", pool));
  TERA_TRY_VOID(make_tokens(data_dir / "documents.jsonl", data_dir / "tokenizer.json",
                            data_dir / "train", pool));
  const fs::path spec = dir / kSpecName;
  if (!fs::exists(spec)) {
    TERA_TRY(const fs::path preset, resource_path(std::string("runs/") + kSpecName));
    TERA_TRY(const std::string text, read_text(posix_vfs(), preset, 1 << 20));
    TERA_TRY_VOID(write_file_atomic(posix_vfs(), spec, text));
  }
  return spec;
}

}  // namespace tera::app
