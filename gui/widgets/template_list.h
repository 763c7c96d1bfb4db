// TemplateList: the model presets of resources as buttons, smallest first. Reads them on a thread
// of its own; scrolls where they do not fit.
#pragma once
#include <vector>

#include <QScrollArea>

#include "core/base/result.h"
#include "gui/job.h"

class QVBoxLayout;

namespace tera::gui {

class TemplateList : public QScrollArea {
  Q_OBJECT
 public:
  explicit TemplateList(QWidget* parent = nullptr);
  bool isReady() const { return m_known; }
  int count() const;

 signals:
  void chosen(const QString& name);     // of the preset
  void failed(const QString& message);  // they cannot be read

 private:
  struct Template {
    QString name, title;
    double params = 0;
  };
  static Result<std::vector<Template>> readTemplates();
  void fill(const std::vector<Template>& templates);

  QVBoxLayout* m_buttons;
  bool m_known = false;
  LatestJob<Result<std::vector<Template>>> m_job;
};

}  // namespace tera::gui
