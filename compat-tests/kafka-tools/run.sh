#!/usr/bin/env bash
# suite: own
# One script of Kafka's own command lines, at Apache Kafka 4.4 and at the broker under test: what they print is the same but for the
# differences in expected-differences.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
need java default-jre-headless
need python3 python3
libs=$(maven_libs "$here")
classes=$(java_classes kafka-tools "$libs" "$here/Tools.java") || exit 1
scratch=${SCRATCH:-$(mktemp -d)}
trap 'broker_kill; [ -n "${SCRATCH:-}" ] || rm -rf "$scratch"' EXIT

# transcript NAME: of the script at the broker that BROKER names.
transcript() {
  mkdir -p "$scratch/$1-files"
  broker_start "$scratch/$1-data" "$(free_port)" "$scratch/$1.log" || return 1
  java -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$classes:$libs/*" \
    Tools "$BOOTSTRAP" "$here/script" "$scratch/$1-files" > "$scratch/$1.txt"
  local code=$?
  broker_kill
  return $code
}

echo "client kafka-tools $(basename "$libs"/kafka-tools-[0-9]*.jar .jar)"
under_test=${BROKER:-tidewater}
BROKER=apache-kafka transcript reference || die "the script did not end at Apache Kafka"
BROKER=$under_test transcript ours || die "the script did not end at $under_test"
# Kafka differs in nothing from itself: that holds the script and what is not compared to account.
expected=$here/expected-differences
[ "$under_test" = tidewater ] || expected=/dev/null
python3 "$here/compare.py" "$scratch/reference.txt" "$scratch/ours.txt" "$expected"
