#!/usr/bin/env bash
# suite: load
# run.sh [--broker tidewater|apache-kafka|both] [--members N] [--groups N] [--minutes N] [--events N] [--seed N] [--protocol NAME]
# Against $BOOTSTRAP, or against brokers it starts itself; `both` is Apache Kafka and then tidewater with the same seed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
program=$(go_program "$here") || exit 1
# A member has about four connections, and both ends of each are on this machine.
ulimit -n "$(ulimit -Hn)"

brokers=(${BROKER:-tidewater}) flags=() seed=
while [ $# -gt 0 ]; do
  case $1 in
    --broker) [ "$2" = both ] && brokers=(apache-kafka tidewater) || brokers=("$2"); shift ;;
    --seed) seed=$2; shift ;;
    *) flags+=("$1") ;;
  esac
  shift
done
flags+=(--seed "${seed:-$(date +%s%N)}")

[ -z "${BOOTSTRAP:-}" ] || exec "$program" "${flags[@]}"
failed=0
for BROKER in "${brokers[@]}"; do
  scratch=$(mktemp -d)
  trap 'broker_kill; rm -rf "$scratch"' EXIT
  say "== $BROKER"
  broker_start "$scratch/data" "$(free_port)" "$scratch/broker.log" || exit 1
  BROKER_PID=$broker_pid "$program" "${flags[@]}" || failed=1
  broker_kill
  rm -rf "$scratch"
done
exit "$failed"
