#include "gui/about.h"

#include <QAction>
#include <QCoreApplication>
#include <QDialog>
#include <QDialogButtonBox>
#include <QLabel>
#include <QMessageBox>
#include <QTextBrowser>
#include <QVBoxLayout>

namespace tera::gui {
namespace {

QString tr(const char* text) {
  return QCoreApplication::translate("About", text);
}

}  // namespace

QString aboutText() {
  return tr("<h3>TeraGPT Workbench %1</h3>"
            "<p>Designs, plans, trains and watches Mixture-of-Experts language models.</p>"
            "<p>The code of TeraGPT is licensed under the Apache License 2.0. This program is "
            "linked with "
            "Qt Charts, so the workbench binary as a whole is distributed under the GNU General "
            "Public "
            "License, version 3. The command line and the engine contain no Qt and stay "
            "Apache-2.0.</p>"
            "<p>Qt %2 is used under the LGPL 3, Qt Charts under the GPL 3.</p>")
      .arg(QStringLiteral(TERA_VERSION), QString::fromLatin1(qVersion()));
}

void showAbout(QWidget* parent) {
  auto* box = new QMessageBox(QMessageBox::NoIcon, tr("About TeraGPT Workbench"), aboutText(),
                              QMessageBox::Close, parent);
  box->setAttribute(Qt::WA_DeleteOnClose);
  box->setIconPixmap(QIcon(QStringLiteral(":/icons/org.teragpt.Workbench.svg")).pixmap(64, 64));
  box->open();
}

void showShortcuts(QWidget* parent, const QList<QAction*>& actions) {
  QString rows;
  const auto add = [&](const QString& keys, const QString& what) {
    rows += QStringLiteral("<tr><td style='padding-right:18px'><b>%1</b></td><td>%2</td></tr>")
                .arg(keys.toHtmlEscaped(), what.toHtmlEscaped());
  };
  for (const QAction* action : actions) {
    if (!action->shortcut().isEmpty())
      add(action->shortcut().toString(QKeySequence::NativeText),
          action->text().remove(QLatin1Char('&')));
  }
  add(tr("in a number"),
      tr("arrows: one step; Page Up, Page Down: double, half; 7k and 7*1024 are numbers"));
  add(tr("in a chart"),
      tr("wheel: zoom (Shift: y); drag: pan; Ctrl+drag: box; Backspace: back; 0: fit; F: follow; "
         "L: log; E: average; C: pin; arrows: read values; Ctrl+T: table"));
  auto* dialog = new QDialog(parent);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->setWindowTitle(tr("Keyboard"));
  dialog->resize(640, 560);
  auto* layout = new QVBoxLayout(dialog);
  auto* text = new QTextBrowser;
  text->setHtml(QStringLiteral("<table cellpadding='2'>%1</table>").arg(rows));
  text->setAccessibleName(tr("Keyboard shortcuts"));
  layout->addWidget(text);
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
  QObject::connect(buttons, &QDialogButtonBox::rejected, dialog, &QDialog::close);
  layout->addWidget(buttons);
  dialog->open();
}

}  // namespace tera::gui
