// DesignPage: what the model is. Form, block diagram, where the parameters are, memory by stage;
// the YAML text beside them with F4.
#pragma once
#include "gui/models/param_model.h"
#include "gui/page.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/block_diagram.h"
#include "gui/widgets/field_form.h"
#include "gui/widgets/memory_bar.h"
#include "gui/widgets/parts_bar.h"

class QLabel;
class QMenu;
class QStackedLayout;
class QTabWidget;

namespace tera::gui {

class Session;

std::vector<FormSection> modelSections();
std::vector<FormSection> trainingSections();
std::vector<FormSection> layoutSections();

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

 protected:
  void changeEvent(QEvent* event) override;

 private:
  QWidget* makeEmpty();
  QWidget* makeForms();
  QWidget* makeParameters();
  void fillPresetMenu(QMenu* menu);
  void showProject();
  void showSpec();
  void showProblem();
  void showEstimate();
  void showParts();

  Session& m_session;
  Banner* m_banner;
  bool m_bannerIsProblem = false;  // it tells of the text, and goes when that is good
  QStackedLayout* m_stack = nullptr;
  QTabWidget* m_tabs = nullptr;
  std::vector<FieldForm*> m_forms;
  BlockDiagram* m_diagram = nullptr;
  ParamModel m_params;
  PartsBar* m_partsBar = nullptr;
  PartsBar* m_timeBar = nullptr;
  QLabel* m_totals = nullptr;
  QLabel* m_timeText = nullptr;
  MemoryBar* m_memory = nullptr;
};

}  // namespace tera::gui
