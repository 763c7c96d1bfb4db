#include "core/spec/interchange/megatron_layout.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

namespace tera::spec {
namespace {

// The text with its repetitions written out: "Et|(tt|)*2mL" is "Et|tt|tt|mL".
class LayoutReader {
 public:
  explicit LayoutReader(std::string_view text) : text_(text) {}

  Result<std::string> read() {
    TERA_TRY(std::string all, sequence(0));
    if (at_ < text_.size()) return wrong("a ')' that closes nothing");
    return all;
  }

 private:
  static constexpr std::size_t kMost = 1 << 16;  // letters
  static constexpr int kDeepest = 16;            // brackets

  tl::unexpected<Error> wrong(std::string message) const {
    return fail(ErrorCode::invalid_input, std::move(message), "for example Et|(tt|)*30mL");
  }

  Result<std::string> sequence(int depth) {
    std::string all;
    while (at_ < text_.size() && text_[at_] != ')') {
      const char c = text_[at_++];
      if (c == ',' || std::isspace(static_cast<unsigned char>(c)) != 0) continue;
      std::string part(1, c);
      if (c == '(') {
        if (depth == kDeepest) return wrong("too many brackets in each other");
        TERA_TRY(part, sequence(depth + 1));
        if (at_ == text_.size()) return wrong("a '(' that nothing closes");
        ++at_;
      } else if (std::string_view("EtmL|").find(c) == std::string_view::npos) {
        return wrong(fmt::format("got '{}', expected E, t, m, L, |, brackets or a repetition", c));
      }
      TERA_TRY(const std::size_t times, repetition());
      if (part.size() * times + all.size() > kMost) return wrong("too many layers");
      for (std::size_t i = 0; i < times; ++i)
        all += part;
    }
    return all;
  }

  Result<std::size_t> repetition() {
    if (at_ >= text_.size() || text_[at_] != '*') return std::size_t{1};
    const char* const begin = text_.data() + at_ + 1;
    std::size_t times = 0;
    const auto parsed = std::from_chars(begin, text_.data() + text_.size(), times);
    if (parsed.ec != std::errc() || times > kMost)
      return wrong(fmt::format("expected a number up to {} behind '*'", kMost));
    at_ += 1 + static_cast<std::size_t>(parsed.ptr - begin);
    return times;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<ChunkLayers> parse_chunk_layers(std::string_view text, const ModelConfig& model) {
  TERA_TRY(const std::string all, LayoutReader(text).read());
  const auto count = [&all](char c) { return std::count(all.begin(), all.end(), c); };
  const struct {
    char letter;
    const char* what;
    std::int64_t expected;
  } parts[] = {{'E', "embeddings", 1},
               {'t', "layers", model.num_layers},
               {'m', "layers of multi-token prediction", model.num_mtp_layers},
               {'L', "losses", 1}};
  for (const auto& part : parts) {
    if (count(part.letter) == part.expected) continue;
    return fail(ErrorCode::invalid_input,
                fmt::format("{} has {} {} ({}), expected {}", text, count(part.letter), part.what,
                            part.letter, part.expected),
                "name each layer once");
  }
  if (all.front() != 'E' || all.back() != 'L') {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: the embedding is not the first, or the loss not the last", text),
                "begin with E and end with L");
  }
  ChunkLayers chunks{.layers = {0}};
  for (const char c : all) {
    if (c == '|') {
      chunks.layers.push_back(0);
    } else if (c == 't') {
      ++chunks.layers.back();
    }
  }
  const std::size_t prediction = all.find('m');
  const std::size_t last = all.rfind('|');
  chunks.usual_ends =
      prediction == std::string::npos || last == std::string::npos || prediction > last;
  return chunks;
}

std::string chunk_layers_text(const std::vector<int>& layers, const ModelConfig& model) {
  std::string text = "E";
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (i > 0) text += '|';
    text.append(static_cast<std::size_t>(layers[i]), 't');
  }
  return text + std::string(static_cast<std::size_t>(model.num_mtp_layers), 'm') + "L";
}

}  // namespace tera::spec
