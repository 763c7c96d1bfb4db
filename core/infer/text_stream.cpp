#include "core/infer/text_stream.h"

#include <algorithm>

#include "core/data/prepare.h"

namespace tera::infer {
namespace {

// Bytes at the end that begin a character and lack its rest.
std::size_t unfinished_character(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;  // inside a character: look further back
    if (byte < 0xC0U || byte > 0xF4U) return 0;
    const std::size_t length = byte >= 0xF0U ? 4 : byte >= 0xE0U ? 3 : 2;
    return length > back ? back : 0;
  }
  return 0;
}

// The longest end of the text that the stop string begins with.
std::size_t begun(std::string_view text, std::string_view stop) {
  std::size_t size = std::min(text.size(), stop.size() - 1);
  while (size > 0 && text.substr(text.size() - size) != stop.substr(0, size))
    --size;
  return size;
}

}  // namespace

std::string TextStream::add(std::string_view bytes) {
  if (stopped_) return {};
  pending_ += bytes;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_)
    first = std::min(first, pending_.find(stop));
  if (first == std::string::npos) return pass_on(pending_.size() - held_back());
  stopped_ = true;
  std::string text = pass_on(first);
  pending_.clear();
  return text;
}

std::string TextStream::finish() {
  return pass_on(pending_.size());
}

// Stop strings are text, so what one begins with begins with a whole character.
std::size_t TextStream::held_back() const {
  std::size_t held = unfinished_character(pending_);
  for (const std::string& stop : stops_)
    held = std::max(held, begun(pending_, stop));
  return held;
}

std::string TextStream::pass_on(std::size_t count) {
  std::string text = pending_.substr(0, count);
  pending_.erase(0, count);
  data::replace_invalid_utf8(text);
  return text;
}

}  // namespace tera::infer
