# Sourced after common.sh: starts, stops and kills the broker under test.
#   BROKER          tidewater (default) or apache-kafka, to hold a test against the real thing
#   TIDEWATER_BIN   the tidewater to run; default: the newest of this checkout's release and debug builds
#   BROKER_SET      more settings for the broker, key=value separated by blanks
broker_pid=

tidewater_bin() {
  local target=${CARGO_TARGET_DIR:-$compat/../target} newest
  newest=$(ls -t "$target"/{release,debug}/tidewater 2> /dev/null | head -1)
  printf '%s\n' "${TIDEWATER_BIN:-$newest}"
}

# broker_launch DIR PORT: becomes the broker.
broker_launch() {
  local set=(--set "log.dirs=$1" --set "listeners=PLAINTEXT://127.0.0.1:$2") setting
  if [ "${BROKER:-tidewater}" = apache-kafka ]; then
    exec "$compat/apache-kafka/broker" "$1" "$2"
  fi
  # The broker reads KAFKA_… variables as settings; what the caller's shell happens to hold is no setting of the test.
  unset "${!KAFKA_@}"
  set+=(--set "admin.listeners=http://127.0.0.1:${admin_port:-0}")
  for setting in ${BROKER_SET:-}; do set+=(--set "$setting"); done
  exec "$(tidewater_bin)" broker "${set[@]}"
}

# broker_start DIR PORT LOG: returns when it answers Metadata; sets broker_pid and BOOTSTRAP.
broker_start() {
  if [ "${BROKER:-tidewater}" = tidewater ]; then
    [ -x "$(tidewater_bin)" ] || die "no broker to test: build tidewater, or name one in TIDEWATER_BIN"
  else
    maven_libs "$compat/apache-kafka" > /dev/null
  fi
  broker_launch "$1" "$2" >> "$3" 2>&1 &
  broker_pid=$!
  export BOOTSTRAP=127.0.0.1:$2
  local end=$((SECONDS + ${BROKER_READY_S:-60}))
  until python3 "$compat/lib/wire.py" ready "$BOOTSTRAP" 1 2> /dev/null; do
    kill -0 "$broker_pid" 2> /dev/null && [ "$SECONDS" -lt "$end" ] && continue
    say "the broker is not ready; the end of its log:"
    tail -20 "$3" >&2
    broker_kill
    return 1
  done
}

# broker_stop: in order, as SIGTERM asks; fails if it takes longer than a minute or ends with an error.
broker_stop() {
  local pid=$broker_pid tick
  [ -n "$pid" ] || return 0
  broker_pid=
  kill -TERM "$pid" 2> /dev/null
  for tick in $(seq 600); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.1
  done
  kill -0 "$pid" 2> /dev/null && { kill -KILL "$pid"; wait "$pid"; say "the broker did not stop within 60 s of SIGTERM"; return 1; }
  wait "$pid"
  local code=$?
  # A JVM ends with 143 after an orderly stop by SIGTERM.
  [ "$code" = 0 ] || [ "$code" = 143 ] || { say "the broker stopped with exit code $code"; return 1; }
}

# broker_kill: as a power cut of the process: SIGKILL.
broker_kill() {
  local pid=$broker_pid
  [ -n "$pid" ] || return 0
  broker_pid=
  kill -KILL "$pid" 2> /dev/null
  wait "$pid" 2> /dev/null
  return 0
}
