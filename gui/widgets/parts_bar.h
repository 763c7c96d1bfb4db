// PartsBar: shares of a whole as one horizontal bar with hatching; the numbers stand in a table
// beside.
#pragma once
#include <vector>

#include <QColor>
#include <QWidget>

namespace tera::gui {

struct BarPart {
  QString name;
  QString text;  // the value in words, for the tooltip
  double value = 0;
  QColor color;
};

class PartsBar : public QWidget {
  Q_OBJECT
 public:
  explicit PartsBar(const QString& accessibleName, QWidget* parent = nullptr);
  void setParts(std::vector<BarPart> parts);
  const std::vector<BarPart>& parts() const { return m_parts; }
  QSize sizeHint() const override { return {200, 22}; }
  QSize minimumSizeHint() const override { return {80, 22}; }

 protected:
  void paintEvent(QPaintEvent* event) override;
  bool event(QEvent* event) override;  // tooltips

 private:
  std::vector<BarPart> m_parts;
};

// The hatching of the i-th part: colour is never the only signal.
Qt::BrushStyle hatchOf(int i);
// Fills a rectangle with a part's colour and hatching.
void paintPart(QPainter& painter, const QRectF& rect, const QColor& color, int i);

}  // namespace tera::gui
