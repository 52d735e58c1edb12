#!/usr/bin/env bash
# suite: load
# timeout: 1500
# run.sh [--broker tidewater|apache-kafka] [--minutes M] [--records N] [--instances N] [--seed S] [--acks A]
#   [--raw N] [--rivals N] [--protocol classic|consumer] [--gap-ms N] [--sloppy] [--keep]
# The chain under kill -9 of its instances and of the broker, and the checker over what everybody saw.
# --sloppy: the chain commits its offsets after its transactions instead of in them, and the run passes if the checker finds that.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
source "$here/lib.sh"

export BROKER=${BROKER:-tidewater}
minutes=2 records=100000 instances=4 seed= acks=-1 keep= sloppy= flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --broker) BROKER=$2; shift ;;
    --minutes) minutes=$2; shift ;;
    --records) records=$2; shift ;;
    --instances) instances=$2; shift ;;
    --seed) seed=$2; shift ;;
    --acks) acks=${2/all/-1}; shift ;;
    --raw | --rivals | --protocol | --gap-ms) flags+=("$1" "$2"); shift ;;
    --sloppy) sloppy=yes flags+=(--sloppy true) ;;
    --keep) keep=yes ;;
    *) sed -n '4,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift
done
kchaos=$(chaos_program kchaos) || exit 1
if [ "$BROKER" = tidewater ]; then
  [ -x "$(tidewater_bin)" ] || die "no broker to test: build tidewater, or name one in TIDEWATER_BIN"
else
  maven_libs "$compat/apache-kafka" > /dev/null
fi

seed=${seed:-$((RANDOM * 32768 + RANDOM))}
scratch=$(mktemp -d)
echo "client kchaos (wire; rdkafka 0.39.0, librdkafka 2.12.1)"
export BROKER_SET="group.min.session.timeout.ms=1000 group.initial.rebalance.delay.ms=0 ${BROKER_SET:-}"
echo "$BROKER, seed $seed: $minutes minutes, $records records, $instances instances, acks $acks"
"$kchaos" storm --broker-command "$here/broker.sh" --dir "$scratch" --port "$(free_port)" --seed "$seed" --minutes "$minutes" \
  --records "$records" --instances "$instances" --acks "$acks" "${flags[@]}" | tee "$scratch/report"
verdict=${PIPESTATUS[0]}
if [ -n "$sloppy" ]; then
  [ "$verdict" = 1 ] && grep -q '^rule 16 double-consume: [1-9]' "$scratch/report"
  verdict=$?
fi
if [ "$verdict" = 0 ] && [ -z "$keep" ]; then
  rm -rf "$scratch"
else
  echo "histories and logs: $scratch"
fi
if [ "$verdict" = 0 ]; then
  printf 'ok storm\n1 passed, 0 failed, 0 skipped\n'
else
  printf 'FAIL storm: seed %s\n0 passed, 1 failed, 0 skipped\n' "$seed"
fi
exit "$verdict"
