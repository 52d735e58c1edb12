#!/usr/bin/env bash
# suite: load
# timeout: 3600
# failover.sh [--broker tidewater|apache-kafka|both] [--rounds N] [--signals KILL,TERM,STOP] [--keep]
# From the kill -9, the SIGTERM or the SIGSTOP of a partition's leader to the first record that another broker acknowledges with acks=all, three
# brokers, default settings: a row of a table for each signal. What was acknowledged is looked for in the end, and held to the rules.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
source "$here/lib.sh"

brokers=${BROKER:-tidewater} rounds=20 signals=KILL,TERM,STOP keep=
while [ $# -gt 0 ]; do
  case $1 in
    --broker) brokers=${2/both/tidewater apache-kafka}; shift ;;
    --rounds) rounds=$2; shift ;;
    --signals) signals=$2; shift ;;
    --keep) keep=yes ;;
    *) sed -n '4,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift
done
kchaos=$(chaos_program kchaos) || exit 1
passed=0 failed=0
for BROKER in $brokers; do
  export BROKER
  scratch=$(mktemp -d)
  if "$here/cluster.sh" --dir "$scratch" bare bash -c '"$0" failover --bootstrap "$BOOTSTRAP" --cluster-command "$@"' \
    "$kchaos" "$here/cluster.sh" --dir "$scratch" --rounds "$rounds" --signals "$signals" --label "$BROKER" \
    --etcd "$([ "$BROKER" = tidewater ] && echo true || echo false)"; then
    echo "ok failover-$BROKER"
    passed=$((passed + 1))
    [ -n "$keep" ] || rm -rf "$scratch"
  else
    echo "FAIL failover-$BROKER: histories and logs: $scratch"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
