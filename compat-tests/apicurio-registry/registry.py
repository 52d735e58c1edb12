"""Apicurio Registry with its storage in topics of the broker, under a producer and a consumer of Avro (README.md)."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from confluent_kafka.admin import AdminClient, ConfigResource

import wire
from broker import Broker, free_port, tail
from checks import Wrong, equal
from reading import scratch_folder
from report import report

TOPIC, JOURNAL, SNAPSHOTS = "orders", "kafkasql-journal", "kafkasql-snapshots"
ARTIFACT = f"/groups/default/artifacts/{TOPIC}-value"


class Registry:
    def __init__(self, bootstrap, scratch):
        self.bootstrap, self.scratch, self.process = bootstrap, scratch, None
        self.log = pathlib.Path(f"{scratch}/registry.log")
        self.port, self.management_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}/apis/registry/v3"

    def start(self):
        settings = {"APICURIO_STORAGE_KIND": "kafkasql", "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": self.bootstrap,
                    "QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(self.port),
                    "QUARKUS_MANAGEMENT_HOST": "127.0.0.1", "QUARKUS_MANAGEMENT_PORT": str(self.management_port),
                    "APICURIO_STORAGE_SNAPSHOT_LOCATION": f"{self.scratch}/"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([os.environ["APICURIO_JAVA"], "-Xmx384m", "-XX:TieredStopAtLevel=1", "-jar",
                                             f"{os.environ['APICURIO_HOME']}/quarkus-run.jar"],
                                            env=os.environ | settings, stdout=log, stderr=log)
        deadline = time.monotonic() + 90
        # Ready, not just up: it first reads its journal.
        while self.ask("GET", f"http://127.0.0.1:{self.management_port}/health/ready")[0] != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Wrong(f"the registry does not answer: {tail(self.log)}")
            time.sleep(0.1)

    def ask(self, method, path, body=None):
        """(status, JSON); status 0 while nobody answers."""
        url = path if path.startswith("http") else self.url + path
        request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def must(self, method, path, body=None):
        status, answer = self.ask(method, path, body)
        if not 200 <= status < 300:
            raise Wrong(f"{method} {path}: {status} {answer}")
        return answer

    def content(self):
        """All there is: each version with its ids and schema. Its times are those of the process that replayed the journal."""
        found = self.must("GET", ARTIFACT + "/versions?limit=500")["versions"]
        versions = [{key: value for key, value in one.items() if key not in ("createdOn", "modifiedOn")} for one in found]
        schemas = {one["version"]: self.must("GET", f"{ARTIFACT}/versions/{one['version']}/content") for one in versions}
        return versions, schemas, self.must("GET", ARTIFACT + "/rules")

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Wrong(f"the registry does not stop within 30 s: {tail(self.log)}") from None
        self.process = None


class Run:
    def __init__(self, scratch):
        self.broker = Broker(f"{scratch}/data", f"{scratch}/broker.log")
        self.registry = Registry(self.broker.bootstrap, scratch)

    # Steps

    def start(self):
        self.registry.start()
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        topics = admin.list_topics(timeout=30).topics
        equal("partitions of the journal", 1, len(topics[JOURNAL].partitions) if JOURNAL in topics else 0)
        (future,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, JOURNAL)]).values()
        equal("retention of the journal", "-1", future.result(30)["retention.ms"].value)

    def produce(self):
        wire.create(self.broker.bootstrap, TOPIC, 1)
        before = wire.end_offset(self.broker.bootstrap, JOURNAL, 0)
        self.avro("produce", 0, 500, 1)
        if wire.end_offset(self.broker.bootstrap, JOURNAL, 0) <= before:
            raise Wrong("the journal did not grow when a schema was registered")

    def consume(self):
        self.avro("consume", 0, 500, 1)

    def evolve(self):
        self.registry.must("POST", ARTIFACT + "/rules", {"ruleType": "COMPATIBILITY", "config": "BACKWARD"})
        self.avro("produce", 500, 1_000, 2)
        self.avro("consume", 500, 1_000, 2)
        self.avro("consume", 0, 500, 1)
        equal("versions", ["1", "2"], sorted(one["version"] for one in self.registry.content()[0]))

    def incompatible(self):
        # A field without a default: what is written already could not be read.
        schema = {"type": "record", "name": "Order", "namespace": "compat",
                  "fields": [{"name": "number", "type": "int"}, {"name": "weight", "type": "double"}]}
        body = {"content": {"content": json.dumps(schema), "contentType": "application/json"}}
        status, answer = self.registry.ask("POST", ARTIFACT + "/versions", body)
        if status != 400 or "RuleViolationException" not in answer:
            raise Wrong(f"an incompatible schema is answered with {status} {answer}")

    def registry_killed(self):
        """A new process knows only what is in the journal."""
        before = self.registry.content()
        self.registry.kill()
        self.registry.start()
        equal("the registry's content", before, self.registry.content())
        self.avro("consume", 500, 1_000, 2)

    def broker_killed(self):
        before = self.registry.content()
        self.broker.kill()
        self.broker.start()
        self.avro("produce", 1_000, 1_500, 3)
        after = self.registry.content()
        equal("versions", ["1", "2", "3"], sorted(one["version"] for one in after[0]))
        equal("earlier schemas", before[1], {version: after[1][version] for version in before[1]})
        self.registry.stop()
        self.registry.start()
        equal("the registry's content", after, self.registry.content())
        self.avro("consume", 1_000, 1_500, 3)

    def snapshot(self):
        """A start from a snapshot: the journal before it is not needed."""
        before, end = self.registry.content(), wire.end_offset(self.broker.bootstrap, SNAPSHOTS, 0)
        self.registry.must("POST", "/admin/snapshots")
        wire.wait_offset(self.broker.bootstrap, SNAPSHOTS, 0, end + 1, 30)
        self.registry.kill()
        self.registry.start()
        equal("the registry's content", before, self.registry.content())
        self.avro("consume", 0, 500, 1)

    def stop(self):
        self.registry.stop()

    # Helpers

    def avro(self, what, first, end, version):
        java = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", os.environ["AVRO_CLASSPATH"],
                f"-Dorg.slf4j.simpleLogger.defaultLogLevel={os.environ.get('LOG_LEVEL', 'off')}"]
        done = subprocess.run([*java, "Avro", what, self.broker.bootstrap, self.registry.url, TOPIC, str(first), str(end), str(version)],
                              capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise Wrong(f"{what} {first} to {end}: {done.stderr.strip()[-1500:]}")

    def steps(self):
        yield "registry-started", self.start
        yield "avro-produced", self.produce
        yield "avro-consumed", self.consume
        yield "schema-evolved", self.evolve
        yield "schema-refused", self.incompatible
        yield "registry-killed", self.registry_killed
        yield "broker-killed", self.broker_killed
        yield "snapshot", self.snapshot
        yield "registry-stopped", self.stop

    def end(self):
        self.registry.kill()
        self.broker.kill()


def main():
    with scratch_folder() as scratch:
        run = Run(scratch)
        try:
            run.broker.start()
            return report("apicurio-registry", os.environ["APICURIO_VERSION"], run.steps())
        finally:
            run.end()


if __name__ == "__main__":
    sys.exit(main())
