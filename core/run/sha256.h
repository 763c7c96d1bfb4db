// SHA-256 of a text, as 64 lower-case hex digits: the identity of specs and launch scripts.
#pragma once
#include <string>
#include <string_view>

namespace tera::run {

std::string sha256_hex(std::string_view text);

}  // namespace tera::run
