#!/usr/bin/env bash
# suite: own
# run.sh [kill [--rounds N] [--seed N] | groups [--rounds N] [--seed N] | full-disk | full-disk-restart | enospc]   without a scenario: all.
# The full disk is a small tmpfs, which takes root to mount.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
need python3 python3
if [ "${BROKER:-tidewater}" = tidewater ]; then
  [ -x "$(tidewater_bin)" ] || die "no broker to test: build tidewater, or name one in TIDEWATER_BIN"
else
  maven_libs "$compat/apache-kafka" > /dev/null
fi
python=$(python_venv "$here/../confluent-kafka")
torture() { PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../lib "$python" "$here/torture.py" "$@"; }

[ $# = 0 ] || { torture "$@"; exit; }
passed=0 failed=0 skipped=0
for scenario in kill groups full-disk full-disk-restart enospc; do
  probe=$(mktemp -d)
  if [[ $scenario != @(kill|groups) ]] && ! mount -t tmpfs -o size=1m tmpfs "$probe" 2> /dev/null; then
    echo "SKIPPED $scenario: mounting a tmpfs takes root"
    ((++skipped))
  elif torture "$scenario"; then
    ((++passed))
  else
    ((++failed))
  fi
  umount "$probe" 2> /dev/null
  rmdir "$probe"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
