"""A worker of Kafka Connect in distributed mode, and what its REST interface says. CONNECT_CLASSPATH has its jars."""
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

from broker import COMPAT, free_port, tail
from checks import Wrong

# What a worker's settings call them, and the ends of the topics' names.
INTERNAL = {"config": "configs", "offset": "offsets", "status": "status"}


class Worker:
    """`settings` are the worker's own, added to those that every worker here has."""

    def __init__(self, number, bootstrap, group, scratch, settings=None):
        self.number, self.process, self.refusal = number, None, ""
        self.log = pathlib.Path(f"{scratch}/worker-{number}.log")
        self.url = f"http://127.0.0.1:{free_port()}"
        self.properties = pathlib.Path(f"{scratch}/worker-{number}.properties")
        lines = {"bootstrap.servers": bootstrap, "group.id": group, "listeners": self.url,
                 "key.converter": "org.apache.kafka.connect.storage.StringConverter",
                 "value.converter": "org.apache.kafka.connect.storage.StringConverter",
                 "plugin.discovery": "service_load", "offset.flush.interval.ms": 1000, "session.timeout.ms": 6000,
                 "heartbeat.interval.ms": 1500, "rebalance.timeout.ms": 15_000, "task.shutdown.graceful.timeout.ms": 3000,
                 # By default the tasks of a worker that is gone are nobody's for five minutes, and a worker that cannot read the configs
                 # within three seconds stays away for five minutes.
                 "scheduled.rebalance.max.delay.ms": 2000, "worker.sync.timeout.ms": 10_000, "worker.unsync.backoff.ms": 1000}
        for kind, topic in INTERNAL.items():
            lines |= {f"{kind}.storage.topic": f"{group}-{topic}", f"{kind}.storage.replication.factor": 1}
        lines |= settings or {}
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={COMPAT}/apache-kafka/log4j2.properties",
                 "-cp", os.environ["CONNECT_CLASSPATH"], "org.apache.kafka.connect.cli.ConnectDistributed", str(self.properties)],
                stdout=log, stderr=log)

    def ask(self, method, path, body=None):
        """The answer's JSON; None where there is nothing yet or the worker is still finding out."""
        request = urllib.request.Request(self.url + path, method=method, headers={"Content-Type": "application/json"},
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            # 500 is said of the worker's health while it waits for the others, and of questions that it cannot answer meanwhile.
            self.refusal = f"{method} {path}: {error.code} {error.read().decode()}"
            if error.code in (404, 409, 500, 503):
                return None
            raise Wrong(self.refusal) from error
        except OSError:
            # Not started yet, or busy with its start.
            return None

    def must(self, method, path, body=None, seconds=120):
        return self.until(f"{method} {path} is answered", seconds, lambda: self.ask(method, path, body))

    def until(self, what, seconds, condition):
        deadline = time.monotonic() + seconds
        while (found := condition()) in (None, False):
            self.check_alive()
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {seconds} s; {self.refusal}; worker {self.number}: {tail(self.log)}")
            time.sleep(0.1)
        return found

    def running(self, connector, tasks=1):
        """Waits until the connector and its tasks run; a task that failed is told with its cause."""
        def states():
            status = self.ask("GET", f"/connectors/{connector}/status")
            if status is None or any(task["state"] == "FAILED" for task in status["tasks"]):
                # A task that was fenced or met a killed broker ends; that it is started again is the operator's part.
                for task in status["tasks"] if status else ():
                    if task["state"] == "FAILED" and "ProducerFenced" not in task.get("trace", ""):
                        raise Wrong(f"task {task['id']} of {connector} failed: {task.get('trace', '')}")
                return False
            return status["connector"]["state"] == "RUNNING" and \
                [task["state"] for task in status["tasks"]] == ["RUNNING"] * tasks
        self.until(f"connector {connector} runs", 120, states)

    def check_alive(self):
        if self.process.poll() is not None:
            raise Wrong(f"worker {self.number} ended by itself with {self.process.returncode}: {tail(self.log)}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Wrong(f"worker {self.number} does not stop within 60 s: {tail(self.log)}") from None
        self.process = None

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
