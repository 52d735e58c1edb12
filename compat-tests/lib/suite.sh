# Sourced after common.sh by the folders that run somebody else's test suite: a step is one test of theirs.
#   $here/tests.allow  the tests that must pass, one a line; it only grows. FINDINGS.md explains every other one.
#   ALL=1              every test of the suite, not only those; TESTS="A B": these
#   JOBS               how many at a time (2)
#   LOGS               a folder to keep each test's output in; default: only while it runs
mapfile -t suite_allow < <(grep -v '^#' "$here/tests.allow" 2> /dev/null)
suite_logs=${LOGS:-$(mktemp -d)}
mkdir -p "$suite_logs"
[ -n "${LOGS:-}" ] || trap 'rm -rf "$suite_logs"' EXIT
suite_passed=0 suite_failed=0 suite_skipped=0
suite_candidates=() suite_seen=

# suite_wanted TEST: whether this run has to do with it.
suite_wanted() {
  [ -z "${TESTS:-}" ] || { [[ " $TESTS " == *" $1 "* ]]; return; }
  [ -n "${ALL:-}" ] || [[ " ${suite_allow[*]} " == *" $1 "* ]]
}

# suite_judge TEST pass|fail|skip DETAIL: prints the step.
suite_judge() {
  local allowed=
  [[ " ${suite_allow[*]} " == *" $1 "* ]] && allowed=yes
  suite_seen+=" $1 "
  case $2$allowed in
    passyes) echo "ok $1"; ((++suite_passed)) ;;
    pass) echo "ok $1"; ((++suite_passed)); suite_candidates+=("$1") ;;
    *yes) echo "FAIL $1: expected to pass as tests.allow says, got $2: $3"; ((++suite_failed)) ;;
    skip) echo "skip $1: $3"; ((++suite_skipped)) ;;
    *) echo "skip $1: does not pass (FINDINGS.md): $3"; ((++suite_skipped)) ;;
  esac
}

# suite_run COMMAND ITEM…: `COMMAND ITEM` prints `TEST pass|fail|skip DETAIL` lines, one per test it ran.
suite_run() {
  local command=$1 item test result detail
  shift
  while read -r test result detail; do
    suite_judge "$test" "$result" "$detail"
    [ "$result${KEEP_GOING:-}" != fail ] || [ "$suite_failed" = 0 ] || break
  done < <(
    # A line in the pipe is leave to run one more.
    mkfifo "$suite_logs/leave"
    exec 9<> "$suite_logs/leave"
    rm "$suite_logs/leave"
    seq "${JOBS:-2}" >&9
    for item; do
      read -r -u 9
      { "$command" "$item" 9>&-; echo >&9; } &
    done
    wait
  )
}

# suite_end: the verdict. A test that must pass and was never run has not passed.
suite_end() {
  local test
  for test in "${suite_allow[@]}"; do
    suite_wanted "$test" && [[ $suite_seen != *" $test "* ]] && suite_judge "$test" fail "it did not run"
  done
  [ ${#suite_candidates[@]} = 0 ] || say "passed and not in tests.allow: ${suite_candidates[*]}"
  echo "$suite_passed passed, $suite_failed failed, $suite_skipped skipped"
  [ "$suite_failed" = 0 ]
}
