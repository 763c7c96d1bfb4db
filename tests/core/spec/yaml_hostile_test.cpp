// Hostile text: every input ends in findings, quickly, never in a crash or a hang.
#include <chrono>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/spec/spec_text.h"

namespace tera::spec {
namespace {

using testing::HasSubstr;

std::string refused(const std::string& text) {
  const auto start = std::chrono::steady_clock::now();
  const ParsedSpec parsed = parse_run_spec(text);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  EXPECT_LT(taken.count(), 5.0) << text.substr(0, 40);
  EXPECT_FALSE(parsed.ok()) << text.substr(0, 40);
  return findings_text(parsed.diagnostics);
}

std::string repeated(const std::string& part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i)
    text += part;
  return text;
}

TEST(HostileYaml, DeepNesting) {
  EXPECT_THAT(refused("model: " + repeated("[x, ", 100) + repeated("]", 100)),
              HasSubstr("nested deeper than 32 levels"));
  refused(repeated("[", 500000));
  refused(repeated("{", 500000));
  refused(repeated("{a: ", 100000));
  refused(repeated("- ", 300000));
  refused(repeated("? ", 300000));
  std::string steps;
  for (int i = 0; i < 600; ++i)
    steps += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_THAT(refused(steps), HasSubstr("nested deeper"));
}

TEST(HostileYaml, AliasBombs) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb +=
        fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
  }
  EXPECT_THAT(refused(bomb), HasSubstr("more than"));
  EXPECT_THAT(refused("a: &a x\nb: [" + repeated("*a, ", 100) + "]\n"),
              HasSubstr("more than 64 aliases"));
  refused("a: &a [*a]\n");
  refused("a: *nothing\n");
  const std::string wide = "a: &a [" + repeated("\"" + std::string(60000, 'x') + "\",", 16) + "]\n";
  EXPECT_THAT(refused(wide + "b: [" + repeated("*a, ", 40) + "]\n"), HasSubstr("more than"));
}

TEST(HostileYaml, HugeTexts) {
  EXPECT_THAT(refused(std::string((1 << 20) + 1, 'x')), HasSubstr("expected at most 1048576"));
  EXPECT_THAT(refused("name: " + std::string(70000, 'x')), HasSubstr("a value of 70000 bytes"));
  EXPECT_THAT(refused("? " + std::string(70000, 'x') + "\n: 1"), HasSubstr("70000 bytes"));
  std::string many;
  for (int i = 0; i < 11000; ++i)
    many += fmt::format("k{}: 1\n", i);
  EXPECT_THAT(refused(many), HasSubstr("more than 20000 values"));
  refused("model: " + std::string(1000000, '"'));
  refused(std::string(1000000, '\n') + "x");
  refused(repeated("&a ", 200000));
  refused(repeated("!", 500000));
  refused("%" + std::string(500000, 'Y'));
}

TEST(HostileYaml, BytesThatAreNoText) {
  EXPECT_THAT(refused(std::string("name: a\0b\n", 10)),
              HasSubstr("1:8: error: byte 0x00 at offset 7"));
  EXPECT_THAT(refused("name: \"a\\0b\"\nmodel: {preset: tiny-moe}\n"), HasSubstr("zero byte"));
  refused(
      "\x7f"
      "ELF\x02\x01\x01");
  refused("name: \xff\xfe\n");
  refused("name: \xc0\xaf\n");          // overlong
  refused("name: \xed\xa0\x80\n");      // surrogate
  refused("name: \xf4\x90\x80\x80\n");  // beyond Unicode
  refused("");
  refused("\n\n");
  refused("---\nmodel: {preset: tiny-moe}\n---\nmodel: {}\n");
}

TEST(HostileYaml, TagsMergeKeysAndStrangeKeys) {
  EXPECT_THAT(refused("model: !!python/object:os.system {a: 1}\n"), HasSubstr("unknown tag"));
  EXPECT_THAT(refused("name: !include /etc/passwd\n"), HasSubstr("unknown tag"));
  EXPECT_THAT(refused("a: &a {b: 1}\nmodel: {<<: *a}\n"), HasSubstr("merge keys"));
  EXPECT_THAT(refused("[a, b]: 1\n"), HasSubstr("as a key"));
  EXPECT_THAT(refused("? {a: 1}\n: 2\n"), HasSubstr("as a key"));
  refused("model: {preset: ../../../../etc/passwd}\n");
  refused("model: {preset: [tiny-moe]}\n");
}

// Mutations of a legal spec: whatever comes out, the parser answers.
TEST(HostileYaml, RandomMutationsNeverCrash) {
  const std::string base = to_yaml(tiny_spec(), true);
  std::mt19937 random(20240607);
  const auto pick = [&random](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  const std::string alphabet = "{}[]:-,#&*!|>'\"%@`?\n \t0aZ~<\\\x01\xff";
  for (int round = 0; round < 300; ++round) {
    std::string text = base;
    for (std::size_t edits = 1 + pick(20); edits > 0; --edits) {
      const std::size_t at = pick(text.size());
      switch (pick(4)) {
        case 0:
          text[at] = alphabet[pick(alphabet.size())];
          break;
        case 1:
          text.erase(at, 1 + pick(8));
          break;
        case 2:
          text.insert(at, 1, alphabet[pick(alphabet.size())]);
          break;
        default:
          text.insert(at, text.substr(pick(text.size()), pick(60)));
      }
    }
    const ParsedSpec parsed = parse_run_spec(text);
    if (parsed.ok()) {
      (void)validate(parsed.spec);
    }
  }
}

}  // namespace
}  // namespace tera::spec
