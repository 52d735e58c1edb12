#!/usr/bin/env bash
# suite: load
# control.sh [--acks 1|all] [--rounds N] [--keep]
# Shows that the checker sees loss. Two brokers of Apache Kafka 4.4 and a controller; in each round the follower is stopped (SIGSTOP) for
# a moment while producers write, the leader is killed with -9, and the follower goes on and takes over. With acks=1 (default) what was
# acknowledged meanwhile is gone, and the checker, told to hold it to acks=all, must find it: exit code 0 if it does. With acks=all
# nothing may be found.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/lib.sh"

acks=1 rounds=2 keep=
while [ $# -gt 0 ]; do
  case $1 in
    --acks) acks=${2/all/-1}; shift ;;
    --rounds) rounds=$2; shift ;;
    --keep) keep=yes ;;
    *) sed -n '3,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift
done
kchaos=$(chaos_program kchaos) || exit 1
kcheck=$(chaos_program kcheck)
libs=$(maven_libs "$compat/apache-kafka")
need java default-jre-headless
scratch=$(mktemp -d)
declare -A pid port
controller_port=$(free_port)
port[1]=$(free_port)
until port[2]=$(free_port); [ "${port[2]}" != "${port[1]}" ]; do :; done
bootstrap=127.0.0.1:${port[1]},127.0.0.1:${port[2]}
clients=()

finish() {
  kill -KILL "${clients[@]}" "${pid[@]}" 2> /dev/null
  wait 2> /dev/null
  [ -n "$keep" ] || rm -rf "$scratch"
}
trap finish EXIT

# kafka HEAP CLASS ARGUMENT…: becomes it, so that a signal meets it.
kafka() {
  local heap=$1
  shift
  exec java "-Xmx$heap" -Dlog4j2.configurationFile="$compat/apache-kafka/log4j2.properties" -cp "$libs/*" "$@"
}

# start NODE: 0 is the controller.
start() {
  local node=$1 dir=$scratch/$1 heap=512m
  if [ ! -d "$dir" ]; then
    mkdir "$dir"
    {
      echo "node.id=$node"
      echo "log.dirs=$dir/logs"
      echo "controller.quorum.voters=0@127.0.0.1:$controller_port"
      echo "controller.listener.names=CONTROLLER"
      echo "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
      # A broker that is killed is declared dead this much later; one that is stopped for less is not.
      echo "broker.session.timeout.ms=6000"
      echo "broker.heartbeat.interval.ms=1000"
      echo "offsets.topic.replication.factor=2"
      if [ "$node" = 0 ]; then
        echo "process.roles=controller"
        echo "listeners=CONTROLLER://127.0.0.1:$controller_port"
      else
        echo "process.roles=broker"
        echo "listeners=PLAINTEXT://127.0.0.1:${port[$node]}"
      fi
    } > "$dir/server.properties"
    (kafka 256m kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM1Qk -c "$dir/server.properties" > "$dir/format.log" 2>&1)
  fi
  [ "$node" != 0 ] || heap=256m
  kafka "$heap" kafka.Kafka "$dir/server.properties" >> "$dir/broker.log" 2>&1 &
  pid[$node]=$!
}

topic() { "$kchaos" topic --bootstrap "$bootstrap" --topic control --partitions 1 --replicas 2 --configs min.insync.replicas="$1"; }

say "starting a controller and two brokers"
for node in 0 1 2; do start "$node"; done
# With acks=all a write is acknowledged when both have it, and never by one alone.
topic "$([ "$acks" = 1 ] && echo 1 || echo 2)" || exit 1

for number in 1 2; do
  "$kchaos" produce --bootstrap "$bootstrap" --history "$scratch/producer-$number.jsonl" --name "producer-$number" --writer "$number" \
    --topic control --partitions 1 --records 10000000 --rate 2000 --batch 10 --acks "$acks" --idempotent $([ "$acks" = 1 ] && echo false || echo true) \
    >> "$scratch/clients.log" 2>&1 &
  clients+=($!)
  disown
done
"$kchaos" consume --bootstrap "$bootstrap" --history "$scratch/reader.jsonl" --name reader --topics control:1 --isolation uncommitted \
  >> "$scratch/clients.log" 2>&1 &
clients+=($!)
disown

# acknowledged: lines that end well, a record's batch each.
acknowledged() { cat "$scratch"/producer-*.jsonl | grep -c '"outcome":"ok"'; }

# wait_for_more SECONDS: until something is acknowledged that was not before.
wait_for_more() {
  local before end=$((SECONDS + $1))
  before=$(acknowledged)
  until [ "$(acknowledged)" -gt $((before + 20)) ]; do
    [ "$SECONDS" -lt "$end" ] || die "nothing is acknowledged for $1 s"
    sleep 0.2
  done
}

for round in $(seq "$rounds"); do
  wait_for_more 60
  address=$("$kchaos" leader --bootstrap "$bootstrap" --topic control --partition 0 --in-sync 2) || exit 1
  leader=$([ "$address" = "127.0.0.1:${port[1]}" ] && echo 1 || echo 2)
  follower=$((3 - leader))
  kill -STOP "${pid[$follower]}"
  before=$(acknowledged)
  sleep 2
  kill -KILL "${pid[$leader]}"
  wait "${pid[$leader]}" 2> /dev/null
  kill -CONT "${pid[$follower]}"
  say "round $round: killed broker $leader; $(($(acknowledged) - before)) requests acknowledged while broker $follower was stopped"
  # The controller takes its session's time to notice; the follower then leads what the other led.
  [ "$acks" != 1 ] || wait_for_more 60
  start "$leader"
done
wait_for_more 60
kill -KILL "${clients[@]}"
"$kchaos" scan --bootstrap "$bootstrap" --history "$scratch/scan.jsonl" --topics control:1 || exit 1
"$kcheck" --as-acks-all "$scratch"/*.jsonl > "$scratch/report"
found=$?
# Of each kind the figure and one example.
awk '/^ / { if (told++) next; print substr($0, 1, 200); next } { told = 0; print }' "$scratch/report"
[ -z "$keep" ] || echo "histories and logs: $scratch"
if [ "$acks" = 1 ]; then
  [ "$found" = 1 ] && grep -q '^rule 4 lost: [1-9]' "$scratch/report" || { echo "FAIL control: the loss was not found"; exit 1; }
else
  [ "$found" = 0 ] || { echo "FAIL control: acks=all lost nothing here"; exit 1; }
fi
echo "1 passed, 0 failed, 0 skipped"
