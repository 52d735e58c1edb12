#!/usr/bin/env bash
# suite: own
# timeout: 7200
# run.sh: the tests of librdkafka that need a broker, from the source inside the crate that ../rdkafka pins.
# ALL=1, TESTS="0001_multiobj …", JOBS and LOGS as lib/suite.sh says. NAME@consumer is the test NAME with group.protocol=consumer,
# NAME/PART only the sub-tests PART of it. RUNNER_ARGS goes to their runner (-P: idempotent producers).
# It starts its brokers itself (BROKER, TIDEWATER_BIN as lib/broker.sh says), with the settings of librdkafka's two test scenarios.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
source "$here/../lib/suite.sh"
command -v cargo > /dev/null || die "cargo is missing: install Rust with rustup"
need make make
need g++ g++
need javac default-jdk-headless
[ -f /usr/include/zlib.h ] || apt_install zlib1g-dev
[ -f /usr/include/openssl/ssl.h ] || apt_install libssl-dev
[ -d /usr/include/rapidjson ] || apt_install rapidjson-dev

crate=$(cargo metadata --locked --format-version 1 --manifest-path "$here/../rdkafka/Cargo.toml" \
  | python3 -c 'import json, sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "rdkafka-sys"))') || exit 2
crate=$(dirname "$crate")
version=${crate##*+}
source=$cache/librdkafka-tests/src-$version
if [ ! -x "$source/tests/test-runner" ]; then
  say "building librdkafka $version and its tests (crates by cargo; the first time, about two minutes)"
  rm -rf "$source"
  mkdir -p "$cache/librdkafka-tests"
  cp -r "$crate/librdkafka" "$source"
  # Whatever else the machine has installed, the build is the same; SSL is what the tests' own code takes to compile whole.
  (cd "$source" && ./configure --disable-gssapi --disable-curl --disable-lz4-ext --disable-zstd \
    && make -j"$(nproc)" libs && make -j"$(nproc)" -C tests build) > "$source.log" 2>&1 || die "the build failed: $source.log"
fi

# What some tests call of a Kafka distribution, made of the jars of ../kafka-console.
libs=$(maven_libs "$here/../kafka-console")
export KAFKA_PATH=$suite_logs/kafka
mkdir -p "$KAFKA_PATH/bin"
ln -sfn "$libs" "$KAFKA_PATH/libs"
printf '#!/bin/sh\nexec java -cp "$CLASSPATH:%s/*" "$@"\n' "$libs" > "$KAFKA_PATH/bin/kafka-run-class.sh"
for tool in topics:TopicCommand acls:AclCommand; do
  printf '#!/bin/sh\nexec "%s" org.apache.kafka.tools.%s "$@"\n' "$KAFKA_PATH/bin/kafka-run-class.sh" "${tool#*:}" > "$KAFKA_PATH/bin/kafka-${tool%:*}.sh"
done
chmod +x "$KAFKA_PATH"/bin/*
make -s -C "$source/tests" java > "$suite_logs/java.log" 2>&1 || die "the tests' Java programs do not compile: $(tail -3 "$suite_logs/java.log")"

echo "client librdkafka-tests $version"
# The settings of tests/scenarios/*.json, on one node.
declare -A bootstrap=() settings=([default]="num.partitions=4" [noautocreate]="num.partitions=4 auto.create.topics.enable=false")
export LD_LIBRARY_PATH=$source/src:$source/src-cpp TEST_KAFKA_VERSION=4.4.0 BROKERS

# one_variant NUMBER SCENARIO END: every test of that number that is of the scenario and needs a broker; END is what its name gets.
one_variant() {
  local number=$1 scenario=$2 end=${3:-} protocol=classic quick=-Q name log why
  [[ $end == *@consumer ]] && protocol=consumer
  [[ " ${not_quick[*]} " == *" $number "* ]] && quick=
  name=$suite_logs/$number.$scenario.${end//[^A-Za-z_]/.} log=$name.log
  BROKERS=${bootstrap[$scenario]}
  printf 'metadata.broker.list=%s\ntest.topic.random=true\n' "$BROKERS" > "$name.conf"
  export TESTS=$number RDKAFKA_TEST_CONF=$name.conf TEST_CONSUMER_GROUP_PROTOCOL=$protocol SUBTESTS
  SUBTESTS=${end#/} SUBTESTS=${SUBTESTS%@*}
  [ -n "$SUBTESTS" ] || unset SUBTESTS
  # Its summary is on stdout, which a failing runner's abort() would lose in the buffer.
  (cd "$source/tests" && timeout --kill-after=5 "${TEST_TIMEOUT_S:-420}" stdbuf -oL ./test-runner $quick ${RUNNER_ARGS:-} -L -p1 -s "$scenario" > "$log" 2>&1) 2> /dev/null
  sed -i 's/\x1b\[[0-9;]*m//g' "$log"
  why=$(grep -aA1 -m1 -E '^### Test .* failed at' "$log" | sed 's/.* failed at \([^ ]*\) at .*/\1/' | tr -s '[:space:]' ' ' | cut -c1-240)
  awk -v end="$end" -v why="$why" '
    /^\| [0-9]+_/ {
      line = $0; sub(/^.*s +\| */, "", line)
      verdict = $4 == "PASSED" ? "pass" : $4 == "SKIPPED" ? "skip" : "fail"
      if (verdict == "skip" && (line == "" || line ~ /^Filtered due to/)) next
      print $2 end, verdict, verdict == "fail" ? why : line; said[$2] = 1
    }
    match($0, /= Running test [^ ]+ =/) { split(substr($0, RSTART, RLENGTH), word, " "); running[word[4]] = 1 }
    END { for (test in running) if (!(test in said)) print test end, "fail", "the runner died or was killed: " why }
  ' "$log"
}
# The variants of one number run one after the other: some subscribe to patterns that match each other's topics.
one() { local variant; for variant in ${variants[$1]}; do one_variant "$1" ${variant/:/ }; done; }

# asked NUMBER END: whether a test with that name is to run.
asked() {
  local test
  [ -z "${ALL:-}" ] || return 0
  for test in ${TESTS:-${suite_allow[@]}}; do
    [[ $test =~ ^$1_[^/@]*(.*)$ && ${BASH_REMATCH[1]} == "$2" ]] && return
  done
  return 1
}
noautocreate=(0045 0107 0111) not_quick=(0082)
# 0081 is every admin call in one test; its parts run one by one as well.
declare -A variants=() parts=([0081]=$(grep -oE '^(static void )?do_test_[A-Z][A-Za-z_]*' "$source/tests/0081-admin.c" | awk '{ print $NF }' | grep -v with_authorized | sort -u | xargs))
numbers=()
while read -r number; do
  ends=""
  for part in ${parts[$number]:-}; do ends+=" /$part"; done
  grep -qE 'subscribe|group_protocol' "$source/tests/$number"-*.c* && ends+=" @consumer"
  for end in "" $ends; do
    asked "$number" "$end" || continue
    variants[$number]+=" default:$end"
    [[ " ${noautocreate[*]} " == *" $number "* ]] && variants[$number]+=" noautocreate:$end"
  done
  [ -n "${variants[$number]:-}" ] && numbers+=("$number")
done < <(cd "$source/tests" && printf '%s\n' 0*-*.c* | cut -d- -f1 | sort -u)

data=$(mktemp -d) broker_pids=()
trap 'for broker_pid in "${broker_pids[@]}"; do broker_kill; done; rm -rf "$data"; [ -n "${LOGS:-}" ] || rm -rf "$suite_logs"' EXIT
for scenario in default noautocreate; do
  [[ " ${variants[*]}" == *" $scenario:"* ]] || continue
  BROKER_SET="${BROKER_SET:-} ${settings[$scenario]}" broker_start "$data/$scenario" "$(free_port)" "$suite_logs/$scenario.broker" || exit 2
  broker_pids+=("$broker_pid") bootstrap[$scenario]=$BOOTSTRAP
done
suite_run one "${numbers[@]}"
rm -f "$source"/tests/stats_*.json
suite_end
