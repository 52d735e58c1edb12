#!/usr/bin/env bash
# suite: own
# run.sh   A Prometheus scrapes a broker under load, and is asked what dashboards and alerts made for Kafka ask it.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"
need python3 python3
[ "${BROKER:-tidewater}" = tidewater ] || die "only tidewater has /metrics of its own"
python=$(python_venv "$here/../confluent-kafka")

# Unpacked and not installed: the package would start a service.
if ! command -v promtool > /dev/null || ! command -v prometheus > /dev/null; then
  bin=$cache/prometheus/usr/bin
  if [ ! -x "$bin/promtool" ]; then
    say "fetching Debian's prometheus into $cache/prometheus"
    package=$(mktemp -d)
    (cd "$package" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; }) >&2 ||
      die "prometheus and promtool are missing"
    dpkg-deb -x "$package"/prometheus_*.deb "$cache/prometheus"
    rm -rf "$package"
  fi
  PATH=$bin:$PATH
fi

scratch=$(mktemp -d)
prometheus_pid=
end() {
  [ -z "$prometheus_pid" ] || { kill "$prometheus_pid"; wait "$prometheus_pid"; } 2> /dev/null
  broker_kill
  rm -rf "$scratch"
}
trap end EXIT

admin_port=$(free_port)
web_port=$(free_port)
broker_start "$scratch/data" "$(free_port)" "$scratch/broker.log" || exit 1
# The labels that Strimzi's scrape configuration adds.
cat > "$scratch/prometheus.yml" <<CONFIG
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: kafka
    static_configs:
      - targets: ["127.0.0.1:$admin_port"]
        labels:
          namespace: kafka
          strimzi_io_cluster: prod
          kubernetes_pod_name: prod-kafka-0
CONFIG
promtool check config "$scratch/prometheus.yml" > /dev/null || die "promtool refuses the scrape configuration"
prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/tsdb" \
  --web.listen-address="127.0.0.1:$web_port" --log.level=warn > "$scratch/prometheus.log" 2>&1 &
prometheus_pid=$!

METRICS=http://127.0.0.1:$admin_port/metrics PROMETHEUS=http://127.0.0.1:$web_port \
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../lib "$python" "$here/check.py"
