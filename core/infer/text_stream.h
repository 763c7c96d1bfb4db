// TextStream: the bytes of tokens become text that may be shown: whole characters, and nothing that
// may be the beginning of a stop string, wherever tokens end.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tera::infer {

class TextStream {
 public:
  // Text ends before the first of these; none of them is empty.
  explicit TextStream(std::span<const std::string> stops) : stops_(stops.begin(), stops.end()) {}

  // Takes the bytes of the next token; returns the text they complete, often none. Bytes that
  // belong to no character become U+FFFD. Nothing is taken after a stop string.
  std::string add(std::string_view bytes);
  // What was held back; half a character becomes U+FFFD.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::string pass_on(std::size_t count);
  std::size_t held_back() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace tera::infer
