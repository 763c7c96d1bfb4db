// Page: one screen of the workbench. Built on first visit; told when it is in view.
#pragma once
#include <QString>
#include <QWidget>

namespace tera::gui {

class Page : public QWidget {
  Q_OBJECT
 public:
  using QWidget::QWidget;

  // True when everything the page shows has arrived: what --grab waits for.
  virtual bool isReady() const = 0;
  // Came into view, or left it: pages that poll do so only in view.
  virtual void setInView(bool inView) { Q_UNUSED(inView); }

 signals:
  void pageRequested(const QString& name);  // "design", "launch", "monitor"
};

}  // namespace tera::gui
