#!/usr/bin/env bash
# suite: own
# timeout: 900
# run.sh [--rounds N] [--seed N] [--lines N] [--exactly-once disabled]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need java default-jre-headless
need python3 python3
libs=$(maven_libs "$here")
python=$(python_venv "$here/../confluent-kafka")
version=$(basename "$libs"/connect-runtime-*.jar .jar)
[ "${BROKER:-tidewater}" = tidewater ] || maven_libs "$compat/apache-kafka" > /dev/null
export CONNECT_VERSION=${version#connect-runtime-} CONNECT_CLASSPATH="$libs/*" PYTHONPATH=$here/../lib PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/connect.py" "$@"
