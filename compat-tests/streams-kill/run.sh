#!/usr/bin/env bash
# suite: own
# timeout: 900
# streams' application with exactly_once_v2 while its instances and a broker of its own are killed: ../streams/README.md.
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
[ "${BROKER:-tidewater}" = tidewater ] || maven_libs "$compat/apache-kafka" > /dev/null
exec "$here/../streams/run.sh" kill "$@"
