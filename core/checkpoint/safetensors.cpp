#include "core/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/json_read.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "files hold little-endian numbers");

constexpr std::uint64_t kLengthBytes = sizeof(std::uint64_t);
constexpr std::uint64_t kAlignment = 8;  // of the data, as the reference writer pads
// Limits against hostile files, far above any model.
constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{64} << 20;
constexpr std::size_t kMaxTensors = 1'000'000;
constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxDims = 8;
constexpr std::size_t kMaxMetadataBytes = 1 << 20;

struct ElementType {
  std::string_view name;
  int bits;
  std::optional<DType> dtype = {};
};

// In the order the reference writer sorts by, last first. Source: safetensors, tensor.rs, Dtype.
constexpr std::array kElementTypes = {
    ElementType{"BOOL", 8},
    ElementType{"F4", 4},
    ElementType{"F6_E2M3", 6},
    ElementType{"F6_E3M2", 6},
    ElementType{"U8", 8, DType::u8},
    ElementType{"I8", 8},
    ElementType{"F8_E5M2", 8},
    ElementType{"F8_E4M3", 8, DType::fp8_e4m3},
    ElementType{"F8_E8M0", 8},
    ElementType{"I16", 16},
    ElementType{"U16", 16, DType::u16},
    ElementType{"F16", 16, DType::f16},
    ElementType{"BF16", 16, DType::bf16},
    ElementType{"I32", 32, DType::i32},
    ElementType{"U32", 32},
    ElementType{"F32", 32, DType::f32},
    ElementType{"C64", 64},
    ElementType{"F64", 64, DType::f64},
    ElementType{"I64", 64, DType::i64},
    ElementType{"U64", 64},
};

const ElementType* element_type(std::string_view name) {
  const auto at = std::find_if(kElementTypes.begin(), kElementTypes.end(),
                               [name](const ElementType& type) { return type.name == name; });
  return at == kElementTypes.end() ? nullptr : &*at;
}

// Bytes of a tensor; an error when the product does not fit or ends inside a byte.
Result<std::uint64_t> bytes_of(const ElementType& type, const std::vector<std::int64_t>& shape) {
  std::uint64_t bits = static_cast<std::uint64_t>(type.bits);
  for (const std::int64_t dim : shape) {
    if (__builtin_mul_overflow(bits, static_cast<std::uint64_t>(dim), &bits)) {
      return fail(
          ErrorCode::corrupt,
          fmt::format("shape [{}] has more elements than can be counted", fmt::join(shape, ", ")));
    }
  }
  if (bits % 8 != 0) {
    return fail(ErrorCode::corrupt, fmt::format("shape [{}] of {} ends inside a byte",
                                                fmt::join(shape, ", "), type.name));
  }
  return bits / 8;
}

tl::unexpected<Error> corrupt(std::string message) {
  return fail(ErrorCode::corrupt, std::move(message));
}

bool is_count(const json& value) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() >> 63U == 0;
}

// One entry of the header, checked by itself.
Result<SafetensorsEntry> parse_entry(const std::string& name, const json& value) {
  if (name.empty() || name.size() > kMaxNameBytes ||
      std::any_of(name.begin(), name.end(),
                  [](unsigned char c) { return c < 0x20 || c == 0x7F; })) {
    return corrupt(fmt::format("a tensor name of {} bytes, expected 1 to {} printable ones",
                               name.size(), kMaxNameBytes));
  }
  const auto in_tensor = [&name](std::string_view what) {
    return corrupt(fmt::format("tensor {}: {}", name, what));
  };
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value.contains("shape") || !value.contains("data_offsets")) {
    return in_tensor("expected exactly dtype, shape and data_offsets");
  }
  SafetensorsEntry entry{.name = name};
  const ElementType* type = nullptr;
  if (value["dtype"].is_string()) type = element_type(value["dtype"].get<std::string>());
  if (type == nullptr) {
    return in_tensor(
        fmt::format("element type {} is not known", value["dtype"].dump().substr(0, 40)));
  }
  entry.dtype = type->name;
  const json& shape = value["shape"];
  if (!shape.is_array() || shape.size() > kMaxDims ||
      !std::all_of(shape.begin(), shape.end(), is_count)) {
    return in_tensor(fmt::format("shape {}, expected at most {} whole numbers",
                                 shape.dump().substr(0, 80), kMaxDims));
  }
  entry.shape = shape.get<std::vector<std::int64_t>>();
  const json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !is_count(offsets[0]) ||
      !is_count(offsets[1]) || offsets[0].get<std::uint64_t>() > offsets[1].get<std::uint64_t>()) {
    return in_tensor(
        fmt::format("data_offsets {}, expected [begin, end]", offsets.dump().substr(0, 80)));
  }
  entry.begin = offsets[0].get<std::uint64_t>();
  entry.end = offsets[1].get<std::uint64_t>();
  const Result<std::uint64_t> bytes = bytes_of(*type, entry.shape);
  if (!bytes) return in_tensor(bytes.error().message);
  if (entry.num_bytes() != *bytes) {
    return in_tensor(fmt::format("{} [{}] has {} bytes, but data_offsets span {}", entry.dtype,
                                 fmt::join(entry.shape, ", "), *bytes, entry.num_bytes()));
  }
  return entry;
}

Result<SafetensorsMetadata> parse_metadata(const json& value) {
  SafetensorsMetadata metadata;
  std::size_t bytes = 0;
  if (!value.is_object()) return corrupt("__metadata__ is not an object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return corrupt(fmt::format("__metadata__.{} is not a text", key));
    metadata[key] = text.get<std::string>();
    bytes += key.size() + metadata[key].size();
  }
  if (bytes > kMaxMetadataBytes) {
    return corrupt(
        fmt::format("__metadata__ has {} bytes, expected at most {}", bytes, kMaxMetadataBytes));
  }
  return metadata;
}

// The data of a file is exactly its tensors, one behind the other.
Result<void> check_cover(std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t at = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.end > data_bytes) {
      return corrupt(fmt::format("tensor {} ends at byte {} of the data, which has {}", entry.name,
                                 entry.end, data_bytes));
    }
    if (entry.begin != at) {
      return corrupt(
          fmt::format("tensor {} begins at byte {}, but the one before it ends at {}: {}",
                      entry.name, entry.begin, at, entry.begin < at ? "they overlap" : "a hole"));
    }
    at = entry.end;
  }
  if (at != data_bytes) {
    return corrupt(fmt::format("the tensors end at byte {}, but the data has {}", at, data_bytes));
  }
  return {};
}

struct Header {
  std::vector<SafetensorsEntry> entries;
  SafetensorsMetadata metadata;
};

Result<Header> parse_header(std::string_view text, std::uint64_t data_bytes) {
  if (text.empty() || text.front() != '{') return corrupt("the header does not begin with '{'");
  Result<json> parsed =
      parse_json(text, {.max_bytes = kMaxHeaderBytes, .max_depth = 4, .unique_keys = true});
  if (!parsed) return corrupt("the header is refused: " + parsed.error().message);
  if (parsed->size() > kMaxTensors) {
    return corrupt(fmt::format("{} tensors, expected at most {}", parsed->size(), kMaxTensors));
  }
  Header header;
  for (const auto& [name, value] : parsed->items()) {
    if (name == "__metadata__") {
      TERA_TRY(header.metadata, parse_metadata(value));
      continue;
    }
    TERA_TRY(SafetensorsEntry entry, parse_entry(name, value));
    header.entries.push_back(std::move(entry));
  }
  TERA_TRY_VOID(check_cover(header.entries, data_bytes));
  return header;
}

}  // namespace

std::string_view safetensors_dtype(DType dtype) {
  const auto at = std::find_if(kElementTypes.begin(), kElementTypes.end(),
                               [dtype](const ElementType& type) { return type.dtype == dtype; });
  return at->name;  // every DType has one
}

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  const ElementType* type = element_type(name);
  return type != nullptr ? type->dtype : std::nullopt;
}

std::string make_safetensors_header(std::span<const SafetensorsEntry> entries,
                                    const SafetensorsMetadata& metadata,
                                    std::uint64_t alignment) {
  std::string header(kLengthBytes, '\0');
  header += '{';
  if (!metadata.empty()) header += fmt::format("\"__metadata__\":{}", json(metadata).dump());
  for (const SafetensorsEntry& entry : entries) {
    header += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          header.back() == '{' ? "" : ",", json(entry.name).dump(), entry.dtype,
                          fmt::join(entry.shape, ","), entry.begin, entry.end);
  }
  header += '}';
  header.append((alignment - header.size() % alignment) % alignment, ' ');
  const std::uint64_t length = header.size() - kLengthBytes;
  std::memcpy(header.data(), &length, sizeof(length));
  return header;
}

Result<void> write_safetensors(
    Vfs& vfs,
    const fs::path& path,
    std::vector<SafetensorsEntry> entries,
    const SafetensorsMetadata& metadata,
    const std::function<Result<std::span<const std::byte>>(const SafetensorsEntry&)>& data_of) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    const ElementType* type_a = element_type(a.dtype);
    const ElementType* type_b = element_type(b.dtype);
    return type_a != type_b ? type_a > type_b : a.name < b.name;
  });
  std::uint64_t end = 0;
  for (SafetensorsEntry& entry : entries) {
    TERA_TRY(const std::uint64_t bytes, bytes_of(*element_type(entry.dtype), entry.shape));
    entry.begin = std::exchange(end, end + bytes);
    entry.end = end;
  }
  const std::string header = make_safetensors_header(entries, metadata, kAlignment);
  TERA_TRY(const std::unique_ptr<WritableFile> file, vfs.open_write(path, Vfs::Mode::create_new));
  TERA_TRY_VOID(file->append(std::as_bytes(std::span(header))));
  for (const SafetensorsEntry& entry : entries) {
    TERA_TRY(const std::span<const std::byte> data, data_of(entry));
    TERA_CHECK(data.size() == entry.num_bytes(), "safetensors: {} bytes for {}, expected {}",
               data.size(), entry.name, entry.num_bytes());
    TERA_TRY_VOID(file->append(data));
  }
  TERA_TRY_VOID(file->sync());
  return file->close();
}

Result<SafetensorsFile> SafetensorsFile::open(Vfs& vfs, const fs::path& path) {
  const auto in_file = [&path](std::string_view message) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", path.string(), message),
                "the file is damaged or was not downloaded whole; fetch it again");
  };
  TERA_TRY(const std::uint64_t file_bytes, vfs.file_size(path));
  if (file_bytes < kLengthBytes) {
    return in_file(fmt::format("{} bytes, too short for a safetensors file", file_bytes));
  }
  TERA_TRY(const std::vector<std::byte> length_bytes, vfs.read(path, 0, kLengthBytes));
  std::uint64_t length = 0;
  std::memcpy(&length, length_bytes.data(), sizeof(length));
  if (length > kMaxHeaderBytes) {
    return in_file(
        fmt::format("a header of {} bytes, expected at most {}", length, kMaxHeaderBytes));
  }
  if (length > file_bytes - kLengthBytes) {
    return in_file(
        fmt::format("a header of {} bytes in a file of {}: it is cut off", length, file_bytes));
  }
  TERA_TRY(const std::vector<std::byte> bytes, vfs.read(path, kLengthBytes, length));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  SafetensorsFile file;
  file.vfs_ = &vfs;
  file.path_ = path;
  file.data_begin_ = kLengthBytes + length;
  Result<Header> header = parse_header(text, file_bytes - file.data_begin_);
  if (!header) return in_file(header.error().message);
  file.entries_ = std::move(header->entries);
  file.metadata_ = std::move(header->metadata);
  return file;
}

Result<std::vector<std::byte>> SafetensorsFile::read(const SafetensorsEntry& entry) const {
  return vfs_->read(path_, data_begin_ + entry.begin, entry.num_bytes());
}

}  // namespace tera::checkpoint
