// The desktop's light or dark choice by the settings portal, asked without waiting.
#include <QDBusConnection>
#include <QDBusMessage>
#include <QDBusPendingCallWatcher>
#include <QDBusPendingReply>
#include <QDBusVariant>
#include <QTimer>

#include "gui/theme.h"

namespace tera::gui {
namespace {

constexpr auto kService = "org.freedesktop.portal.Desktop";
constexpr auto kPath = "/org/freedesktop/portal/desktop";
constexpr auto kInterface = "org.freedesktop.portal.Settings";
constexpr auto kNamespace = "org.freedesktop.appearance";
constexpr auto kKey = "color-scheme";  // 0 no preference, 1 dark, 2 light
constexpr int kTimeoutMs = 1000;

// The portal answers a variant, in old versions one inside another.
uint schemeOf(QVariant value) {
  while (value.metaType() == QMetaType::fromType<QDBusVariant>())
    value = value.value<QDBusVariant>().variant();
  return value.toUInt();
}

}  // namespace

void watchDesktopScheme(QObject* owner, const std::function<void(bool dark)>& changed) {
  // Without a session bus Qt would try to start one; a headless machine has no preference anyway.
  if (qEnvironmentVariableIsEmpty("DBUS_SESSION_BUS_ADDRESS")) return;
  QDBusMessage ask =
      QDBusMessage::createMethodCall(QLatin1String(kService), QLatin1String(kPath),
                                     QLatin1String(kInterface), QStringLiteral("Read"));
  ask << QString::fromLatin1(kNamespace) << QString::fromLatin1(kKey);
  const auto poll = [owner, ask, changed] {
    auto* watcher = new QDBusPendingCallWatcher(
        QDBusConnection::sessionBus().asyncCall(ask, kTimeoutMs), owner);
    QObject::connect(watcher, &QDBusPendingCallWatcher::finished, owner, [watcher, changed] {
      const QDBusPendingReply<QVariant> reply = *watcher;
      watcher->deleteLater();
      if (reply.isError()) return;
      const uint scheme = schemeOf(reply.value());
      if (scheme == 1 || scheme == 2) changed(scheme == 1);
    });
  };
  poll();
  auto* timer =
      new QTimer(owner);  // a slow poll needs no signal signature of the portal's versions
  QObject::connect(timer, &QTimer::timeout, owner, poll);
  timer->start(10'000);
}

}  // namespace tera::gui
