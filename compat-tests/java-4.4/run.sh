#!/usr/bin/env bash
# suite: ci
# The steps with Kafka's own Java clients. VERSIONED is the folder whose pom.xml names their version.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need javac default-jdk-headless
libs=$(maven_libs "${VERSIONED:-$here}")
exec java -XX:TieredStopAtLevel=1 -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$libs/*" "$here/Compat.java"
