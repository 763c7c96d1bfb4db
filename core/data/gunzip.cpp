#include "core/data/gunzip.h"

#include <algorithm>

#include <zlib.h>

#include <fmt/format.h>

#include "core/base/vfs.h"

namespace tera::data {

Result<std::string> gunzip_file(const std::filesystem::path& path, std::size_t max_bytes) {
  constexpr std::size_t kMaxRatio = 200;
  TERA_TRY(std::string packed, read_text(posix_vfs(), path, 1 << 30));
  const std::size_t limit = std::min(max_bytes, packed.size() * kMaxRatio);
  z_stream stream = {};
  constexpr int kGzipOnly = 16 + MAX_WBITS;
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) {
    return fail(ErrorCode::failed, "zlib cannot start");
  }
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string text;
  std::string problem;
  char buffer[1 << 16];
  for (int state = Z_OK; state != Z_STREAM_END && problem.empty();) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    state = inflate(&stream, Z_NO_FLUSH);
    if (state != Z_OK && state != Z_STREAM_END) {
      problem = stream.avail_in == 0 ? "is cut short" : "is not a sound gzip file";
    }
    text.append(buffer, sizeof buffer - stream.avail_out);
    if (text.size() > limit) problem = fmt::format("unpacks to more than {} bytes", limit);
    if (state == Z_STREAM_END && stream.avail_in > 0 && problem.empty()) {  // the next member
      state = inflateReset(&stream);
    }
  }
  inflateEnd(&stream);
  if (!problem.empty()) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", path.string(), problem));
  }
  return text;
}

}  // namespace tera::data
