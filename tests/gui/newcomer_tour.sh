#!/usr/bin/env bash
# Plays a newcomer: an empty home, the workbench on a screen of 1366x768, Enter on "Try it on this
# computer", F5, and the time until the first loss point is on screen. Then pictures of every page in
# both themes while the run goes on, closing the window with the run kept, and finding it again.
#   tests/gui/newcomer_tour.sh BUILD_DIR OUT_DIR [LIMIT_SECONDS]
# Needs Xvfb and xdotool. Prints one JSON line; exits 1 when a step fails or the limit is passed.
set -euo pipefail
build=$(realpath "$1")
out=$2
limit=${3:-30}
workbench=$build/app/teragpt_workbench/teragpt-workbench
teragpt=$build/app/teragpt/teragpt
mkdir -p "$out"
home=$(mktemp -d)
pids=()
cleanup() {
  local run
  for run in "$home"/data/teragpt/runs/*/; do
    if [ -d "$run" ]; then env HOME="$home" XDG_DATA_HOME="$home/data" "$teragpt" stop "$run" >/dev/null 2>&1 || true; fi
  done
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  sleep 1
  rm -rf "$home"
}
trap cleanup EXIT
fail() {
  echo "tour: $1" >&2
  exit 1
}
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{printf "%.2f", $1 - $2}'; }

exec 3> >(cat >"$home/display")
Xvfb -displayfd 3 -screen 0 1366x768x24 -nolisten tcp >/dev/null 2>&1 &
pids+=($!)
exec 3>&-
for _ in $(seq 100); do
  [ -s "$home/display" ] && break
  sleep 0.05
done
[ -s "$home/display" ] || fail "Xvfb did not start"
export DISPLAY=:$(tr -d '\n' <"$home/display")

mkdir -m 700 "$home/runtime"
unset DBUS_SESSION_BUS_ADDRESS TERA_RUNS QT_QPA_PLATFORM
export HOME=$home XDG_DATA_HOME=$home/data XDG_CONFIG_HOME=$home/config XDG_CACHE_HOME=$home/cache
export XDG_STATE_HOME=$home/state XDG_RUNTIME_DIR=$home/runtime

actions=0
window=
press() {
  xdotool windowfocus --sync "$window" key --clearmodifiers "$1"
  actions=$((actions + 1))
}
title() { xdotool getwindowname "$window" 2>/dev/null || true; }
wait_title() { # PATTERN SECONDS
  local end
  end=$(($(date +%s) + $2))
  while [ "$(date +%s)" -le "$end" ]; do
    if [[ "$(title)" == $1 ]]; then return 0; fi
    sleep 0.05
  done
  fail "the window is \"$(title)\", expected $1 within $2 s"
}
open_window() {
  "$workbench" "$@" --size 1366x768 2>"$out/workbench.log" &
  app=$!
  pids+=("$app")
  for _ in $(seq 200); do
    window=$(xdotool search --onlyvisible --name 'TeraGPT Workbench' 2>/dev/null | head -1 || true)
    [ -n "$window" ] && return 0
    sleep 0.05
  done
  fail "no window: $(cat "$out/workbench.log")"
}

start=$(now)
open_window
window_s=$(since "$start")
sleep 0.3
press Return
wait_title 'tiny-moe*' 60
project_s=$(since "$start")
press F5
wait_title '*loss *' 90
first_loss_s=$(since "$start")
first_actions=$actions

run=$(ls -d "$home"/data/teragpt/runs/*/ | head -1)
spec=$home/data/teragpt/demo/tiny-moe.yaml
sleep 8 # a few more points for the pictures
for theme in dark light; do
  for page in start design launch monitor; do
    what=$spec
    if [ "$page" = monitor ]; then what=$run; fi
    "$workbench" -platform offscreen "$what" --page "$page" --theme "$theme" --size 1366x768 --grab "$out/$page-$theme.png" 2>>"$out/workbench.log" ||
      fail "no picture of $page in $theme"
  done
done

# Closing asks once; Enter keeps the run.
xdotool windowfocus --sync "$window" key --clearmodifiers ctrl+q
sleep 1
dialog=$(xdotool search --onlyvisible --name 'A run goes on' | head -1 || true)
[ -n "$dialog" ] || fail "closing with a run did not ask"
xdotool windowfocus --sync "$dialog" key --clearmodifiers Return
for _ in $(seq 100); do
  kill -0 "$app" 2>/dev/null || break
  sleep 0.05
done
if kill -0 "$app" 2>/dev/null; then fail "the window did not close"; fi
"$teragpt" runs 2>/dev/null | grep -q running || fail "the run did not survive the window"

open_window "$run"
wait_title '*loss *' 20
kill "$app"

printf '{"schema":"teragpt.newcomer_tour/1","window_s":%s,"project_s":%s,"first_loss_s":%s,"actions":%s,"limit_s":%s}\n' \
  "$window_s" "$project_s" "$first_loss_s" "$first_actions" "$limit"
awk -v t="$first_loss_s" -v l="$limit" 'BEGIN { exit !(t <= l) }' || fail "first loss after $first_loss_s s, the limit is $limit s"
