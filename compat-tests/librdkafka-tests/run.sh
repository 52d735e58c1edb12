#!/usr/bin/env bash
# suite: own
# timeout: 7200
# run.sh: the tests of librdkafka that need a broker, from the source inside the crate that ../rdkafka pins.
# ALL=1, TESTS="0001_multiobj …", JOBS and LOGS as lib/suite.sh says. NAME@consumer is the test NAME with group.protocol=consumer.
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
printf '#!/bin/sh\nexec "%s" org.apache.kafka.tools.TopicCommand "$@"\n' "$KAFKA_PATH/bin/kafka-run-class.sh" > "$KAFKA_PATH/bin/kafka-topics.sh"
chmod +x "$KAFKA_PATH"/bin/*
make -s -C "$source/tests" java > "$suite_logs/java.log" 2>&1 || die "the tests' Java programs do not compile: $(tail -3 "$suite_logs/java.log")"

echo "client librdkafka-tests $version"
# The settings of tests/scenarios/*.json, on one node.
declare -A bootstrap=() settings=([default]="num.partitions=4" [noautocreate]="num.partitions=4 auto.create.topics.enable=false")
export LD_LIBRARY_PATH=$source/src:$source/src-cpp TEST_KAFKA_VERSION=4.4.0 BROKERS

# one_number SCENARIO PROTOCOL NUMBER: every test of that number which is of the scenario and needs a broker.
one_number() {
  local scenario=$1 protocol=$2 number=$3 suffix= log conf
  [ "$protocol" = classic ] || suffix=@$protocol
  log=$suite_logs/$number.$scenario.$protocol.log conf=$suite_logs/$number.$scenario.$protocol.conf
  BROKERS=${bootstrap[$scenario]}
  printf 'metadata.broker.list=%s\ntest.topic.random=true\n' "$BROKERS" > "$conf"
  (cd "$source/tests" && RDKAFKA_TEST_CONF=$conf TESTS=$number TEST_CONSUMER_GROUP_PROTOCOL=$protocol \
    timeout --kill-after=5 "${TEST_TIMEOUT_S:-420}" ./test-runner -Q -L -p1 -s "$scenario" > "$log" 2>&1) 2> /dev/null
  sed -i 's/\x1b\[[0-9;]*m//g' "$log"
  # The summary has the verdicts; a runner that died has none, and only says what it was running.
  awk -v suffix="$suffix" -v died="$(grep -aA1 -m1 -E '^### Test .* failed at' "$log" | sed 's/.* failed at \([^ ]*\) at .*/\1/' | tr -s '[:space:]' ' ' | cut -c1-240)" '
    /^\| [0-9]+_/ {
      line = $0; sub(/^.*s +\| */, "", line)
      verdict = $4 == "PASSED" ? "pass" : $4 == "SKIPPED" ? "skip" : "fail"
      if (verdict == "skip" && (line == "" || line ~ /^Filtered due to/)) next
      print $2 suffix, verdict, substr(line, 1, 240); said[$2] = 1
    }
    match($0, /= Running test [^ ]+ =/) { split(substr($0, RSTART, RLENGTH), word, " "); running[word[4]] = 1 }
    END { for (test in running) if (!(test in said)) print test suffix, "fail", "the runner died or hung: " died }
  ' "$log"
}
one() { one_number ${1//:/ }; }

numbers=() items=()
for file in "$source"/tests/0*-*.c*; do
  number=$(basename "$file" | cut -d- -f1)
  [[ " ${numbers[*]} " == *" $number "* ]] || numbers+=("$number")
done
# wanted_number NUMBER SUFFIX: whether a test of that number is asked for.
wanted_number() {
  local test
  [ -z "${ALL:-}${TESTS:-}" ] || { [ -z "${TESTS:-}" ] && return; }
  for test in ${TESTS:-${suite_allow[@]}}; do
    [[ $test == "$1"_* && ( $2 == @* && $test == *"$2" || -z $2 && $test != *@* ) ]] && return
  done
  return 1
}
noautocreate=(0045 0107 0111)
for number in "${numbers[@]}"; do
  grep -qE 'subscribe|group_protocol' "$source/tests/$number"-*.c* && both=@consumer || both=
  for suffix in "" $both; do
    wanted_number "$number" "$suffix" || continue
    protocol=${suffix#@}
    items+=("default:${protocol:-classic}:$number")
    [[ " ${noautocreate[*]} " == *" $number "* ]] && items+=("noautocreate:${protocol:-classic}:$number")
  done
done

data=$(mktemp -d) broker_pids=()
trap 'for broker_pid in "${broker_pids[@]}"; do broker_kill; done; rm -rf "$data"; [ -n "${LOGS:-}" ] || rm -rf "$suite_logs"' EXIT
for scenario in default noautocreate; do
  [[ " ${items[*]}" == *" $scenario:"* ]] || continue
  BROKER_SET="${BROKER_SET:-} ${settings[$scenario]}" broker_start "$data/$scenario" "$(free_port)" "$suite_logs/$scenario.broker" || exit 2
  broker_pids+=("$broker_pid") bootstrap[$scenario]=$BOOTSTRAP
done
suite_run one "${items[@]}"
rm -f "$source"/tests/stats_*.json
suite_end
