#!/usr/bin/env bash
# suite: own
# timeout: 600
# run.sh [--rounds N] [--seed N] [--exactly-once disabled]   PostgreSQL refuses to run as root; root runs it as the user postgres.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need java default-jre-headless
need python3 python3
need psql postgresql-client
POSTGRES_BIN=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | tail -1)
[ -x "$POSTGRES_BIN/initdb" ] || { apt_install postgresql; POSTGRES_BIN=$(ls -d /usr/lib/postgresql/*/bin | tail -1); }
export DEBEZIUM_VERSION=3.6.1.Final
DEBEZIUM_PLUGINS=$(maven_archive "io.debezium:debezium-connector-postgres:$DEBEZIUM_VERSION:tar.gz:plugin")
libs=$(maven_libs "$here/../connect")
python=$(python_venv "$here/../confluent-kafka")
[ "${BROKER:-tidewater}" = tidewater ] || maven_libs "$compat/apache-kafka" > /dev/null
export POSTGRES_BIN DEBEZIUM_PLUGINS CONNECT_CLASSPATH="$libs/*" PYTHONPATH=$here/../lib PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/debezium.py" "$@"
