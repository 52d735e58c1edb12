"""Load from real clients, then the questions. BOOTSTRAP, METRICS and PROMETHEUS say where everything is."""
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

import queries

BOOTSTRAP, METRICS, PROMETHEUS = (os.environ[name] for name in ("BOOTSTRAP", "METRICS", "PROMETHEUS"))
PATIENCE_S = 120
TOPIC, PARTITIONS, HALF = "orders", 3, 150
# What promtool says of names that have to stay as they are.
ABOUT_OLD_NAMES = {
    ("kafka_consumergroup_current_offset_sum", "_sum"),
    ("kafka_consumergroup_lag_sum", "_sum"),
    ("kafka_log_logcleanermanager_time_since_last_run_ms", "abbreviated units"),
    ("kafka_log_logcleanermanager_uncleanable_bytes", "camelCase"),
    ("kafka_log_logcleanermanager_uncleanable_partitions_count", "_count"),
    ("kafka_log_logcleanermanager_uncleanable_partitions_count", "camelCase"),
    ("kafka_server_socket_server_metrics_connection_count", "_count"),
    ("kafka_server_socket_server_metrics_connection_count", "camelCase"),
}


class Wrong(Exception):
    pass


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def ask(query):
    """The result vector of an instant query, as (labels, value)."""
    answer = json.loads(get(f"{PROMETHEUS}/api/v1/query?" + urllib.parse.urlencode({"query": query})))
    return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]


def value_of(query):
    values = [value for _, value in ask(query)]
    if len(values) != 1:
        raise Wrong(f"{len(values)} values for {query}")
    return values[0]


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise Wrong(f"{what}: not after {PATIENCE_S} s")
        time.sleep(0.2)


class Load:
    """Produces without end; one group of each protocol reads along, and one has read half of something and gone."""

    def __init__(self):
        self.stopping = threading.Event()
        self.threads = []

    def __enter__(self):
        admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
        for created in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1), NewTopic("half", 1, 1)]).values():
            created.result()
        self.read_half()
        self.start(self.produce)
        for protocol in ("classic", "consumer"):
            self.start(self.consume, protocol)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def start(self, body, *args):
        thread = threading.Thread(target=body, args=args)
        thread.start()
        self.threads.append(thread)

    def read_half(self):
        producer = confluent_kafka.Producer({"bootstrap.servers": BOOTSTRAP})
        for number in range(2 * HALF):
            producer.produce("half", str(number).encode(), partition=0)
        producer.flush()
        reader = self.consumer("half-read", "classic")
        reader.subscribe(["half"])
        for _ in range(HALF):
            message = None
            while message is None or message.error():
                message = reader.poll(1)
        reader.commit(message, asynchronous=False)
        reader.close()

    @staticmethod
    def consumer(group, protocol):
        settings = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "group.protocol": protocol}
        settings |= {"auto.offset.reset": "earliest", "enable.auto.commit": False}
        return confluent_kafka.Consumer(settings)

    def produce(self):
        producer = confluent_kafka.Producer({"bootstrap.servers": BOOTSTRAP, "compression.type": "zstd", "linger.ms": 20})
        number = 0
        while not self.stopping.wait(0.05):
            for _ in range(100):
                producer.produce(TOPIC, b"x" * 200, partition=number % PARTITIONS)
                number += 1
            producer.poll(0)
        producer.flush(10)

    def consume(self, protocol):
        reader = self.consumer(f"along-{protocol}", protocol)
        reader.subscribe([TOPIC])
        while not self.stopping.is_set():
            if any(not message.error() for message in reader.consume(500, timeout=0.2)):
                reader.commit(asynchronous=False)
        reader.close()


def check_promtool():
    page = get(METRICS)
    linted = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    found = (linted.stdout + linted.stderr).splitlines()
    remarks = [line.partition(" ") for line in found]
    expected = [any(name == old and word in text for old, word in ABOUT_OLD_NAMES) for name, _, text in remarks]
    unexpected = [line for line, is_expected in zip(found, expected) if not is_expected]
    if unexpected:
        raise Wrong("; ".join(unexpected))
    samples = sum(1 for line in page.splitlines() if not line.startswith("#"))
    return f"{samples} samples, {len(found)} remarks on old names"


def check_all(asked):
    for panel, query in asked.items():
        if not ask(query):
            raise Wrong(f"{panel}: no data for {query}")
    return f"{len(asked)} queries"


def check_moving():
    for panel in ("bytes in", "bytes out", "messages in", "produce requests", "fetch requests"):
        if not value_of(queries.KAFKA[panel]) > 0:
            raise Wrong(f"{panel} is 0 under load")
    for panel in ("failed produce requests", "failed fetch requests"):
        if value_of(queries.KAFKA[panel]) != 0:
            raise Wrong(f"{panel} is not 0")


def check_alerts():
    for name, (metric, condition) in queries.ALERTS.items():
        if not ask(metric):
            raise Wrong(f"{name}: no data for {metric}")
        if ask(f"{metric} {condition}"):
            raise Wrong(f"{name} fires: {metric} {condition}")


def check_lag():
    half = value_of('kafka_consumergroup_lag{consumergroup="half-read"}')
    if half != HALF:
        raise Wrong(f"the group that has read half is behind by {half}, not {HALF}")
    for query in ("tidewater_group_lag", "tidewater_group_lag_max", 'kafka_consumergroup_lag_sum{topic="half"}'):
        selector = query if "{" in query else query + '{group="half-read"}'
        if value_of(selector) != HALF:
            raise Wrong(f"{selector} is not {HALF}")
    lowest = value_of("min(min_over_time(kafka_consumergroup_lag[5m]))")
    if lowest < 0:
        raise Wrong(f"lag was {lowest}")
    groups = {labels["consumergroup"]: value for labels, value in ask("kafka_consumergroup_members")}
    expected = {"half-read": 0, "along-classic": 1, "along-consumer": 1}
    if groups != expected:
        raise Wrong(f"members {groups}, expected {expected}")


def check_scrapes():
    up = value_of("min_over_time(up[5m])")
    longest = value_of("max_over_time(scrape_duration_seconds[5m])")
    if up != 1:
        raise Wrong("a scrape failed")
    return f"the longest took {longest * 1000:.0f} ms"


def is_in_swing():
    scrapes = ask("count_over_time(up[5m])")
    groups = ask('count(tidewater_group_size{group=~"along-.*"} > 0)')
    commits = ask("increase(tidewater_group_offset_commits_total[1m])")
    return scrapes and scrapes[0][1] >= 10 and groups and groups[0][1] == 2 and commits and commits[0][1] > 10


STEPS = {
    "promtool": check_promtool,
    "strimzi-kafka": lambda: check_all(queries.KAFKA),
    "strimzi-kafka-exporter": lambda: check_all(queries.KAFKA_EXPORTER),
    "other-exporter-names": lambda: check_all(queries.OTHERS),
    "rates-under-load": check_moving,
    "alerts-are-silent": check_alerts,
    "lag": check_lag,
    "scrapes": check_scrapes,
}


def main():
    version = json.loads(get(f"{PROMETHEUS}/api/v1/status/buildinfo"))["data"]["version"]
    version = re.match(r"[0-9.]*", version)[0]
    print(f"client prometheus {version}", flush=True)
    passed = failed = 0
    with Load():
        try:
            wait_for("load that Prometheus sees", is_in_swing)
        except Wrong as wrong:
            sys.exit(f"FAIL load: {wrong}")
        for step, check in STEPS.items():
            try:
                detail = check()
            except Wrong as wrong:
                failed += 1
                print(f"FAIL {step}: {wrong}", flush=True)
                if not os.environ.get("KEEP_GOING"):
                    break
            else:
                passed += 1
                print(f"ok {step}", flush=True)
                if detail:
                    print(f"  {step}: {detail}", file=sys.stderr)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    wait_for("Prometheus", lambda: get(f"{PROMETHEUS}/-/ready"))
    main()
