// Command lines and files of arguments: "--num-layers 24 --swiglu --lr=3e-4", with the part of the
// shell's language that launch scripts of Megatron-LM are written in: quotes, continued lines,
// comments, variables and arrays that the same text sets.
#include <cctype>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "core/spec/interchange/settings.h"

namespace tera::spec {
namespace {

struct ShellWord {
  std::string text;
  bool quoted = false;
  bool first = false;  // of a line that is not continued
  int line = 0;
  int column = 0;
};

bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// What follows is another command, or the file a stream goes to.
bool ends_command(char c) {
  return c == '\n' || c == ';' || c == '&' || c == '|' || c == '<' || c == '>';
}

class ShellReader {
 public:
  ShellReader(const ConfigFile& file, std::vector<ImportFinding>& findings)
      : text_(file.text), findings_(findings) {}

  std::vector<ShellWord> read() {
    while (at_ < text_.size())
      read_next();
    return std::move(words_);
  }

 private:
  char next() {
    const char c = text_[at_++];
    if (c == '\n') {
      ++line_;
      line_start_ = at_;
    }
    return c;
  }

  bool continued() const {
    if (text_[at_] != '\\' || at_ + 1 >= text_.size()) return false;
    return text_[at_ + 1] == '\n' || text_.compare(at_ + 1, 2, "\r\n") == 0;
  }

  void read_next() {
    const char c = text_[at_];
    if (continued()) {
      while (next() != '\n') {
      }
    } else if (c == '#') {
      while (at_ < text_.size() && text_[at_] != '\n')
        next();
    } else if (ends_command(c)) {
      next();
      new_line_ = true;
    } else if (c == ')' || std::isspace(static_cast<unsigned char>(c)) != 0) {
      next();
    } else {
      read_word();
    }
  }

  void read_word() {
    ShellWord word{.text = {},
                   .first = new_line_,
                   .line = line_,
                   .column = static_cast<int>(at_ - line_start_) + 1};
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (std::isspace(static_cast<unsigned char>(c)) != 0 || ends_command(c) || c == ')' ||
          continued()) {
        break;
      }
      if (c == '\'' || c == '"') {
        word.quoted = true;
        if (!read_quoted(word)) return;
      } else if (c == '$') {
        word.text += variable();
      } else if (c == '(' &&
                 word.text.ends_with('=')) {  // an array: its words stand for themselves
        arrays_[word.text.substr(0, word.text.size() - 1)] = true;
        next();
        new_line_ = true;
        return;
      } else {
        word.text += c == '\\' && at_ + 1 < text_.size() ? (next(), next()) : next();
      }
    }
    // "2>log" names a stream, not a value.
    const bool stream =
        at_ < text_.size() && text_[at_] == '>' && (word.text == "1" || word.text == "2");
    new_line_ = false;
    if (!stream && !assigns(word)) add_words(std::move(word));
  }

  bool read_quoted(ShellWord& word) {
    const char quote = next();
    while (at_ < text_.size() && text_[at_] != quote) {
      if (quote == '"' && text_[at_] == '$') {
        word.text += variable();
      } else if (quote == '"' && continued()) {
        while (next() != '\n') {
        }
      } else {
        if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size()) next();
        word.text += next();
      }
    }
    if (at_ >= text_.size()) {
      problem(findings_, 0, fmt::format("the text ends inside the quotes {}", quote),
              "close them; the file may have been cut", word.line, word.column);
      return false;
    }
    next();
    return true;
  }

  // $NAME, ${NAME} or ${NAME[@]}: its value, or itself when the text has not set it.
  std::string variable() {
    const std::size_t start = at_;
    next();
    const bool braces = at_ < text_.size() && text_[at_] == '{';
    if (braces) next();
    std::string name;
    while (at_ < text_.size() && is_name(text_[at_]))
      name += next();
    while (braces && at_ < text_.size() && text_[at_] != '}' && text_[at_] != '\n')
      next();
    if (braces && at_ < text_.size() && text_[at_] == '}') next();
    const auto value = variables_.find(name);
    if (value != variables_.end()) return value->second;
    if (arrays_.contains(name)) return {};
    return text_.substr(start, at_ - start);
  }

  // NAME=value at the start of a line.
  bool assigns(const ShellWord& word) {
    const auto equals = word.text.find('=');
    if (!word.first || equals == std::string::npos || equals == 0) return false;
    for (std::size_t i = 0; i < equals; ++i) {
      if (!is_name(word.text[i])) return false;
    }
    variables_[word.text.substr(0, equals)] = word.text.substr(equals + 1);
    new_line_ = true;  // another assignment, or the command, may follow
    return true;
  }

  // A variable may bring several words; what was quoted is one.
  void add_words(ShellWord word) {
    if (word.text == "export") {
      new_line_ = true;
      return;
    }
    std::string part;
    const auto flush = [&] {
      ShellWord one = word;
      one.text = std::exchange(part, {});
      if (!one.text.empty() || word.quoted) words_.push_back(std::move(one));
      word.first = false;
    };
    for (const char c : word.text) {
      const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
      if (space && (!word.quoted || word.text.starts_with("--"))) {
        if (!part.empty()) flush();
      } else {
        part += c;
      }
    }
    if (!part.empty() || (word.quoted && word.text.empty())) flush();
  }

  const std::string& text_;
  std::vector<ImportFinding>& findings_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  int line_ = 1;
  bool new_line_ = true;
  std::vector<ShellWord> words_;
  std::map<std::string, std::string> variables_;
  std::map<std::string, bool> arrays_;
};

bool is_option(const ShellWord& word) {
  return word.text.size() > 2 && word.text.starts_with("--") &&
         std::isalpha(static_cast<unsigned char>(word.text[2])) != 0;
}

// "--Num_layers" is "--num-layers" to everybody who wrote it.
std::string option_name(std::string_view text) {
  std::string name(text);
  for (char& c : name)
    if (c == '_') c = '-';
  return name;
}

// As Python reads numbers: 1_000 is 1000.
std::string without_separators(std::string text) {
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  const bool number = !text.empty() && digit(text.front()) && digit(text.back()) &&
                      text.find_first_not_of("0123456789_") == std::string::npos;
  if (number) std::erase(text, '_');
  return text;
}

void add_once(SettingList& settings, Setting setting, std::vector<ImportFinding>& findings) {
  for (const Setting& other : settings) {
    if (other.key != setting.key) continue;
    if (other.text == setting.text) return;
    findings.push_back({0,
                        {.severity = Severity::error,
                         .field = setting.key,
                         .message = fmt::format("{} here, but {} in line {}", shown(setting),
                                                shown(other), other.line),
                         .hint = "remove one of them",
                         .line = setting.line,
                         .column = setting.column}});
    return;
  }
  settings.push_back(std::move(setting));
}

}  // namespace

SettingList read_arguments(const ConfigFile& file, std::vector<ImportFinding>& findings) {
  SettingList settings;
  const std::size_t before = findings.size();
  const std::vector<ShellWord> words = ShellReader(file, findings).read();
  for (std::size_t i = 0; i < words.size(); ++i) {
    const ShellWord& word = words[i];
    if (word.text.starts_with("${") && word.text.ends_with("[@]}")) {
      findings.push_back({0,
                          {.severity = Severity::warning,
                           .field = {},
                           .message = fmt::format("{} is not set in the text: its arguments are "
                                                  "not read",
                                                  word.text),
                           .hint = "put the line that sets it into the file",
                           .line = word.line,
                           .column = word.column}});
    }
    if (!is_option(word)) continue;
    const auto equals = word.text.find('=');
    Setting setting;
    setting.key = option_name(std::string_view(word.text).substr(0, equals));
    setting.line = word.line;
    setting.column = word.column;
    setting.kind = Setting::Kind::flag;
    if (equals != std::string::npos) {
      setting.text = without_separators(word.text.substr(equals + 1));
      setting.kind = Setting::Kind::bare;
    }
    while (equals == std::string::npos && i + 1 < words.size() && !is_option(words[i + 1]) &&
           !words[i + 1].first && !words[i + 1].text.ends_with(".py")) {
      if (words[i + 1].text.starts_with("${") && words[i + 1].text.ends_with("[@]}")) break;
      setting.text += (setting.text.empty() ? "" : " ") + without_separators(words[++i].text);
      setting.kind = Setting::Kind::bare;
    }
    add_once(settings, std::move(setting), findings);
  }
  if (settings.empty() && findings.size() == before) {
    problem(findings, 0, "holds no arguments, expected some such as --num-layers 24",
            "name the launch script, or a file with its arguments");
  }
  return settings;
}

std::string write_arguments(const SettingList& settings) {
  std::string text;
  for (const Setting& setting : settings) {
    text += fmt::format(" \\\n  {}", setting.key);
    if (setting.kind == Setting::Kind::flag) continue;
    const bool plain = setting.text.find_first_of(" \t\"'$\\()[]*;&|<>#") == std::string::npos;
    text += plain || setting.kind == Setting::Kind::bare ? " " + setting.text
                                                         : fmt::format(" \"{}\"", setting.text);
  }
  return text + "\n";
}

}  // namespace tera::spec
