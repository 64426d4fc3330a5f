#!/usr/bin/env bash
# Whether each bug of tests/fuzz/planted can still be planted: planted.sh itself takes too long for every run.
set -euo pipefail
cd "$(dirname "$0")/../.."
failed=0
for planted in tests/fuzz/planted/*.patch; do
  target=$(sed -n 's/^Target: //p' "$planted")
  [ -r "tests/fuzz/$target.cpp" ] || { echo "$planted: there is no target '$target'"; failed=1; }
  patch -p1 -F0 -s --dry-run <"$planted" || { echo "$planted does not apply any more"; failed=1; }
done
exit "$failed"
