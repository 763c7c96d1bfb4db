#!/usr/bin/env bash
# Builds everything and passes the default tests; the closing line counts them.
#   packaging/test.sh [options of ctest, e.g. -R Tokenizer]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${TERA_BUILD_DIR:-$root/build/release}

"$root/packaging/build.sh"
report=$build/test-report.xml
rm -f "$report"
status=0
ctest --test-dir "$build" --output-on-failure --no-tests=error --label-exclude slow \
  --parallel "$(nproc)" --output-junit "$report" "$@" || status=$?
# The counts of the report's first element: tests, failures, disabled, skipped.
count() { sed -n "s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$report" | head -n 1; }
tests=$(count tests) failed=$(count failures) skipped=$(count skipped)
echo "$((${tests:-0} - ${failed:-0} - ${skipped:-0})) passed, ${failed:-0} failed, ${skipped:-0} skipped"
exit "$status"
