#!/usr/bin/env bash
# Installs what TeraGPT builds, runs and is tested with, from Debian's packages. Says what and why first,
# asks for root through sudo when needed, and does nothing when all is there.
set -euo pipefail

declare -A why=(
  [build]="compiler, CMake, Ninja, ccache, mold"
  [libraries]="formatting, logging, YAML, JSON, TOML, command line, hashes, SIMD, Unicode"
  [processes]="Open MPI: ranks as processes, on one computer or many"
  [workbench]="Qt 6 with Charts and Svg, a font"
  [text]="public-domain English text to train the demo on"
  [tests]="GoogleTest, Google Benchmark, a virtual screen"
)
declare -A packages=(
  [build]="g++ cmake ninja-build ccache mold pkg-config"
  [libraries]="libfmt-dev libspdlog-dev libyaml-cpp-dev nlohmann-json3-dev libcli11-dev libexpected-dev libxxhash-dev libzstd-dev zlib1g-dev libssl-dev libhwy-dev libutf8proc-dev libtomlplusplus-dev"
  [processes]="libopenmpi-dev openmpi-bin"
  [workbench]="qt6-base-dev qt6-charts-dev qt6-svg-dev libqt6opengl6-dev libqt6svg6 fonts-dejavu-core"
  [text]="bible-kjv bible-kjv-text jargon-text dict-devil"
  [tests]="libgtest-dev libgmock-dev libbenchmark-dev xvfb xdotool"
)

missing=()
for group in build libraries processes workbench text tests; do
  absent=()
  for package in ${packages[$group]}; do
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
      absent+=("$package")
    fi
  done
  if [ ${#absent[@]} -gt 0 ]; then
    [ ${#missing[@]} -gt 0 ] || echo "TeraGPT needs packages that are not installed yet:"
    echo "  ${absent[*]}  (${why[$group]})"
    missing+=("${absent[@]}")
  fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "error: apt-get was not found; install the packages above with your system's tool and start again" >&2
  exit 2
fi
root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "error: installing needs root and sudo was not found; as root: apt-get install ${missing[*]}" >&2
    exit 2
  fi
  echo "Installing them needs root: sudo may ask for your password."
  root=(sudo)
fi
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "Packages are installed."
