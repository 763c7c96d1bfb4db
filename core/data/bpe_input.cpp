#include "core/data/bpe_input.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/data/document.h"
#include "core/data/line_reader.h"

namespace tera::data {

Result<void> add_text_file(const std::filesystem::path& path,
                           BpeTrainer& trainer,
                           const std::function<bool(std::int64_t, std::int64_t)>& on_progress) {
  constexpr std::int64_t kBatchBytes = 16 << 20;
  constexpr std::size_t kTextBytes = 256 << 10;
  const bool jsonl = path.extension() == ".jsonl";
  TERA_TRY(LineReader lines, LineReader::open(path));
  std::vector<std::string> texts;
  std::int64_t bytes = 0;
  std::string block;
  const auto flush = [&] {
    trainer.add_texts(texts);
    texts.clear();
    bytes = 0;
    return on_progress(lines.position(), lines.size_bytes());
  };
  const auto stopped = [&] {
    return fail(ErrorCode::failed, fmt::format("stopped while reading {}", path.string()),
                "nothing was written");
  };
  for (std::string_view line;;) {
    TERA_TRY(const bool more, lines.next(line));
    if (!more) break;
    bytes += std::ssize(line);
    if (jsonl) {
      Result<Document> document = parse_document(line, "text", 0, 1 << 30);
      if (!document) {
        return fail(
            ErrorCode::invalid_input,
            fmt::format("{}:{}: {}", path.string(), lines.line_number(), document.error().message),
            "expected one JSON object with \"text\" per line; other text goes by another name");
      }
      texts.push_back(std::move(document->text));
    } else {
      block += line;
      block += '\n';
      if (block.size() >= kTextBytes) texts.push_back(std::exchange(block, {}));
    }
    if (bytes >= kBatchBytes && !flush()) return stopped();
  }
  if (!block.empty()) texts.push_back(std::move(block));
  if (!flush()) return stopped();
  return {};
}

}  // namespace tera::data
