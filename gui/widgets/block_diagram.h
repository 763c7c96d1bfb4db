// BlockDiagram: the model as blocks, one per kind of layer and never one per layer, so that ten
// thousand layers draw like ten. Click or Enter on a block asks for its fields.
#pragma once
#include <string>
#include <vector>

#include <QWidget>

#include "core/spec/model_config.h"

namespace tera::gui {

struct ModelBlock {
  QString title;      // "57 × MoE block"
  QString attention;  // "grouped-query attention · 32 heads, 8 KV" ; empty: no attention inside
  QString body;       // "FFN 18,432", "129,280 × 7,168"
  QString shortBody = {};  // where body has no room; empty: body, cut
  int experts = 0, topK = 0, shared = 0;
  std::string field;  // what a click focuses
};

std::vector<ModelBlock> modelBlocks(const spec::ModelConfig& model);

class BlockDiagram : public QWidget {
  Q_OBJECT
 public:
  explicit BlockDiagram(QWidget* parent = nullptr);
  void setModel(const spec::ModelConfig* model);  // null: not known
  QSize sizeHint() const override { return {420, 300}; }
  QSize minimumSizeHint() const override { return {260, 220}; }

 signals:
  void fieldRequested(const std::string& path);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  std::vector<QRectF> blockRects() const;
  void paintBlock(QPainter& painter,
                  const QRectF& rect,
                  const ModelBlock& block,
                  bool current) const;
  void paintExperts(QPainter& painter, const QRectF& rect, const ModelBlock& block) const;
  void select(int block);

  std::vector<ModelBlock> m_blocks;
  int m_current = 0;
};

}  // namespace tera::gui
