#!/usr/bin/env bash
# suite: ci
# The steps with Kafka's own Java clients. VERSIONED is the folder whose pom.xml names their version; sources in it take the place
# of those here that have the same name.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
versioned=${VERSIONED:-$here}
need java default-jre-headless
libs=$(maven_libs "$versioned")
sources=()
for source in "$here"/*.java; do
  own=$versioned/$(basename "$source")
  if [ -f "$own" ]; then sources+=("$own"); else sources+=("$source"); fi
done
classes=$(java_classes "$(basename "$versioned")" "$libs" "${sources[@]}")
exec java -XX:TieredStopAtLevel=1 -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel="${LOG_LEVEL:-off}" -cp "$classes:$libs/*" Compat
