#include "core/spec/yaml_tree.h"

#include <algorithm>
#include <array>
#include <istream>
#include <map>
#include <optional>
#include <streambuf>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

namespace tera::spec {
namespace {

// What stops the reading; caught in parse_yaml_tree, never leaves this file.
struct Stop {
  Diagnostic diagnostic;
};

[[noreturn]] void stop(int line, int column, std::string message, std::string hint) {
  throw Stop{{.severity = Severity::error,
              .field = {},
              .message = std::move(message),
              .hint = std::move(hint),
              .line = line,
              .column = column}};
}

// Nodes and bytes of a subtree: what an alias to it adds.
struct Weight {
  std::int64_t nodes = 0;
  std::int64_t bytes = 0;
};
Weight weigh(const YamlNode& node) {
  Weight weight{1, static_cast<std::int64_t>(node.text.size())};
  const auto add = [&weight](const Weight& part) {
    weight.nodes += part.nodes;
    weight.bytes += part.bytes;
  };
  for (const YamlNode& item : node.items)
    add(weigh(item));
  for (const YamlEntry& entry : node.entries) {
    add({1, static_cast<std::int64_t>(entry.key.size())});
    add(weigh(entry.value));
  }
  return weight;
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const YamlLimits& limits, std::vector<Diagnostic>& diagnostics)
      : limits_(limits), diagnostics_(diagnostics) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++num_documents_ > 1) {
      stop(mark.line + 1, mark.column + 1, "got a second document, expected one",
           "remove everything from the line '---' on");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(YamlNode::Kind::null, mark), anchor);
  }

  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    check_scalar(mark, value);
    YamlNode node = make(YamlNode::Kind::scalar, mark);
    node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!node.quoted && (value.empty() || value == "~" || value == "null")) {
      node.kind = YamlNode::Kind::null;
    }
    node.text = value;
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (++num_aliases_ > limits_.max_aliases) {
      stop(mark.line + 1, mark.column + 1, fmt::format("more than {} aliases", limits_.max_aliases),
           "write the values out");
    }
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      stop(mark.line + 1, mark.column + 1, "an alias stands inside the value it names",
           "write the value out");
    }
    const Weight weight = weigh(found->second);
    count(mark.line + 1, mark.column + 1, weight.nodes, weight.bytes);
    attach(found->second);
  }

  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open(make(YamlNode::Kind::list, mark), anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark,
                  const std::string& tag,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open(make(YamlNode::Kind::map, mark), anchor);
  }
  void OnMapEnd() override { close(); }

  YamlNode take_root() { return std::move(root_); }

 private:
  struct Frame {
    YamlNode node;
    YAML::anchor_t anchor = 0;
    std::optional<YamlEntry> key;  // of a map: read, its value still to come
    bool skip_value = false;       // the key was a duplicate
  };

  YamlNode make(YamlNode::Kind kind, const YAML::Mark& mark) {
    count(mark.line + 1, mark.column + 1, 1, 0);
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  // Aliases may expand a text at most tenfold.
  void count(int line, int column, std::int64_t nodes, std::int64_t bytes) {
    num_nodes_ += nodes;
    num_bytes_ += bytes;
    if (num_nodes_ > limits_.max_nodes || num_bytes_ > 10 * limits_.max_bytes) {
      stop(line, column, fmt::format("more than {} values", limits_.max_nodes),
           "a spec needs a few hundred; check that this is the right file");
    }
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) const {
    static constexpr std::array<std::string_view, 10> kKnown = {"",
                                                                "?",
                                                                "!",
                                                                "tag:yaml.org,2002:str",
                                                                "tag:yaml.org,2002:int",
                                                                "tag:yaml.org,2002:float",
                                                                "tag:yaml.org,2002:bool",
                                                                "tag:yaml.org,2002:null",
                                                                "tag:yaml.org,2002:map",
                                                                "tag:yaml.org,2002:seq"};
    if (std::find(kKnown.begin(), kKnown.end(), tag) == kKnown.end()) {
      stop(mark.line + 1, mark.column + 1, fmt::format("unknown tag '{}'", tag.substr(0, 64)),
           "remove the tag: values need none");
    }
  }

  void check_scalar(const YAML::Mark& mark, const std::string& value) {
    const auto size = static_cast<std::int64_t>(value.size());
    if (size > limits_.max_scalar_bytes) {
      stop(mark.line + 1, mark.column + 1,
           fmt::format("a value of {} bytes, expected at most {}", size, limits_.max_scalar_bytes),
           "check that this is the right file");
    }
    if (value.find('\0') != std::string::npos) {
      stop(mark.line + 1, mark.column + 1, "a value that holds a zero byte", "remove the \\0");
    }
    count(mark.line + 1, mark.column + 1, 0, size);
  }

  void add(YamlNode node, YAML::anchor_t anchor) {
    if (wants_key()) {
      take_key(std::move(node));
      return;
    }
    if (anchor != 0) anchors_[anchor] = node;
    attach(std::move(node));
  }

  bool wants_key() const {
    return !stack_.empty() && stack_.back().node.kind == YamlNode::Kind::map && !stack_.back().key;
  }

  void take_key(YamlNode node) {
    if (node.kind != YamlNode::Kind::scalar) {
      stop(node.line, node.column, fmt::format("got {} as a key, expected a word", describe(node)),
           "write `key: value`");
    }
    if (node.text == "<<" && !node.quoted) {
      stop(node.line, node.column, "merge keys (<<) are not supported",
           "write the values out, or use `preset:`");
    }
    Frame& frame = stack_.back();
    if (const YamlEntry* first = frame.node.find(node.text)) {
      frame.skip_value = true;
      diagnostics_.push_back(
          {.severity = Severity::error,
           .field = path_of(node.text),
           .message = fmt::format("given twice; the first is on line {}", first->line),
           .hint = "remove one of them",
           .line = node.line,
           .column = node.column});
    }
    frame.key = YamlEntry{std::move(node.text), node.line, node.column, {}};
  }

  // "training.seq_length" for a key of the innermost section.
  std::string path_of(std::string_view key) const {
    constexpr std::size_t kShown = 128;
    std::string path;
    for (const Frame& frame : stack_) {
      if (frame.key) path += frame.key->key + ".";
    }
    return (path + std::string(key)).substr(0, kShown);
  }

  void open(YamlNode node, YAML::anchor_t anchor) {
    if (wants_key()) {
      stop(node.line, node.column, fmt::format("got {} as a key, expected a word", describe(node)),
           "write `key: value`");
    }
    if (static_cast<int>(stack_.size()) >= limits_.max_depth) {
      stop(node.line, node.column, fmt::format("nested deeper than {} levels", limits_.max_depth),
           "a spec has at most four levels");
    }
    stack_.push_back(Frame{std::move(node), anchor, {}, false});
  }

  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.anchor != 0) anchors_[frame.anchor] = frame.node;
    attach(std::move(frame.node));
  }

  void attach(YamlNode node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.node.kind == YamlNode::Kind::list) {
      frame.node.items.push_back(std::move(node));
      return;
    }
    if (!frame.key) {
      stop(node.line, node.column, "got an alias as a key, expected a word", "write `key: value`");
    }
    if (!frame.skip_value) {
      frame.key->value = std::move(node);
      frame.node.entries.push_back(std::move(*frame.key));
    }
    frame.key.reset();
    frame.skip_value = false;
  }

  const YamlLimits& limits_;
  std::vector<Diagnostic>& diagnostics_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, YamlNode> anchors_;  // finished values by anchor
  YamlNode root_;
  int num_documents_ = 0;
  int num_aliases_ = 0;
  std::int64_t num_nodes_ = 0;
  std::int64_t num_bytes_ = 0;
};

// Reads a string_view without copying it.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // streambuf's interface; never written to
    setg(begin, begin, begin + text.size());
  }
};

// Bytes of the UTF-8 character at text[at]; 0 when it is none that a spec may hold.
std::size_t character_bytes(std::string_view text, std::size_t at) {
  const auto byte = [&text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[i])) : 0U;
  };
  const auto follows = [&byte](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(at);
  if (lead < 0x80U) {
    const bool control = lead < 0x20U && lead != '\t' && lead != '\n' && lead != '\r';
    return control || lead == 0x7FU ? 0 : 1;
  }
  if (lead >= 0xC2U && lead <= 0xDFU) return follows(at + 1) ? 2 : 0;
  if ((lead & 0xF0U) == 0xE0U) {
    const unsigned second = byte(at + 1);
    if ((lead == 0xE0U && second < 0xA0U) || (lead == 0xEDU && second > 0x9FU)) return 0;
    return follows(at + 1) && follows(at + 2) ? 3 : 0;
  }
  if (lead >= 0xF0U && lead <= 0xF4U) {
    const unsigned second = byte(at + 1);
    if ((lead == 0xF0U && second < 0x90U) || (lead == 0xF4U && second > 0x8FU)) return 0;
    return follows(at + 1) && follows(at + 2) && follows(at + 3) ? 4 : 0;
  }
  return 0;
}

// Stops at the first byte that is not text: checked before the YAML scanner sees any of it.
void check_text(std::string_view text, const YamlLimits& limits) {
  if (static_cast<std::int64_t>(text.size()) > limits.max_bytes) {
    stop(0, 0, fmt::format("{} bytes, expected at most {}", text.size(), limits.max_bytes),
         "check that this is a run spec");
  }
  int line = 1;
  std::size_t line_start = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = character_bytes(text, at);
    if (size == 0) {
      stop(line, static_cast<int>(at - line_start) + 1,
           fmt::format("byte 0x{:02x} at offset {} is not text",
                       static_cast<unsigned>(static_cast<unsigned char>(text[at])), at),
           "a spec is a UTF-8 text file; check that this is the right file");
    }
    if (text[at] == '\n') {
      ++line;
      line_start = at + 1;
    }
    at += size;
  }
}

}  // namespace

const YamlEntry* YamlNode::find(std::string_view key) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [key](const YamlEntry& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

std::string describe(const YamlNode& node) {
  constexpr std::size_t kShown = 60;
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::scalar:
      return node.text.size() <= kShown ? fmt::format("'{}'", node.text)
                                        : fmt::format("a text of {} bytes", node.text.size());
    case YamlNode::Kind::list:
      return "a list";
    case YamlNode::Kind::map:
      return "a section";
  }
  return "nothing";
}

YamlTree parse_yaml_tree(std::string_view text, const YamlLimits& limits) {
  YamlTree tree;
  try {
    check_text(text, limits);
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    TreeBuilder builder(limits, tree.diagnostics);
    while (parser.HandleNextDocument(builder)) {
    }
    tree.root = builder.take_root();
  } catch (const Stop& stopped) {
    tree.diagnostics.push_back(stopped.diagnostic);
  } catch (const YAML::Exception& error) {
    tree.diagnostics.push_back({.severity = Severity::error,
                                .field = {},
                                .message = "not readable as YAML: " + error.msg,
                                .hint = "check indentation, colons and quotes on this line",
                                .line = std::max(0, error.mark.line + 1),
                                .column = std::max(0, error.mark.column + 1)});
  }
  return tree;
}

}  // namespace tera::spec
