#!/usr/bin/env bash
# suite: own
# timeout: 600
# run.sh [--seed N] [--kills N] [--exactly-once disabled]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need java default-jre-headless
need python3 python3
libs=$(maven_libs "$here/../connect")
python=$(python_venv "$here/../confluent-kafka")
version=$(basename "$libs"/connect-mirror-[0-9]*.jar .jar)
maven_libs "$compat/apache-kafka" > /dev/null
export MIRROR_VERSION=${version#connect-mirror-} CONNECT_CLASSPATH="$libs/*" PYTHONPATH=$here/../lib PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/mirror.py" "$@"
