#include "core/data/prepare.h"

#include <utility>

#include <zlib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/child_output.h"
#include "core/data/debian_package.h"
#include "core/data/document.h"
#include "core/data/gunzip.h"
#include "core/data/line_reader.h"
#include "tests/core/data/data_fixture.h"

namespace tera::data {
namespace {

using test::read_all;
using test::TempDir;
using test::write_all;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

std::vector<Document> documents_in(const std::filesystem::path& path) {
  std::vector<Document> documents;
  LineReader lines = LineReader::open(path).value();
  for (std::string_view line; lines.next(line).value();) {
    documents.push_back(parse_document(line, "text", 0, 100).value());
  }
  return documents;
}

std::vector<std::string> texts_in(const std::filesystem::path& path) {
  std::vector<std::string> texts;
  for (const Document& document : documents_in(path))
    texts.push_back(document.text);
  return texts;
}

TEST(Normalised, MendsNewlinesAndEnds) {
  EXPECT_EQ(normalised("\xEF\xBB\xBF\r\n\n  a\r\nb\rc\n\n d \n\n"), "  a\nb\nc\n\n d");
  EXPECT_EQ(normalised(" \n\t"), "");
  EXPECT_EQ(normalised("x"), "x");
}

TEST(ReplaceInvalidUtf8, ReplacesByteByByte) {
  std::string text = "a\xFF\xC3(\xED\xA0\x80 é\xE4\xB8";
  EXPECT_EQ(replace_invalid_utf8(text), 7);
  EXPECT_EQ(text, "a\uFFFD\uFFFD(\uFFFD\uFFFD\uFFFD é\uFFFD\uFFFD");
}

TEST(Prepare, CleansDropsAndCounts) {
  const TempDir dir;
  write_all(dir / "a.txt", "one\r\n%\n two\n%\none\n%\n\n%\nbad \xFF\n");
  write_all(dir / "b.jsonl",
            "{\"body\": \"three\", \"id\": \"x\"}\n\n{\"body\": \"two is longer\"}\n{\"body\": "
            "\"one\"}\n");
  PrepareOptions options;
  options.prefix = dir / "out";
  options.files = {dir / "a.txt", dir / "b.jsonl"};
  options.file_options.separator = "%";
  options.file_options.text_key = "body";
  options.file_options.licence = "CC0-1.0";
  options.max_bytes = 12;
  const Manifest manifest = prepare(posix_vfs(), options).value();
  EXPECT_THAT(texts_in(dir / "out.jsonl"),
              UnorderedElementsAre("one", " two", "bad \uFFFD", "three"));
  EXPECT_EQ(manifest.documents, 4);
  EXPECT_EQ(manifest.sources[0].documents, 3);
  EXPECT_EQ(manifest.sources[1].licence.status, "declared");
  EXPECT_EQ(manifest.steps[0].dropped, (std::map<std::string, std::int64_t>{
                                           {"duplicate", 2}, {"too_long", 1}, {"too_short", 1}}));
  EXPECT_EQ(manifest.steps[0].options.at("replaced_bytes"), "1");
  EXPECT_TRUE(verify_file(dir.path(), manifest.files[0], true));
  EXPECT_EQ(Manifest::load(dir / "out.docs.json").value().id(), manifest.id());
  EXPECT_THAT(dir.names(), ElementsAre("a.txt", "b.jsonl", "out.docs.json", "out.jsonl"));
}

TEST(Prepare, GivesTheSameBytesAgainAndOthersForAnotherSeed) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 200; ++i)
    text += "document " + std::to_string(i) + "\n%\n";
  write_all(dir / "a.txt", text);
  PrepareOptions options;
  options.files = {dir / "a.txt"};
  options.file_options.separator = "%";
  const auto run = [&](const std::string& name, std::uint64_t seed) {
    options.prefix = dir / name;
    options.seed = seed;
    EXPECT_TRUE(prepare(posix_vfs(), options));
    return read_all(dir / (name + ".jsonl"));
  };
  const std::string first = run("one", 1);
  EXPECT_EQ(run("two", 1), first);
  EXPECT_NE(run("three", 2), first);
  EXPECT_NE(texts_in(dir / "one.jsonl")[0], "document 0");  // shuffled (1 of 200 seeds would not)
}

TEST(Prepare, LeavesNothingBehindWhenStopped) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 30000; ++i)
    text += "a document of some length, number " + std::to_string(i) + "\n%\n";
  write_all(dir / "a.txt", text);
  PrepareOptions options;
  options.prefix = dir / "out";
  options.files = {dir / "a.txt"};
  options.file_options.separator = "%";
  options.on_progress = [](std::int64_t) { return false; };
  const Result<Manifest> manifest = prepare(posix_vfs(), options);
  ASSERT_FALSE(manifest);
  EXPECT_THAT(manifest.error().message, HasSubstr("stopped"));
  EXPECT_THAT(dir.names(), ElementsAre("a.txt"));
}

// Also after the reading, while the documents are written in their new order.
TEST(Prepare, LeavesNothingBehindWhenStoppedLate) {
  const TempDir dir;
  write_all(dir / "a.txt", std::string(3 << 20, 'x') + "\n%\n" + std::string(3 << 20, 'y'));
  PrepareOptions options;
  options.prefix = dir / "out";
  options.files = {dir / "a.txt"};
  options.file_options.separator = "%";
  std::int64_t before = -1;
  options.on_progress = [&](std::int64_t bytes) { return std::exchange(before, bytes) != bytes; };
  const Result<Manifest> manifest = prepare(posix_vfs(), options);
  ASSERT_FALSE(manifest);
  EXPECT_THAT(manifest.error().message, HasSubstr("stopped"));
  EXPECT_THAT(dir.names(), ElementsAre("a.txt"));
}

TEST(Prepare, LooksAtItsOutputFirst) {
  const TempDir dir;
  write_all(dir / "a.txt", "text");
  PrepareOptions options;
  options.files = {dir / "a.txt"};
  bool read = false;
  options.on_progress = [&](std::int64_t) { return read = true; };
  options.prefix = dir / "a.txt/out";
  const Result<Manifest> manifest = prepare(posix_vfs(), options);
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code, ErrorCode::not_found);
  EXPECT_THAT(manifest.error().hint, HasSubstr("a.txt is a file, not a folder"));
  EXPECT_FALSE(read);
  EXPECT_THAT(dir.names(), ElementsAre("a.txt"));
}

TEST(Prepare, ExplainsBadInput) {
  const TempDir dir;
  const auto error = [&](std::vector<std::filesystem::path> files,
                         std::vector<std::string> packages = {}) {
    PrepareOptions options;
    options.prefix = dir / "out";
    options.files = std::move(files);
    options.debian_packages = std::move(packages);
    const Result<Manifest> manifest = prepare(posix_vfs(), options);
    return manifest ? std::string("accepted") : manifest.error().message;
  };
  write_all(dir / "bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 5}\n");
  write_all(dir / "a.txt", "text");
  EXPECT_THAT(error({}), HasSubstr("no source"));
  EXPECT_THAT(error({dir / "none.txt"}), HasSubstr("cannot read " + (dir / "none.txt").string()));
  EXPECT_THAT(error({dir / "bad.jsonl"}), HasSubstr("bad.jsonl:2: text: got 5, expected string"));
  write_all(dir / "a.pdf", "text");
  EXPECT_THAT(error({dir / "a.pdf"}), HasSubstr("ends in .txt or .jsonl"));
  EXPECT_THAT(error({}, {"linux-doc"}), HasSubstr("there is no reader for it, only for bible-kjv"));
  write_all(dir / "out.jsonl", "precious");
  EXPECT_THAT(error({dir / "a.txt"}), HasSubstr("out.jsonl exists"));
  EXPECT_EQ(read_all(dir / "out.jsonl"), "precious");
}

TEST(DebianPackage, ReadsTheRecordsOfDpkg) {
  const TempDir dir;
  std::filesystem::create_directories(dir / "var/lib/dpkg/info");
  std::filesystem::create_directories(dir / "usr/share/doc/fine-text");
  write_all(dir / "var/lib/dpkg/status",
            "Package: gone\nStatus: deinstall ok config-files\nVersion: 9\n\n"
            "Package: fine-text\nStatus: install ok installed\nVersion: 1.2-3\n");
  write_all(dir / "var/lib/dpkg/info/fine-text:amd64.list",
            "/.\n/usr/share/doc/fine-text\n/usr/share/doc/fine-text/copyright\n/usr/missing\n");
  write_all(dir / "usr/share/doc/fine-text/copyright", "public domain");
  const DebianPackage package = find_debian_package("fine-text", dir.path()).value();
  EXPECT_EQ(package.version, "1.2-3");
  EXPECT_THAT(package.files, ElementsAre(dir / "usr/share/doc/fine-text/copyright"));
  EXPECT_EQ(package.copyright, package.files[0]);
  for (const char* name : {"gone", "absent"}) {
    const Result<DebianPackage> missing = find_debian_package(name, dir.path());
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().hint, std::string("apt-get install ") + name);
  }
  EXPECT_FALSE(find_debian_package("../../etc", dir.path()));
}

// The three packages of the demo, where they are installed.
TEST(Prepare, ReadsTheDemoPackages) {
  for (const char* name : {"bible-kjv", "jargon-text", "dict-devil"}) {
    if (!find_debian_package(name)) GTEST_SKIP() << name << " is not installed";
  }
  const TempDir dir;
  PrepareOptions options;
  options.prefix = dir / "out";
  options.debian_packages = {"bible-kjv", "jargon-text", "dict-devil"};
  const Manifest manifest = prepare(posix_vfs(), options).value();
  EXPECT_EQ(manifest.sources[0].documents, 1189);  // chapters of the 66 books
  EXPECT_GT(manifest.sources[1].documents, 2000);
  EXPECT_GT(manifest.sources[2].documents, 900);
  for (const Source& source : manifest.sources) {
    EXPECT_EQ(source.licence.spdx, "LicenseRef-public-domain");
    EXPECT_EQ(source.licence.status, "declared");
    EXPECT_EQ(source.licence.evidence_sha256.size(), 64U);
    EXPECT_FALSE(source.inputs.empty());
  }
  bool found = false;
  for (const Document& document : documents_in(dir / "out.jsonl")) {
    found = found ||
            (document.id == "Ge1" &&
             document.text.starts_with("In the beginning God created the heaven and the earth.\n"));
  }
  EXPECT_TRUE(found);
}

TEST(LineReader, ReadsLinesAcrossBuffersWithTheirPlaces) {
  const TempDir dir;
  const std::string large(3 << 20, 'x');
  write_all(dir / "l", "one\n\n" + large + "\nlast");
  LineReader lines = LineReader::open(dir / "l").value();
  std::string_view line;
  ASSERT_TRUE(lines.next(line).value());
  EXPECT_EQ(line, "one");
  ASSERT_TRUE(lines.next(line).value());
  EXPECT_EQ(line, "");
  ASSERT_TRUE(lines.next(line).value());
  EXPECT_EQ(line, large);
  ASSERT_TRUE(lines.next(line).value());
  EXPECT_EQ(line, "last");
  EXPECT_EQ(lines.line_number(), 4);
  const std::int64_t at = lines.line_offset();
  EXPECT_FALSE(lines.next(line).value());
  lines.seek(at);
  ASSERT_TRUE(lines.next(line).value());
  EXPECT_EQ(line, "last");
}

TEST(Gunzip, UnpacksMembersAndBoundsBombs) {
  const TempDir dir;
  const auto write_gz = [&](const std::string& name, const std::string& text, const char* mode) {
    gzFile file = gzopen((dir / name).c_str(), mode);
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
  };
  write_gz("a.gz", "hello ", "wb");
  write_gz("a.gz", "world", "ab");  // a second member
  EXPECT_EQ(gunzip_file(dir / "a.gz", 1000).value(), "hello world");
  write_gz("bomb.gz", std::string(20 << 20, '\0'), "wb9");
  EXPECT_THAT(gunzip_file(dir / "bomb.gz", 1 << 30).error().message,
              HasSubstr("unpacks to more than"));
  std::filesystem::resize_file(dir / "a.gz", 20);
  EXPECT_FALSE(gunzip_file(dir / "a.gz", 1000));
  write_all(dir / "plain.gz", "not packed");
  EXPECT_THAT(gunzip_file(dir / "plain.gz", 1000).error().message, HasSubstr("not a sound gzip"));
}

TEST(ChildOutput, IsBoundedAndReportsFailure) {
  EXPECT_EQ(child_output({"/bin/echo", "a b; $(c)"}, 100, 10).value(), "a b; $(c)\n");
  EXPECT_THAT(child_output({"/bin/false"}, 100, 10).error().message, HasSubstr("status 1"));
  EXPECT_THAT(child_output({"/no/such"}, 100, 10).error().message, HasSubstr("cannot start"));
  EXPECT_THAT(child_output({"/bin/sleep", "30"}, 100, 0.1).error().message, HasSubstr("within"));
  EXPECT_THAT(child_output({"/usr/bin/yes"}, 1 << 20, 10).error().message, HasSubstr("more than"));
}

}  // namespace
}  // namespace tera::data
