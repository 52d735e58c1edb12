#!/usr/bin/env bash
# suite: own
# timeout: 3600
# run.sh: franz-go's own tests of kgo and kadm at the versions that ../franz-go pins, each in a process of its own.
# ALL=1, TESTS="kgo/TestPing …", JOBS and LOGS as lib/suite.sh says; KGO_TEST_RECORDS (50000) is how much the ETL tests move.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/suite.sh"
command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
command -v go > /dev/null || die "Go 1.26 or later is missing"
binaries=$cache/franz-go-tests
declare -A folder=()
mkdir -p "$binaries"
say "building franz-go's tests (modules through the Go module proxy, kept in Go's own cache)"
for package in kgo kadm; do
  (cd "$here/../franz-go" && go test -c -o "$binaries/$package" "github.com/twmb/franz-go/pkg/$package") >&2 || exit 2
  folder[$package]=$(cd "$here/../franz-go" && go list -f '{{.Dir}}' "github.com/twmb/franz-go/pkg/$package")
done
version=$(sed -n 's|.*twmb/franz-go v\(.*\)|\1|p; s|.*pkg/kadm v\(.*\)|(kadm \1)|p' "$here/../franz-go/go.mod" | xargs)
echo "client franz-go-tests $version"

export KGO_SEEDS=$BOOTSTRAP KGO_TEST_RF=1 KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-50000}

# one_test PACKAGE/TEST
one_test() {
  local log=$suite_logs/${1/\//.}.log verdict detail
  (cd "${folder[${1%%/*}]}" && timeout --kill-after=5 "${TEST_TIMEOUT_S:-300}" \
    "$binaries/${1%%/*}" -test.v -test.run "^${1#*/}\$" -test.timeout "$((${TEST_TIMEOUT_S:-300} - 10))s") > "$log" 2>&1
  verdict=$(sed -n "s|^--- \([A-Z]*\): ${1#*/} .*|\1|p" "$log" | tail -1)
  detail=$(grep -hE '^ +[a-z_0-9]+_test\.go:[0-9]+: ' "$log" | grep -v 'deleting' | head -1)
  case $verdict in
    PASS) detail= ;;
    SKIP) ;;
    FAIL) detail="$(sed -n 's|^ *--- FAIL: \([^ ]*\) .*|\1|p' "$log" | xargs): $detail" ;;
    *) verdict=FAIL detail="no verdict: $(grep '^panic: ' "$log" | head -1)" ;;
  esac
  printf '%s %s %s\n' "$1" "${verdict,,}" "$(tr -s '[:space:]' ' ' <<< "$detail" | cut -c1-240)"
}

tests=()
for package in kgo kadm; do
  while read -r test; do
    suite_wanted "$package/$test" && tests+=("$package/$test")
  done < <("$binaries/$package" -test.list . | grep '^Test')
done
suite_run one_test "${tests[@]}"
suite_end
