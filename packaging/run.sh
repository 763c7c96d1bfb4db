#!/usr/bin/env bash
# Builds TeraGPT and runs it: trains a small Mixture-of-Experts model on English text on this computer.
# With a display the workbench opens; without one, or with --headless, the same job runs in the terminal.
#   packaging/run.sh [--headless] [options of `teragpt demo`]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${TERA_BUILD_DIR:-$root/build/release}

headless=false
arguments=()
for argument in "$@"; do
  if [ "$argument" = --headless ]; then headless=true; else arguments+=("$argument"); fi
done
set -- "${arguments[@]}"
if [ -z "${DISPLAY:-}" ] && [ -z "${WAYLAND_DISPLAY:-}" ]; then headless=true; fi

if $headless; then
  "$root/packaging/build.sh" teragpt
  exec "$build/app/teragpt/teragpt" demo "$@"
fi
"$root/packaging/build.sh" teragpt teragpt-workbench
exec "$build/app/teragpt_workbench/teragpt-workbench" "$@"
