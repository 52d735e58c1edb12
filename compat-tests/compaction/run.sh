#!/usr/bin/env bash
# suite: load
# run.sh [--broker tidewater|apache-kafka|both] [--mib N] [--keys N] [--seed N] [--beside RECORDS_A_SECOND]
# Fills a compacted topic while its compaction is held back, lets it go, and measures how long it takes, the broker's CPU and
# memory, and what a producer beside it notices. Then reads the topic and holds every key's last value to what was written.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"

brokers=(${BROKER:-tidewater}) flags=() seed=
while [ $# -gt 0 ]; do
  case $1 in
    --broker) [ "$2" = both ] && brokers=(apache-kafka tidewater) || brokers=("$2"); shift ;;
    --seed) seed=$2; shift ;;
    *) flags+=("$1") ;;
  esac
  shift
done
flags+=(--seed "${seed:-$(date +%s)}")
export BROKER_SET="log.cleaner.backoff.ms=200 log.segment.delete.delay.ms=1000 ${BROKER_SET:-}"

failed=0
for BROKER in "${brokers[@]}"; do
  scratch=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
  trap 'broker_kill; rm -rf "$scratch"' EXIT
  say "== $BROKER"
  broker_start "$scratch/data" "$(free_port)" "$scratch/broker.log" || exit 1
  python3 "$here/measure.py" --tidewater "$(BROKER=tidewater tidewater_bin)" --pid "$broker_pid" --data "$scratch/data" \
    "${flags[@]}" || failed=1
  broker_kill
  rm -rf "$scratch"
done
exit "$failed"
