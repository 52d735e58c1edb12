#!/usr/bin/env bash
# suite: own
# run.sh [COMMAND…]: the checks, with a broker that is restarted and killed; with a COMMAND, the program itself against $BOOTSTRAP.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../../lib/common.sh"
source "$here/../../lib/broker.sh"
need java default-jre-headless
need python3 python3
libs=$(maven_libs "$here")
classes=$(java_classes example-queue "$libs" "$here"/*.java) || exit 1
# Hashing wants the whole compiler.
java=(java -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel="${LOG_LEVEL:-off}" -cp "$classes:$libs/*")
[ $# = 0 ] || exec "${java[@]}" Main "$@"

scratch=$(mktemp -d)
putting=
trap 'broker_kill; [ -z "$putting" ] || kill "$putting" 2> /dev/null; rm -rf "$scratch"' EXIT
port=$(free_port)
start() { broker_start "$scratch/data" "$port" "$scratch/broker.log"; }
checks() { "${java[@]}" Checks "$@"; }

passed=0 failed=0
step() { # step NAME COMMAND…: in this shell, as a step may leave another broker behind than it found
  if "${@:2}" > "$scratch/out" 2>&1; then
    ((++passed))
    echo "ok $1"
  else
    ((++failed))
    echo "FAIL $1: $(grep -v '^put$' "$scratch/out" | grep -m1 . || echo "exit code not 0")"
    [ "${KEEP_GOING:-}" = 1 ] || { echo "$passed passed, $failed failed"; exit 1; }
  fi
}

entries=1000
# The program puts until 5,000; a few hundred in, the broker dies, and is back a second later.
kill_while_putting() {
  local end=$((SECONDS + 60)) code
  checks put "$entries" 5000 > "$scratch/put" 2>&1 &
  putting=$!
  until [ "$(wc -l < "$scratch/put")" -ge 300 ]; do
    [ "$SECONDS" -lt "$end" ] && kill -0 "$putting" 2> /dev/null && sleep 0.02 && continue
    cat "$scratch/put"
    return 1
  done
  broker_kill
  [ "$(wc -l < "$scratch/put")" -lt $((5000 - entries)) ] || { echo "all was put before the broker was killed"; return 1; }
  sleep 1
  start || return 1
  wait "$putting"; code=$?
  putting=
  [ "$code" = 0 ] || { grep -v '^put$' "$scratch/put"; return 1; }
  checks read 5000
}

start || exit 1
echo "client example-queue $(basename "$libs"/kafka-clients-*.jar .jar)"
step queue-register checks register
step queue-hashed checks hashed
step queue-put checks put 0 "$entries"
step queue-all checks read "$entries"
step queue-get checks get "$entries"
restart() { broker_stop && start && checks read "$entries" && checks get "$entries"; }
step queue-broker-restart restart
step queue-broker-killed kill_while_putting
broker_stop || exit 1
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
