#!/usr/bin/env bash
# suite: load
# timeout: 2400
# faults.sh [--broker tidewater|apache-kafka] [--minutes M] [--records N] [--seed S] [--kinds a,b,…] [--instances N] [--raw N]
#   [--rivals N] [--members N] [--gap-ms N] [--session-ms N] [--settle-ms N] [--patience-ms N] [--control] [--keep]
# Three brokers as one cluster under load, one fault after the other, and the checker over what everybody saw.
# --control: producers write with acks=1 and leaders are cut off from the others; the run passes if the checker finds the loss.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
source "$here/lib.sh"

export BROKER=${BROKER:-tidewater}
minutes=3 records=60000 seed= keep= control= flags=(--instances 2 --raw 2 --rivals 2 --members 2)
while [ $# -gt 0 ]; do
  case $1 in
    --broker) BROKER=$2; shift ;;
    --minutes) minutes=$2; shift ;;
    --records) records=$2; shift ;;
    --seed) seed=$2; shift ;;
    --kinds | --instances | --raw | --rivals | --members | --gap-ms | --session-ms | --settle-ms | --patience-ms) flags+=("$1" "$2"); shift ;;
    --control)
      control=yes
      flags=(--instances 0 --raw 0 --rivals 0 --kinds peers --acks 1 --as-acks-all true)
      ;;
    --keep) keep=yes ;;
    *) sed -n '4,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift
done
kchaos=$(chaos_program kchaos) || exit 1
seed=${seed:-$((RANDOM * 32768 + RANDOM))}
scratch=$(mktemp -d)
# Groups settle at once, and members that are killed are missed soon.
export CLUSTER_SET="group.min.session.timeout.ms=1000 group.initial.rebalance.delay.ms=0 ${CLUSTER_SET:-}"
echo "$BROKER, three brokers, seed $seed: $minutes minutes, $records records"
"$here/cluster.sh" --dir "$scratch" bare bash -c '"$0" nemesis --bootstrap "$BOOTSTRAP" --cluster-command "$@"' \
  "$kchaos" "$here/cluster.sh" --dir "$scratch" --seed "$seed" --minutes "$minutes" --records "$records" --timeout-ms 3000 \
  --etcd "$([ "$BROKER" = tidewater ] && echo true || echo false)" "${flags[@]}" | tee "$scratch/report"
verdict=${PIPESTATUS[0]}
if [ -n "$control" ]; then
  [ "$verdict" = 1 ] && grep -q '^rule 4 lost: [1-9]' "$scratch/report"
  verdict=$?
fi
if [ "$verdict" = 0 ] && [ -z "$keep" ]; then
  rm -rf "$scratch"
else
  echo "histories and logs: $scratch"
fi
if [ "$verdict" = 0 ]; then
  printf 'ok faults\n1 passed, 0 failed, 0 skipped\n'
else
  printf 'FAIL faults: seed %s\n0 passed, 1 failed, 0 skipped\n' "$seed"
fi
exit "$verdict"
