#!/usr/bin/env bash
# suite: ci
# run.sh [kill [--rounds N] [--seed N] [--lines N]]   without `kill`: at least once, undisturbed, against $BOOTSTRAP.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../lib/common.sh"
need java default-jre-headless
need python3 python3
libs=$(maven_libs "$here")
classes=$(java_classes streams "$libs" "$here/Words.java")
python=$(python_venv "$here/../confluent-kafka")
version=$(basename "$libs"/kafka-streams-*.jar .jar)
export STREAMS_VERSION=${version#kafka-streams-} STREAMS_CLASSPATH="$classes:$libs/*" PYTHONPATH=$here/../lib PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/streams.py" "$@"
