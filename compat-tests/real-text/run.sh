#!/usr/bin/env bash
# suite: own
# run.sh [SCENARIO:CODEC…]   SCENARIO is plain, restart or kill; default: plain with every codec, restart and kill with two.
#
# 100 MB of real text, the package index of Debian, goes in line by line with kcat (idempotent) and must come out byte for byte
# the same (SHA-256) with Kafka's Java console consumer and with confluent-kafka in Python. In `restart` the broker is stopped
# in order and started again while kcat writes, and once more before the reading; in `kill` it is killed with SIGKILL instead.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
need kcat kcat
need python3 python3
need java default-jre-headless

scenarios=("$@")
[ $# -gt 0 ] || scenarios=(plain:none plain:gzip plain:snappy plain:lz4 plain:zstd restart:none restart:zstd kill:none kill:lz4)
python=$(python_venv "$here/../confluent-kafka")
libs=$(maven_libs "$here/../kafka-console")
scratch=$(mktemp -d)
trap 'broker_kill; [ -z "${kcat_pid:-}" ] || kill "$kcat_pid" 2> /dev/null; rm -rf "$scratch"' EXIT
wire() { python3 "$here/../lib/wire.py" "$@"; }

# The text, as often as it takes to be 100 MB and at least twice.
apt-cache dumpavail > "$scratch/once"
if [ "$(stat -c %s "$scratch/once")" -lt 10000000 ]; then
  say "the package index is not here: apt-get update"
  apt-get update -qq >&2
  apt-cache dumpavail > "$scratch/once"
fi
[ -s "$scratch/once" ] || die "apt-cache dumpavail prints nothing"
cat "$scratch/once" "$scratch/once" > "$scratch/text"
while [ "$(stat -c %s "$scratch/text")" -lt 100000000 ]; do cat "$scratch/once" >> "$scratch/text"; done
lines=$(wc -l < "$scratch/text")
expected=$(sha256sum < "$scratch/text" | cut -d' ' -f1)
# Each line carries its number as the key: kcat drops an empty line that has none, and a key shows what is missing.
LC_ALL=C awk '{ print NR "\t" $0 }' "$scratch/text" > "$scratch/keyed"
echo "$(stat -c %s "$scratch/text") bytes, $lines lines, sha256 $expected"

port=$(free_port)
data=$scratch/data
start() { broker_start "$data" "$port" "$scratch/broker.log"; }
start || exit 1

# interrupt SCENARIO: stops or kills the broker, and starts it again.
interrupt() {
  if [ "$1" = kill ]; then broker_kill; else broker_stop || return 1; fi
  start
}

write() { # write SCENARIO CODEC TOPIC
  local share
  # -E: kcat goes on while no broker is there; librdkafka sends again what was not acknowledged.
  kcat -E -P -b "$BOOTSTRAP" -t "$3" -p 0 -K '\t' -z "$2" -X enable.idempotence=true -X message.timeout.ms=600000 \
    -X reconnect.backoff.max.ms=500 -l "$scratch/keyed" 2> "$scratch/kcat.log" &
  kcat_pid=$!
  for share in 1 2 3; do
    [ "$1" = plain ] && break
    wire wait-offset "$BOOTSTRAP" "$3" 0 $((lines * share / 4)) 300 || return 1
    kill -0 "$kcat_pid" 2> /dev/null || { echo "kcat was done before interruption $share"; return 1; }
    interrupt "$1" || return 1
    [ "$1" = kill ] || break
  done
  wait "$kcat_pid" || { echo "kcat ended with exit code $?"; tail -3 "$scratch/kcat.log"; return 1; }
  kcat_pid=
}

console() {
  java -Xmx512m "-Dlog4j2.configurationFile=$here/../kafka-console/log4j2.properties" -cp "$libs/*" \
    org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$BOOTSTRAP" --topic "$1" --partition 0 \
    --offset earliest --max-messages "$lines" --timeout-ms 60000 2> "$scratch/console.log" | sha256sum | cut -d' ' -f1
}

same() { # same WHAT EXPECTED ACTUAL
  [ "$2" = "$3" ] && return
  echo "$1: expected $2, got $3"
  return 1
}

check() { # check SCENARIO CODEC
  local topic=text-$1-$2
  wire create "$BOOTSTRAP" "$topic" 1 segment.bytes=33554432 || return 1
  write "$1" "$2" "$topic" || return 1
  [ "$1" = plain ] || interrupt "$1" || return 1
  wire wait-offset "$BOOTSTRAP" "$topic" 0 "$lines" 60 || return 1
  # As many offsets as lines: nothing is there twice, unless something else is missing, which the digests tell.
  same "end offset" "$lines" "$(wire end-offset "$BOOTSTRAP" "$topic" 0)" || return 1
  same "sha256 of the Java console consumer" "$expected" "$(console "$topic")" || { tail -3 "$scratch/console.log"; return 1; }
  same "sha256 of confluent-kafka" "$expected" "$("$python" "$here/read.py" "$BOOTSTRAP" "$topic" "$lines")" || return 1
  wire delete "$BOOTSTRAP" "$topic"
}

passed=0 failed=0
for scenario in "${scenarios[@]}"; do
  started=$SECONDS
  # In this shell, not in a substitution: it may leave another broker behind than it found.
  if check "${scenario%:*}" "${scenario#*:}"; then
    ((++passed)); verdict=ok
  else
    ((++failed)); verdict=FAIL
  fi
  echo "$verdict $scenario ($((SECONDS - started)) s)"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
