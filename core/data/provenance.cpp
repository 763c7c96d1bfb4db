#include "core/data/provenance.h"

#include <cstring>

#include <fmt/format.h>

#include "core/base/hash.h"
#include "core/data/mapped_file.h"

namespace tera::data {
namespace {

constexpr std::string_view kMagic = "TGPROV01";
constexpr std::size_t kHeaderBytes = 32;
constexpr std::uint32_t kRecordBytes = 24;

template <class T>
T load(std::string_view bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

std::string provenance_bytes(std::span<const ProvenanceRecord> records) {
  std::string body;
  body.reserve(records.size() * kRecordBytes);
  for (const ProvenanceRecord& record : records) {
    append_le(body, record.source);
    append_le(body, record.flags);
    append_le(body, record.ordinal);
    append_le(body, record.text_xxh3);
  }
  std::string bytes(kMagic);
  append_le(bytes, static_cast<std::uint64_t>(records.size()));
  append_le(bytes, kRecordBytes);
  append_le(bytes, std::uint32_t{0});
  append_le(bytes, xxh3_64(body));
  return bytes + body;
}

Result<std::vector<ProvenanceRecord>> read_provenance(const std::filesystem::path& path) {
  TERA_TRY(const MappedFile file, MappedFile::open(path));
  const std::string_view bytes = file.text();
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic) ||
      load<std::uint32_t>(bytes, 16) != kRecordBytes) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: is not a provenance file (magic TGPROV01, records of {} bytes)",
                            path.string(), kRecordBytes));
  }
  const auto count = load<std::uint64_t>(bytes, 8);
  const std::string_view body = bytes.substr(kHeaderBytes);
  if (count != body.size() / kRecordBytes || body.size() % kRecordBytes != 0) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: got {} bytes of records, expected {} records of {}", path.string(),
                            body.size(), count, kRecordBytes));
  }
  if (const std::uint64_t hash = xxh3_64(body); hash != load<std::uint64_t>(bytes, 24)) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: expected XXH3 {}, got {}", path.string(),
                            to_hex(load<std::uint64_t>(bytes, 24)), to_hex(hash)));
  }
  std::vector<ProvenanceRecord> records(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::size_t at = i * kRecordBytes;
    records[i] = {load<std::uint32_t>(body, at), load<std::uint32_t>(body, at + 4),
                  load<std::uint64_t>(body, at + 8), load<std::uint64_t>(body, at + 16)};
  }
  return records;
}

}  // namespace tera::data
