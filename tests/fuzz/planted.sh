#!/usr/bin/env bash
# Do the fuzz targets find what they are there for? Plants one bug after the other (tests/fuzz/planted/*.patch)
# into a copy of the tree, builds the one target that the patch names, and gives it SECONDS to find it, from the
# same seeds as ever. The sources themselves never carry a planted bug. Exit 1 when one is not found or a patch
# does not apply any more.
#   planted.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-180}
root=$PWD place=$PWD/build/planted
tree=$place/tree

rm -rf "$tree"
mkdir -p "$tree" "$place/bin"
git ls-files -z -c -o --exclude-standard | while IFS= read -r -d '' file; do
  [ -e "$file" ] && printf '%s\0' "$file"
done | xargs -0 cp -p --parents -t "$tree"

# From the copy's own tree: its objects come from the same compiler cache as the real one's.
export CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1
(cd "$tree" && cmake --preset fuzz) >"$place/cmake.log" 2>&1 || { cat "$place/cmake.log" >&2; exit 1; }

failed=0
printf '%-26s %-16s %8s %10s  %s\n' 'PLANTED BUG' TARGET SECONDS INPUTS 'FOUND AS'
for patch in tests/fuzz/planted/*.patch; do
  name=$(basename "$patch" .patch)
  target=$(sed -n 's/^Target: //p' "$patch")
  if ! patch -d "$tree" -p1 --no-backup-if-mismatch -F0 -s <"$patch" >"$place/$name.log" 2>&1; then
    printf '%-26s %-16s %8s %10s  %s\n' "$name" "$target" - - 'DOES NOT APPLY any more'
    failed=1
    continue
  fi
  if ! cmake --build "$tree/build/fuzz" -j "$(nproc)" --target "fuzz_$target" >"$place/$name.log" 2>&1; then
    cat "$place/$name.log" >&2
    exit 1
  fi
  patch -d "$tree" -p1 -R --no-backup-if-mismatch -F0 -s <"$patch"
  found=$(mktemp -d)
  start=$(date +%s.%N) status=0
  ASAN_OPTIONS=quarantine_size_mb=32 "$tree/build/fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" \
    -detect_leaks=0 -timeout=30 -print_final_stats=1 -artifact_prefix="$found/" "$found" \
    "$root/tests/fuzz/corpus/$target" >"$place/$name.log" 2>&1 || status=$?
  took=$(awk -v from="$start" -v to="$(date +%s.%N)" 'BEGIN { printf "%.1f", to - from }')
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$place/$name.log" | tail -1)
  how=$(grep -aom1 -E 'an invariant does not hold|AddressSanitizer: [a-zA-Z-]+|runtime error: .*|libFuzzer: [a-z-]+' \
    "$place/$name.log" || true)
  where=$(sed -n 's/.*tests\/fuzz\/\([a-z_.]*:[0-9]*\): an invariant.*/ (\1)/p' "$place/$name.log" | head -1)
  rm -rf "$found"
  if [ "$status" = 0 ]; then
    how='NOT FOUND'
    failed=1
  fi
  printf '%-26s %-16s %8s %10s  %s\n' "$name" "$target" "$took" "$inputs" "$how$where"
done
exit "$failed"
