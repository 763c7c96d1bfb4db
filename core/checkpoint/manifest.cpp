#include "core/checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/checkpoint/file_hasher.h"

namespace tera::checkpoint {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kMaxRank = 8;
constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxRoleBytes = 64;
constexpr std::size_t kMaxTensors = 1000000;
constexpr std::size_t kMaxFiles = 100000;
constexpr std::size_t kMaxBoxesPerTensor = 4096;
constexpr std::int64_t kMaxStep = 999999999999;

tl::unexpected<Error> bad(std::string message) {
  return fail(ErrorCode::corrupt, "manifest: " + std::move(message));
}

bool is_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::optional<std::uint64_t> number_of(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16, DType::fp8_e4m3,
                            DType::i64, DType::i32, DType::u16, DType::u8}) {
    if (dtype_name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

// A name that is safe to print and to put into a file: printable, of bounded length.
bool is_plain(std::string_view text, std::size_t max_bytes) {
  return !text.empty() && text.size() <= max_bytes &&
         std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

// One JSON object with exactly the members named; reads them with a message that says where.
class Members {
 public:
  static Result<Members> of(const json& value,
                            std::string where,
                            std::initializer_list<const char*> names) {
    if (!value.is_object()) return bad(fmt::format("{}: expected an object", where));
    for (const char* name : names) {
      if (!value.contains(name)) return bad(fmt::format("{}: \"{}\" is missing", where, name));
    }
    if (value.size() != names.size()) {
      for (const auto& [key, unused] : value.items()) {
        if (std::find(names.begin(), names.end(), key) == names.end())
          return bad(fmt::format("{}: unknown member \"{}\"", where, key.substr(0, 80)));
      }
    }
    return Members(value, std::move(where));
  }

  Result<std::string> text(const char* name) const {
    const json& value = value_->at(name);
    if (!value.is_string()) return bad(fmt::format("{}.{}: expected a text", where_, name));
    return value.get<std::string>();
  }
  Result<std::int64_t> integer(const char* name, std::int64_t max) const {
    return integer_of(value_->at(name), max, fmt::format("{}.{}", where_, name));
  }
  Result<std::vector<std::int64_t>> integers(const char* name, std::size_t max_size) const {
    const json& value = value_->at(name);
    if (!value.is_array() || value.size() > max_size) {
      return bad(
          fmt::format("{}.{}: expected a list of at most {} numbers", where_, name, max_size));
    }
    std::vector<std::int64_t> numbers;
    for (const json& item : value) {
      TERA_TRY(const std::int64_t number, integer_of(item, std::numeric_limits<std::int64_t>::max(),
                                                     fmt::format("{}.{}", where_, name)));
      numbers.push_back(number);
    }
    return numbers;
  }
  Result<const json*> list(const char* name, std::size_t max_size) const {
    const json& value = value_->at(name);
    if (!value.is_array() || value.size() > max_size) {
      return bad(fmt::format("{}.{}: expected a list of at most {}", where_, name, max_size));
    }
    return &value;
  }

 private:
  Members(const json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  static Result<std::int64_t> integer_of(const json& value, std::int64_t max, std::string where) {
    if (!value.is_number_unsigned() ||
        value.get<std::uint64_t>() > static_cast<std::uint64_t>(max)) {
      return bad(fmt::format("{}: got {}, expected an integer from 0 to {}", where,
                             value.dump().substr(0, 40), max));
    }
    return value.get<std::int64_t>();
  }

  const json* value_;
  std::string where_;
};

Result<TensorInfo> parse_tensor(const json& value, const std::string& where) {
  TERA_TRY(const Members members, Members::of(value, where, {"name", "role", "dtype", "shape"}));
  TensorInfo info;
  TERA_TRY(info.name, members.text("name"));
  TERA_TRY(info.role, members.text("role"));
  TERA_TRY(const std::string dtype_text, members.text("dtype"));
  TERA_TRY(info.shape, members.integers("shape", kMaxRank));
  if (!is_plain(info.name, kMaxNameBytes) || !is_plain(info.role, kMaxRoleBytes)) {
    return bad(fmt::format("{}: name or role is empty, too long or not printable", where));
  }
  const std::optional<DType> dtype = dtype_from_name(dtype_text);
  if (!dtype) return bad(fmt::format("{}: unknown dtype \"{}\"", where, dtype_text.substr(0, 40)));
  info.dtype = *dtype;
  TERA_TRY_VOID(checked_bytes(info.shape, info.dtype));
  return info;
}

Result<FileEntry> parse_file(const json& value, std::int64_t index) {
  const std::string where = fmt::format("files[{}]", index);
  TERA_TRY(const Members members,
           Members::of(value, where, {"name", "bytes", "xxh3_128", "blocks"}));
  FileEntry file;
  TERA_TRY(file.name, members.text("name"));
  if (file.name != fmt::format("shard-{:05}.safetensors", index)) {
    return bad(fmt::format("{}: name is \"{}\", expected shard-{:05}.safetensors", where,
                           file.name.substr(0, 80), index));
  }
  TERA_TRY(const std::int64_t num_bytes, members.integer("bytes", std::int64_t{1} << 60));
  file.num_bytes = static_cast<std::uint64_t>(num_bytes);
  TERA_TRY(file.whole_hex, members.text("xxh3_128"));
  if (!is_hex(file.whole_hex, 32))
    return bad(fmt::format("{}.xxh3_128: expected 32 hex digits", where));
  TERA_TRY(const json* blocks, members.list("blocks", kMaxManifestBytes));
  const std::uint64_t num_blocks = (file.num_bytes + kBlockBytes - 1) / kBlockBytes;
  if (blocks->size() != num_blocks) {
    return bad(fmt::format("{}.blocks: got {}, expected {} for {} bytes", where, blocks->size(),
                           num_blocks, file.num_bytes));
  }
  for (const json& block : *blocks) {
    if (!block.is_string() || !is_hex(block.get_ref<const std::string&>(), 16)) {
      return bad(fmt::format("{}.blocks: expected texts of 16 hex digits", where));
    }
    file.blocks.push_back(*number_of(block.get_ref<const std::string&>(), 16));
  }
  return file;
}

Result<Box> parse_box(const json& value, const std::string& where, const Manifest& manifest) {
  TERA_TRY(const Members members,
           Members::of(value, where, {"tensor", "offset", "size", "file", "file_offset", "bytes"}));
  Box box;
  const auto last_index = [](const auto& items) {
    return static_cast<std::int64_t>(items.size()) - 1;
  };
  TERA_TRY(box.tensor, members.integer("tensor", last_index(manifest.tensors)));
  TERA_TRY(box.file, members.integer("file", last_index(manifest.files)));
  TERA_TRY(box.offset, members.integers("offset", kMaxRank));
  TERA_TRY(box.size, members.integers("size", kMaxRank));
  const TensorInfo& info = manifest.tensors[static_cast<std::size_t>(box.tensor)];
  if (box.offset.size() != info.shape.size() || box.size.size() != info.shape.size()) {
    return bad(fmt::format("{}: rank differs from that of {}", where, info.name));
  }
  for (std::size_t dim = 0; dim < info.shape.size(); ++dim) {
    if (box.offset[dim] > info.shape[dim] || box.size[dim] > info.shape[dim] - box.offset[dim]) {
      return bad(fmt::format("{}: leaves {} in dim {}", where, info.name, dim));
    }
  }
  TERA_TRY(const std::int64_t expected, checked_bytes(box.size, info.dtype));
  TERA_TRY(const std::int64_t num_bytes, members.integer("bytes", std::int64_t{1} << 60));
  TERA_TRY(const std::int64_t file_offset, members.integer("file_offset", std::int64_t{1} << 60));
  box.num_bytes = static_cast<std::uint64_t>(num_bytes);
  box.file_offset = static_cast<std::uint64_t>(file_offset);
  if (num_bytes != expected) {
    return bad(fmt::format("{}.bytes: got {}, expected {}", where, num_bytes, expected));
  }
  const FileEntry& file = manifest.files[static_cast<std::size_t>(box.file)];
  if (box.file_offset > file.num_bytes || box.num_bytes > file.num_bytes - box.file_offset) {
    return bad(fmt::format("{}: leaves {} of {} bytes", where, file.name, file.num_bytes));
  }
  return box;
}

bool overlap(const Box& a, const Box& b) {
  for (std::size_t dim = 0; dim < a.offset.size(); ++dim) {
    if (a.offset[dim] + a.size[dim] <= b.offset[dim] ||
        b.offset[dim] + b.size[dim] <= a.offset[dim]) {
      return false;
    }
  }
  return a.num_bytes > 0 && b.num_bytes > 0;
}

// Boxes that do not overlap and together have the tensor's size cover it exactly.
Result<void> check_cover(const Manifest& manifest, std::size_t tensor) {
  const TensorInfo& info = manifest.tensors[tensor];
  const std::vector<std::int64_t>& boxes = manifest.boxes_of[tensor];
  if (boxes.empty() || boxes.size() > kMaxBoxesPerTensor) {
    return bad(fmt::format("{}/{}: got {} boxes, expected 1 to {}", info.role, info.name,
                           boxes.size(), kMaxBoxesPerTensor));
  }
  std::uint64_t num_bytes = 0;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const Box& box = manifest.boxes[static_cast<std::size_t>(boxes[i])];
    num_bytes += box.num_bytes;  // at most kMaxBoxesPerTensor times a tensor: no overflow
    for (std::size_t j = 0; j < i; ++j) {
      if (overlap(box, manifest.boxes[static_cast<std::size_t>(boxes[j])])) {
        return bad(fmt::format("{}/{}: two boxes overlap", info.role, info.name));
      }
    }
  }
  if (num_bytes != static_cast<std::uint64_t>(info.num_bytes())) {
    return bad(fmt::format("{}/{}: boxes hold {} bytes, the tensor {}", info.role, info.name,
                           num_bytes, info.num_bytes()));
  }
  return {};
}

}  // namespace

Result<std::int64_t> checked_bytes(const std::vector<std::int64_t>& shape, DType dtype) {
  constexpr std::int64_t kMaxBytes = std::int64_t{1} << 50;
  std::int64_t bytes = dtype_bytes(dtype);
  for (const std::int64_t dim : shape) {
    if (dim < 0 || (dim > 0 && bytes > kMaxBytes / dim)) {
      return fail(ErrorCode::corrupt, fmt::format("shape [{}]: a dim is negative or the product "
                                                  "does not fit",
                                                  fmt::join(shape, ", ")));
    }
    bytes *= dim;
  }
  return bytes;
}

std::string to_json(const Manifest& manifest) {
  ordered_json document = {{"format", kFormat},
                           {"step", manifest.state.step},
                           {"save_id", manifest.save_id},
                           {"state", manifest.state.json},
                           {"tensors", ordered_json::array()},
                           {"files", ordered_json::array()},
                           {"boxes", ordered_json::array()}};
  for (const TensorInfo& info : manifest.tensors) {
    document["tensors"].push_back({{"name", info.name},
                                   {"role", info.role},
                                   {"dtype", dtype_name(info.dtype)},
                                   {"shape", info.shape}});
  }
  for (const FileEntry& file : manifest.files) {
    ordered_json blocks = ordered_json::array();
    for (const std::uint64_t block : file.blocks)
      blocks.push_back(fmt::format("{:016x}", block));
    document["files"].push_back({{"name", file.name},
                                 {"bytes", file.num_bytes},
                                 {"xxh3_128", file.whole_hex},
                                 {"blocks", std::move(blocks)}});
  }
  for (const Box& box : manifest.boxes) {
    document["boxes"].push_back({{"tensor", box.tensor},
                                 {"offset", box.offset},
                                 {"size", box.size},
                                 {"file", box.file},
                                 {"file_offset", box.file_offset},
                                 {"bytes", box.num_bytes}});
  }
  return document.dump() + "\n";
}

Result<Manifest> parse_manifest(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  TERA_TRY(const Members members,
           Members::of(document, "top",
                       {"format", "step", "save_id", "state", "tensors", "files", "boxes"}));
  TERA_TRY(const std::string format, members.text("format"));
  if (format != kFormat) {
    return fail(
        ErrorCode::unsupported,
        fmt::format("manifest: format is \"{}\", expected \"{}\"", format.substr(0, 40), kFormat),
        "read it with the version of TeraGPT that wrote it");
  }
  Manifest manifest;
  TERA_TRY(manifest.state.step, members.integer("step", kMaxStep));
  TERA_TRY(manifest.save_id, members.text("save_id"));
  if (!is_hex(manifest.save_id, 32)) return bad("save_id: expected 32 hex digits");
  TERA_TRY(manifest.state.json, members.text("state"));

  TERA_TRY(const json* tensors, members.list("tensors", kMaxTensors));
  std::set<std::pair<std::string, std::string>> names;
  for (std::size_t i = 0; i < tensors->size(); ++i) {
    TERA_TRY(TensorInfo info, parse_tensor((*tensors)[i], fmt::format("tensors[{}]", i)));
    if (!names.emplace(info.role, info.name).second) {
      return bad(fmt::format("{}/{} is listed twice", info.role, info.name));
    }
    manifest.tensors.push_back(std::move(info));
  }
  TERA_TRY(const json* files, members.list("files", kMaxFiles));
  for (std::size_t i = 0; i < files->size(); ++i) {
    TERA_TRY(FileEntry file, parse_file((*files)[i], static_cast<std::int64_t>(i)));
    manifest.files.push_back(std::move(file));
  }
  TERA_TRY(const json* boxes, members.list("boxes", kMaxTensors * 10));
  if (!boxes->empty() && (manifest.tensors.empty() || manifest.files.empty())) {
    return bad("boxes: there is no tensor or no file they could belong to");
  }
  manifest.boxes_of.resize(manifest.tensors.size());
  for (std::size_t i = 0; i < boxes->size(); ++i) {
    TERA_TRY(Box box, parse_box((*boxes)[i], fmt::format("boxes[{}]", i), manifest));
    manifest.boxes_of[static_cast<std::size_t>(box.tensor)].push_back(static_cast<std::int64_t>(i));
    manifest.boxes.push_back(std::move(box));
  }
  for (std::size_t tensor = 0; tensor < manifest.tensors.size(); ++tensor)
    TERA_TRY_VOID(check_cover(manifest, tensor));
  return manifest;
}

std::string to_line(const Commit& commit) {
  return fmt::format("tgck1 {} {} {} {}\n", commit.manifest_hex, commit.manifest_bytes, commit.step,
                     commit.save_id);
}

Result<Commit> parse_commit(std::string_view line) {
  const auto malformed = [] {
    return fail(ErrorCode::corrupt,
                "COMMIT: expected \"tgck1 <32 hex> <bytes> <step> <32 hex>\" and a newline");
  };
  std::vector<std::string_view> words;
  std::string_view rest = line;
  if (!rest.ends_with('\n')) return malformed();
  rest.remove_suffix(1);
  for (auto space = rest.find(' '); space != rest.npos; space = rest.find(' ')) {
    words.push_back(rest.substr(0, space));
    rest.remove_prefix(space + 1);
  }
  words.push_back(rest);
  if (words.size() != 5 || words[0] != "tgck1") return malformed();
  const std::optional<std::uint64_t> bytes = number_of(words[2], 10);
  const std::optional<std::uint64_t> step = number_of(words[3], 10);
  if (!is_hex(words[1], 32) || !bytes || *bytes > kMaxManifestBytes || !step ||
      *step > static_cast<std::uint64_t>(kMaxStep) || !is_hex(words[4], 32)) {
    return malformed();
  }
  Commit commit{.manifest_hex = std::string(words[1]),
                .manifest_bytes = *bytes,
                .step = static_cast<std::int64_t>(*step),
                .save_id = std::string(words[4])};
  if (to_line(commit) != line) return malformed();  // no leading zeros: one spelling for each line
  return commit;
}

}  // namespace tera::checkpoint
