// HeatMap: load of every expert of every MoE layer over the ideal share, log2 from 1/4x to 4x at a
// fixed scale, so that pictures of two moments compare. Right: max / mean of each layer; below:
// mean of each expert. Dead experts are hatched. Where cells would be thinner than a pixel, a pixel
// shows the expert farthest from 1x, never a mean. Arrows move a cell cursor. For screen readers it
// is a table (heat_map_accessible.h).
#pragma once
#include <optional>

#include <QWidget>

#include "gui/models/expert_load_model.h"

namespace tera::gui {

// log2(ratio) clamped to [-2, 2] on low - middle - high.
QRgb expertColor(double ratio);

class HeatMap : public QWidget {
  Q_OBJECT
 public:
  explicit HeatMap(ExpertLoadModel& model, QWidget* parent = nullptr);

  QSize sizeHint() const override { return {420, 180}; }
  QSize minimumSizeHint() const override { return {220, 110}; }
  ExpertLoadModel& model() const { return m_model; }
  // Cells are (row, column) of the model: a layer and an expert, the last column its max / mean.
  std::optional<std::pair<int, int>> cellAt(const QPointF& position) const;
  QRectF cellRect(int row, int column) const;  // as painted, in this widget
  QString describe(int row, int column) const;
  std::optional<std::pair<int, int>> cursor() const { return m_cursor; }  // of the arrow keys
  // One pixel per device pixel of `size`, as painted.
  QImage render(const QSize& size) const;

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void leaveEvent(QEvent* event) override;
  void focusInEvent(QFocusEvent* event) override;

 private:
  QRectF mapArea() const;
  void paintMarginals(QPainter& painter, const QRectF& map) const;
  void paintScale(QPainter& painter, const QRectF& map) const;
  void paintDead(QPainter& painter, const QRectF& map) const;
  void moveTo(int row, int column);
  void modelReset();
  void summarise();

  ExpertLoadModel& m_model;
  std::optional<std::pair<int, int>> m_cursor;
};

}  // namespace tera::gui
