#!/usr/bin/env bash
# Spring for Apache Kafka: what an application is annotated with, and what must come of it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need java default-jre-headless
libs=$(maven_libs "$here")
classes=$(java_classes spring-kafka "$libs" "$here"/*.java "$here/../java-4.4/Check.java")
exec java -XX:TieredStopAtLevel=1 -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel="${LOG_LEVEL:-off}" -cp "$classes:$libs/*" SpringCompat
