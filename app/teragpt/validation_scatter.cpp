// validation_page.h: the picture.
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "app/teragpt/validation_page.h"
#include "core/base/units.h"

namespace tera::app {
namespace {

using plan::RowPrediction;
using plan::RowStatus;

// Colours of middle lightness, and shapes for who does not tell them apart.
struct Kind {
  std::string_view name;
  std::string_view colour;
  std::string_view mark;  // a path around the point
  bool (*holds)(const RowPrediction&);
};
bool is_dense(const RowPrediction& row, RowStatus status) {
  return !row.has_experts && row.status == status;
}
// Many first, so that few are drawn over them.
constexpr std::array<Kind, 4> kKinds = {{
    {"dense, some cell concluded", "#b565c9", "m-3,-3h6v6h-6z",
     [](const RowPrediction& row) { return is_dense(row, RowStatus::inferred); }},
    {"dense, every cell published", "#3d8fd1", "m-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0z",
     [](const RowPrediction& row) { return is_dense(row, RowStatus::determined); }},
    {"dense, several layouts possible", "#2f9e77", "m0,-4l4,7h-8z",
     [](const RowPrediction& row) { return is_dense(row, RowStatus::interval); }},
    {"with experts", "#d97b29", "m0,-4l4,4l-4,4l-4,-4z",
     [](const RowPrediction& row) { return row.has_experts; }},
}};
constexpr std::string_view kInk = "#7d8590";  // text and lines, on white and on near-black

// Whole decades from `first` on, over the square of the plot.
struct Axis {
  int first = 0;
  int decades = 1;
  static constexpr int kLeft = 80, kTop = 20, kSize = 560;

  double share(double seconds) const { return (std::log10(seconds) - first) / decades; }
  // Whole units: what moves by less than one stays where it is.
  int x(double seconds) const {
    return kLeft + static_cast<int>(std::lround(share(seconds) * kSize));
  }
  int y(double seconds) const {
    return kTop + kSize - static_cast<int>(std::lround(share(seconds) * kSize));
  }
};

Axis axis_of(const std::vector<RowPrediction>& rows) {
  double low = 0;
  double high = 0;
  for (const RowPrediction& row : rows) {
    if (!row.is_compared()) continue;
    const auto [least, most] = std::minmax(row.step_s, *row.measured_step_s);
    low = low > 0 ? std::min(low, least) : least;
    high = std::max(high, most);
  }
  if (high <= 0) return {};
  const int first = static_cast<int>(std::floor(std::log10(low)));
  return {first, std::max(1, static_cast<int>(std::ceil(std::log10(high))) - first)};
}

std::string line(int x0, int y0, int x1, int y1, std::string_view style) {
  return fmt::format("<path d=\"M{},{}L{},{}\" {}/>\n", x0, y0, x1, y1, style);
}

std::string text_at(int x, int y, std::string_view style, std::string_view text) {
  return fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\" stroke=\"none\"{}>{}</text>\n", x, y,
                     kInk, style, text);
}

std::string frame(const Axis& axis) {
  const int right = Axis::kLeft + Axis::kSize;
  const int bottom = Axis::kTop + Axis::kSize;
  const int middle = Axis::kTop + Axis::kSize / 2;
  std::string text;
  for (int i = 0; i <= axis.decades; ++i) {
    const double seconds = std::pow(10, axis.first + i);
    const int x = axis.x(seconds);
    const int y = axis.y(seconds);
    text += line(x, Axis::kTop, x, bottom, "stroke-opacity=\"0.35\"");
    text += line(Axis::kLeft, y, right, y, "stroke-opacity=\"0.35\"");
    const std::string label =
        seconds < 1 ? fmt::format("{:g} ms", 1000 * seconds) : fmt::format("{:g} s", seconds);
    text += text_at(x, bottom + 20, " text-anchor=\"middle\"", label);
    text += text_at(Axis::kLeft - 8, y + 4, " text-anchor=\"end\"", label);
  }
  text += text_at(Axis::kLeft + Axis::kSize / 2, bottom + 44, " text-anchor=\"middle\"",
                  "measured step time");
  text += text_at(
      0, 0,
      fmt::format(" text-anchor=\"middle\" transform=\"translate(16,{}) rotate(-90)\"", middle),
      "predicted step time");
  // As predicted, and a quarter more or less.
  const double low = std::pow(10, axis.first);
  const double high = std::pow(10, axis.first + axis.decades);
  text += line(axis.x(low), axis.y(low), axis.x(high), axis.y(high), "");
  const std::string_view dashed = "stroke-dasharray=\"4,4\"";
  text += line(axis.x(low), axis.y(1.25 * low), axis.x(high / 1.25), axis.y(high), dashed);
  text += line(axis.x(1.25 * low), axis.y(low), axis.x(high), axis.y(high / 1.25), dashed);
  return text;
}

}  // namespace

std::string validation_scatter(const std::vector<RowPrediction>& rows) {
  const Axis axis = axis_of(rows);
  std::string marks;
  std::string legend;
  int y = Axis::kTop + 24;
  for (const Kind& kind : kKinds) {
    std::string points;
    int count = 0;
    for (const RowPrediction& row : rows) {
      if (!row.is_compared() || !kind.holds(row)) continue;
      points +=
          fmt::format("M{},{}{}\n", axis.x(*row.measured_step_s), axis.y(row.step_s), kind.mark);
      ++count;
    }
    if (count == 0) continue;
    marks +=
        fmt::format("<path fill=\"{}\" fill-opacity=\"0.6\" d=\"\n{}\"/>\n", kind.colour, points);
    legend += fmt::format("<path fill=\"{}\" stroke=\"none\" d=\"M{},{}{}\"/>\n", kind.colour,
                          Axis::kLeft + 20, y - 4, kind.mark);
    legend += text_at(Axis::kLeft + 32, y, "", fmt::format("{} ({})", kind.name, count));
    y += 22;
  }
  legend += line(Axis::kLeft + 12, y - 4, Axis::kLeft + 28, y - 4, "stroke-dasharray=\"4,4\"");
  legend += text_at(Axis::kLeft + 32, y, "", "a quarter more or less");
  constexpr int kWidth = Axis::kLeft + Axis::kSize + 30;
  constexpr int kHeight = Axis::kTop + Axis::kSize + 60;
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"14\">\n"
      "<title>Predicted against measured step time</title>\n"
      "<g fill=\"none\" stroke=\"{2}\">\n{3}</g>\n{4}"
      "<g stroke=\"{2}\">\n{5}</g>\n</svg>\n",
      kWidth, kHeight, kInk, frame(axis), marks, legend);
}

}  // namespace tera::app
