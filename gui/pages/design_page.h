// DesignPage: what the model is. Form, block diagram, where the parameters are, memory by stage;
// the YAML text beside them with F4.
#pragma once
#include "gui/page.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/block_diagram.h"
#include "gui/widgets/field_form.h"
#include "gui/widgets/memory_bar.h"
#include "gui/widgets/parameter_card.h"

class QMenu;
class QPushButton;
class QStackedLayout;
class QTabWidget;

namespace tera::gui {

class Session;

class DesignPage : public Page {
  Q_OBJECT
 public:
  explicit DesignPage(Session& session, QWidget* parent = nullptr);
  bool isReady() const override;
  void setInView(bool inView) override;
  bool focusField(const std::string& path);
  FieldForm* form(const std::string& path) const;  // the one that has this field; null if none
  Banner* banner() { return m_banner; }

 signals:
  void termRequested(const QString& path);
  void yamlRequested(int line);

 private:
  QWidget* makeEmpty();
  QWidget* makeForms();
  void fillPresetMenu(QMenu* menu);
  void showProject();
  void showSpec();
  void showProblem();
  void showEstimate();

  Session& m_session;
  Banner* m_banner;
  bool m_bannerIsProblem = false;  // it tells of the text, and goes when that is good
  QStackedLayout* m_stack = nullptr;
  QTabWidget* m_tabs = nullptr;
  std::vector<FieldForm*> m_forms;
  QPushButton* m_presets = nullptr;
  BlockDiagram* m_diagram = nullptr;
  ParameterCard* m_parameters = nullptr;
  MemoryBar* m_memory = nullptr;
};

}  // namespace tera::gui
