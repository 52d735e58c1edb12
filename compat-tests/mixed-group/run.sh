#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need javac default-jdk-headless
# The versions are those of the clients' own folders.
java=$(maven_libs "$here/../java-4.4")
python=$(python_venv "$here/../confluent-kafka")
program=$(go_program "$here")
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$here/mixed.py" "$java/*" "$program" \
  "kafka-clients 4.4.0, librdkafka $("$python" -c 'import confluent_kafka; print(confluent_kafka.libversion()[0])'), franz-go v1.22.2"
