#!/usr/bin/env bash
# Configures and builds into build/release; the part that run.sh and test.sh share.
# TERA_BUILD_DIR names another folder; arguments are targets (default: all).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${TERA_BUILD_DIR:-$root/build/release}

"$root/packaging/dependencies.sh"
cmake -S "$root" --preset release -B "$build" >"${TMPDIR:-/tmp}/teragpt-configure.$$.log" 2>&1 || {
  cat "${TMPDIR:-/tmp}/teragpt-configure.$$.log"
  rm -f "${TMPDIR:-/tmp}/teragpt-configure.$$.log"
  exit 1
}
rm -f "${TMPDIR:-/tmp}/teragpt-configure.$$.log"
if [ $# -gt 0 ]; then
  cmake --build "$build" --target "$@"
else
  cmake --build "$build"
fi
