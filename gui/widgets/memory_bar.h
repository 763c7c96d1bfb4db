// MemoryBar: memory of one device by pipeline stage, as stacked bars with hatching, under the line
// of its capacity. Few stages lie, many stand; what is too narrow for a label shows the worst
// stage's.
#pragma once
#include <memory>

#include <QWidget>

#include "core/plan/estimate.h"

namespace tera::gui {

class MemoryBar : public QWidget {
  Q_OBJECT
 public:
  explicit MemoryBar(QWidget* parent = nullptr);
  // Only stages, worst_bytes, capacity_bytes and fits are read.
  void setEstimate(const plan::Estimate* estimate);
  QSize sizeHint() const override { return {420, 190}; }
  QSize minimumSizeHint() const override { return {240, 120}; }

 signals:
  void stageClicked(int stage);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  bool event(QEvent* event) override;

 private:
  static constexpr int kLyingStages = 3;  // at most this many bars lie
  struct Bar {
    QRectF rect;  // of the full scale
    int stage = 0;
  };
  std::vector<Bar> bars() const;
  QRectF plotArea() const;
  double scaleMax() const;
  bool lying() const { return m_stages.size() <= kLyingStages; }
  const Bar* barAt(const QPointF& position, const std::vector<Bar>& all) const;
  void paintLegend(QPainter& painter) const;
  void paintParts(QPainter& painter, const QRectF& plot) const;

  std::vector<plan::StageMemory> m_stages;
  double m_capacity = 0;
  bool m_fits = true;
  bool m_known = false;
};

}  // namespace tera::gui
