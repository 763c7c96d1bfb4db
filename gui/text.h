// Text between core (UTF-8 std::string) and Qt.
#pragma once
#include <string>
#include <string_view>

#include <QString>

namespace tera::gui {

inline QString qs(std::string_view text) {
  return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}
inline std::string ss(const QString& text) {
  return text.toStdString();
}

}  // namespace tera::gui
