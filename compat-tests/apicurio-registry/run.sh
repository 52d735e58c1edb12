#!/usr/bin/env bash
# suite: own
# timeout: 400
# The registry wants Java 21 or later, the producer and the consumer run with any from 17 on.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need java default-jre-headless
need python3 python3
libs=$(maven_libs "$here")
classes=$(java_classes apicurio-registry "$libs" "$here/Avro.java")
registry=3.3.3
export APICURIO_VERSION=$registry
if ! APICURIO_JAVA=$(java_from 21); then
  printf '%s\n' "client apicurio-registry $registry" "skip registry-started: it needs Java 21" "0 passed, 0 failed, 1 skipped"
  exit
fi
APICURIO_HOME=$(maven_archive "io.apicurio:apicurio-registry-app:$registry:tar.gz:all")
python=$(python_venv "$here/../confluent-kafka")
[ "${BROKER:-tidewater}" = tidewater ] || maven_libs "$compat/apache-kafka" > /dev/null
export APICURIO_JAVA APICURIO_HOME AVRO_CLASSPATH="$classes:$libs/*" PYTHONPATH=$here/../lib PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/registry.py"
