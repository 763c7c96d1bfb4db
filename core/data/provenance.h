// NAME.prov: for each sequence, which document of which source it is. Layout in FORMAT.md.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"

namespace tera::data {

struct ProvenanceRecord {
  std::uint32_t source = 0;   // index into the manifest's sources
  std::uint32_t flags = 0;    // split: 0 train, 1 valid, 2 test
  std::uint64_t ordinal = 0;  // within the source
  std::uint64_t text_xxh3 = 0;
  bool operator==(const ProvenanceRecord&) const = default;
};

std::string provenance_bytes(std::span<const ProvenanceRecord> records);
// Checks magic, sizes and hash.
Result<std::vector<ProvenanceRecord>> read_provenance(const std::filesystem::path& path);

}  // namespace tera::data
