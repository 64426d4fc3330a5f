#!/usr/bin/env bash
# Runs fuzz targets, two at a time, and shows how fast each was; ./dev fuzz calls it with what it has built.
#   run.sh PROGRAMS (--seconds N | --runs N) [TARGET…]
# A finding is kept in build/fuzz/findings, its report in build/fuzz/logs. Exit 1 when there was one.
set -euo pipefail
cd "$(dirname "$0")/../.."

programs=$1 kind=$2 amount=$3
shift 3
case $kind in
  --seconds) limit=-max_total_time=$amount ;;
  --runs) limit=-runs=$amount ;;
  *) echo "run.sh: --seconds or --runs" >&2; exit 2 ;;
esac
if [ $# = 0 ]; then
  for program in "$programs"/fuzz_*; do
    [ -f "$program" ] && [ -x "$program" ] && set -- "$@" "${program##*/fuzz_}"
  done
fi
mkdir -p build/fuzz/findings build/fuzz/logs
# A smaller quarantine than ASan's 256 MiB: inputs are short, and fresh pages are what takes the time.
export ASAN_OPTIONS=quarantine_size_mb=32:malloc_context_size=8:${ASAN_OPTIONS:-}

run_one() {
  local target=$1 corpus=build/fuzz/corpus/$1
  mkdir -p "$corpus"
  # Leaks are looked for once, at the end: a target that holds a server or a database keeps something of many
  # inputs for a while, and rightly so.
  "$programs/fuzz_$target" "$limit" -detect_leaks=0 -timeout=30 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="build/fuzz/findings/$target-" "$corpus" "tests/fuzz/corpus/$target" \
    >"build/fuzz/logs/$target.log" 2>&1
}

declare -A result name_of started took
running=0
now() { date +%s%3N; }  # milliseconds
collect() {
  local pid status=0
  wait -n -p pid || status=$?
  result[${name_of[$pid]}]=$status
  took[${name_of[$pid]}]=$(($(now) - started[${name_of[$pid]}]))
  running=$((running - 1))
}
for target in "$@"; do
  [ -x "$programs/fuzz_$target" ] || { echo "run.sh: no target $target" >&2; exit 2; }
  [ "$running" -lt 2 ] || collect
  started[$target]=$(now)
  run_one "$target" &
  name_of[$!]=$target
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do collect; done

failed=0
stat_of() { sed -n "s/^stat::$2: *//p" "build/fuzz/logs/$1.log" | tail -1; }
printf '%-20s %12s %10s %8s %s\n' TARGET INPUTS 'PER SECOND' COVERED RESULT
for target in "$@"; do
  verdict=clean
  [ "${result[$target]}" = 0 ] || { verdict="FOUND, see build/fuzz/logs/$target.log"; failed=1; }
  covered=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "build/fuzz/logs/$target.log" | tail -1)
  inputs=$(stat_of "$target" number_of_executed_units)
  printf '%-20s %12s %10s %8s %s\n' "$target" "${inputs:--}" $((${inputs:-0} * 1000 / took[$target])) "$covered" "$verdict"
done
exit "$failed"
