#include "gui/yaml_patch.h"

#include <algorithm>
#include <vector>

namespace tera::gui {
namespace {

using Lines = std::vector<std::string>;

Lines splitLines(std::string_view text) {
  Lines lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    lines.emplace_back(text.substr(begin, end == std::string_view::npos ? end : end - begin));
    if (end == std::string_view::npos) break;
    begin = end + 1;
  }
  return lines;
}

// How the lines of a text end: edits keep it.
struct LineEnds {
  explicit LineEnds(std::string_view text)
      : last(text.empty() || text.ends_with('\n')), windows(text.find('\n') != text.npos) {
    for (std::size_t at = text.find('\n'); at != text.npos; at = text.find('\n', at + 1))
      windows = windows && at > 0 && text[at - 1] == '\r';
  }
  bool last;     // the last line has one too
  bool windows;  // every one is "\r\n"
};

std::string joinLines(const Lines& lines, const LineEnds& ends) {
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    text += lines[i];
    if (i + 1 == lines.size() && !ends.last) break;
    if (ends.windows && !lines[i].ends_with('\r')) text += '\r';  // a new line
    text += '\n';
  }
  return text;
}

std::size_t indentOf(std::string_view line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

bool isBlank(std::string_view line) {
  const std::size_t at = line.find_first_not_of(" \t\r");
  return at == std::string_view::npos || line[at] == '#';
}

// End of the value that starts at `begin`: before the trailing comment and spaces. Quotes are
// respected where a scalar begins (the one in "it's" is a letter); with `inFlow` a ',' or closing
// brace of this level ends it too.
std::size_t valueEnd(std::string_view line, std::size_t begin, bool inFlow) {
  char quote = 0, before = ':';  // the last character that is no space
  int depth = 0;
  std::size_t end = begin;
  for (std::size_t i = begin; i < line.size(); ++i) {
    const char c = line[i];
    const bool starts = std::string_view("{[,:").find(before) != std::string_view::npos;
    if (c != ' ') before = c;
    if (quote != 0) {
      if (c == '\\' && quote == '"') {
        ++i;
      } else if (c == quote) {
        quote = 0;
      }
    } else if (starts && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == '#' && (i == 0 || line[i - 1] == ' ')) {
      break;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (inFlow && depth == 0) break;
      --depth;
    } else if (c == ',' && inFlow && depth == 0) {
      break;
    }
    if (c != ' ' && c != '\t' && c != '\r') end = std::min(i + 1, line.size());
  }
  return end;
}

// Position after "key:" when `line` (from `at`) is that key; npos otherwise.
std::size_t afterKey(std::string_view line, std::size_t at, std::string_view key) {
  if (line.compare(at, key.size(), key) != 0) return std::string_view::npos;
  std::size_t i = at + key.size();
  while (i < line.size() && line[i] == ' ')
    ++i;
  return i < line.size() && line[i] == ':' ? i + 1 : std::string_view::npos;
}

std::pair<std::string, std::string> splitPath(std::string_view path) {
  const std::size_t dot = path.find('.');
  return dot == std::string_view::npos
             ? std::pair{std::string(path), std::string()}
             : std::pair{std::string(path.substr(0, dot)), std::string(path.substr(dot + 1))};
}

// Sets `path` inside the flow mapping whose '{' stands at `open`.
bool patchFlow(std::string& line, std::size_t open, std::string_view path, std::string_view value) {
  const auto [key, rest] = splitPath(path);
  std::size_t i = open + 1;
  while (i < line.size()) {
    i = std::min(line.find_first_not_of(" ,", i), line.size());
    if (i >= line.size() || line[i] == '}') break;
    const std::size_t after = afterKey(line, i, key);
    if (after != std::string::npos) {
      const std::size_t begin = std::min(line.find_first_not_of(' ', after), line.size());
      const std::size_t end = valueEnd(line, begin, true);
      if (!rest.empty())
        return begin < line.size() && line[begin] == '{' && patchFlow(line, begin, rest, value);
      line.replace(begin, end - begin, value);
      return true;
    }
    i = std::max(i + 1, valueEnd(line, i, true));
  }
  if (i >= line.size()) return false;  // the mapping goes on in the next line
  const bool empty = line.find_first_not_of(' ', open + 1) == i;
  std::string entry(empty ? "" : ", ");
  entry += key + ": ";
  if (rest.empty()) {
    entry += value;
  } else {
    entry += "{" + rest + ": " + std::string(value) + "}";
    if (rest.find('.') != std::string::npos) return false;
  }
  std::size_t at = i;
  while (at > open + 1 && line[at - 1] == ' ')
    --at;
  line.insert(at, entry);
  return true;
}

std::vector<std::string> newBlock(std::string_view path,
                                  std::string_view value,
                                  std::size_t indent) {
  const auto [key, rest] = splitPath(path);
  if (rest.empty()) return {std::string(indent, ' ') + key + ": " + std::string(value)};
  std::vector<std::string> lines = {std::string(indent, ' ') + key + ":"};
  for (std::string& line : newBlock(rest, value, indent + 2))
    lines.push_back(std::move(line));
  return lines;
}

// Sets `path` among lines [begin, end), whose keys stand at column `indent`.
bool patchBlock(Lines& lines,
                std::size_t begin,
                std::size_t end,
                std::size_t indent,
                std::string_view path,
                std::string_view value) {
  const auto [key, rest] = splitPath(path);
  std::size_t last = begin;  // one past the last line of content: where a new key goes
  for (std::size_t i = begin; i < end; ++i) {
    std::string& line = lines[i];
    if (isBlank(line)) continue;
    last = i + 1;
    if (indentOf(line) != indent) continue;
    const std::size_t after = afterKey(line, indent, key);
    if (after == std::string::npos) continue;
    const std::size_t at = std::min(line.find_first_not_of(' ', after), line.size());
    const std::size_t stop = at < line.size() && line[at] == '#' ? at : valueEnd(line, at, false);
    if (rest.empty()) {
      if (stop == at) {
        line.insert(after, " " + std::string(value));
      } else {
        line.replace(at, stop - at, value);
      }
      return true;
    }
    if (stop > at) return line[at] == '{' && patchFlow(line, at, rest, value);
    std::size_t childEnd = i + 1, childIndent = indent + 2;
    bool seen = false;
    for (std::size_t k = i + 1; k < end; ++k) {
      if (isBlank(lines[k])) continue;
      if (indentOf(lines[k]) <= indent) break;
      if (!seen) childIndent = indentOf(lines[k]);
      seen = true;
      childEnd = k + 1;
    }
    return patchBlock(lines, i + 1, childEnd, childIndent, rest, value);
  }
  const auto fresh = newBlock(path, value, indent);
  lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(last), fresh.begin(), fresh.end());
  return true;
}

// Lines [first, second) of a top-level section; both the number of lines when there is none.
std::pair<std::size_t, std::size_t> findSection(const Lines& lines, std::string_view name) {
  std::size_t begin = lines.size(), end = lines.size();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (isBlank(lines[i]) || indentOf(lines[i]) != 0) continue;
    if (begin < lines.size()) {
      end = i;
      break;
    }
    if (afterKey(lines[i], 0, name) != std::string::npos) begin = i;
  }
  while (end > begin + 1 && isBlank(lines[end - 1]))
    --end;  // comments before the next section belong to it
  return {begin, end};
}

}  // namespace

std::optional<std::string> patchYamlScalar(std::string_view text,
                                           std::string_view path,
                                           std::string_view value) {
  Lines lines = splitLines(text);
  if (!patchBlock(lines, 0, lines.size(), 0, path, value)) return std::nullopt;
  return joinLines(lines, LineEnds(text));
}

std::string yamlSection(std::string_view text, std::string_view name) {
  const Lines lines = splitLines(text);
  const auto [begin, end] = findSection(lines, name);
  std::string section;
  for (std::size_t i = begin; i < end; ++i)
    section += lines[i] + "\n";
  return section;
}

std::string replaceYamlSection(std::string_view text,
                               std::string_view name,
                               std::string_view body) {
  Lines lines = splitLines(text);
  const auto [begin, end] = findSection(lines, name);
  const Lines fresh = splitLines(body);
  lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(begin),
              lines.begin() + static_cast<std::ptrdiff_t>(end));
  lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(begin), fresh.begin(), fresh.end());
  return joinLines(lines, LineEnds(text));
}

}  // namespace tera::gui
