#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need java default-jre-headless
need python3 python3
libs=$(maven_libs "$here")
export TOOL_VERSION TOOL_JAVA
TOOL_VERSION=$(basename "$libs"/kafka-tools-[0-9]*.jar .jar)
# Words on lines of their own, so that no path needs quoting.
TOOL_JAVA=$(printf '%s\n' java -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$libs/*")
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../lib exec python3 "$here/compat.py"
