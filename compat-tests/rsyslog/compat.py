"""rsyslogd between a socket and a topic (omkafka), and between a topic and a file (imkafka)."""
import collections
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import wire
from broker import Broker
from checks import BOOTSTRAP, DEADLINE_S, Wrong, equal
from report import report

COUNT = 500
TO_KAFKA = """
global(workDirectory="{dir}")
template(name="plain" type="string" string="%msg:2:$%")
input(type="imuxsock" Socket="{dir}/log" RateLimit.Interval="0")
action(type="omkafka" broker=["{bootstrap}"] topic="{topic}" template="plain" resubmitOnFailure="on"
       keepFailedMessages="on" failedMsgFile="{dir}/failed"
       confParam=["enable.idempotence=true", "linger.ms=20", "message.timeout.ms=5000", "reconnect.backoff.max.ms=500"]
       action.resumeRetryCount="-1" action.resumeInterval="1"
       queue.type="Disk" queue.filename="to-kafka" queue.size="100000" queue.timeoutEnqueue="30000")
"""
FROM_KAFKA = """
global(workDirectory="{dir}")
template(name="line" type="string" string="%rawmsg%\\n")
module(load="imkafka")
input(type="imkafka" topic="{topic}" broker=["{bootstrap}"] consumergroup="{group}" ruleset="keep"
      confParam=["auto.offset.reset=earliest", "session.timeout.ms=6000", "heartbeat.interval.ms=1000",
                 "auto.commit.interval.ms=200"])
ruleset(name="keep") {{ action(type="omfile" file="{dir}/read" template="line") }}
"""
MODULES = 'module(load="imuxsock" SysSock.Use="off")\nmodule(load="omkafka")\n'


class Rsyslogd:
    """In the foreground, with a configuration and a directory of its own."""

    def __init__(self, directory, config):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)
        (self.directory / "conf").write_text(config)
        self.process = None

    def start(self):
        with open(self.directory / "said", "ab") as said:
            self.process = subprocess.Popen(["rsyslogd", "-n", "-f", self.directory / "conf", "-i", self.directory / "pid"],
                                            stdout=said, stderr=said)
        return self

    def said(self):
        return (self.directory / "said").read_text()[-300:]

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(DEADLINE_S)
            self.process = None

    def log(self, texts):
        path = self.directory / "log"
        until("rsyslogd opens its socket", lambda: path.is_socket(), self)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(path))
            for text in texts:
                sock.send(f"<13>compat: {text}".encode())


def until(what, condition, daemon, seconds=DEADLINE_S):
    deadline = time.monotonic() + seconds
    while not condition():
        if daemon.process.poll() is not None:
            raise Wrong(f"{what}: rsyslogd ended with {daemon.process.returncode}: {daemon.said()}")
        if time.monotonic() > deadline:
            raise Wrong(f"{what}: not within {seconds} s; rsyslogd said: {daemon.said()}")
        time.sleep(0.05)


def texts(label, count=COUNT):
    """Lines as programs log them, up to 2,000 characters long."""
    return [f"{label} {i} käse ✓ " + "x" * (i * 37 % 2000) for i in range(count)]


def read_topic(bootstrap, topic):
    done = subprocess.run(["kcat", "-b", bootstrap, "-C", "-t", topic, "-e", "-q", "-f", r"%s\n"],
                          capture_output=True, timeout=2 * DEADLINE_S, check=True)
    return done.stdout.decode().splitlines()


def end_of(bootstrap, topic):
    try:
        return wire.end_offset(bootstrap, topic, 0)
    except (OSError, EOFError, wire.Wrong):
        return -1


def same_lines(what, expected, found):
    missing = collections.Counter(expected) - collections.Counter(found)
    more = collections.Counter(found) - collections.Counter(expected)
    if missing or more:
        raise Wrong(f"{what}: {missing.total()} of {len(expected)} missing, {more.total()} too many: "
                    f"{[text[:30] for text in list(missing) + list(more)][:3]}")


class Steps:
    def __init__(self, scratch):
        self.scratch = scratch
        self.run_id = f"compat-rsyslog-{time.time_ns():x}"
        self.daemons = []

    def daemon(self, name, config, bootstrap, topic, group=""):
        directory = f"{self.scratch}/{name}"
        daemon = Rsyslogd(directory, config.format(dir=directory, bootstrap=bootstrap, topic=topic, group=group))
        self.daemons.append(daemon)
        return daemon

    def to_kafka(self, name, bootstrap, topic):
        return self.daemon(name, MODULES + TO_KAFKA, bootstrap, topic)

    def from_kafka(self, name):
        return self.daemon(name, FROM_KAFKA, BOOTSTRAP, self.topic, self.run_id + "-group").start()

    def omkafka(self):
        self.topic = self.run_id + "-log"
        wire.create(BOOTSTRAP, self.topic, 1)
        self.writer = self.to_kafka("writer", BOOTSTRAP, self.topic).start()
        self.first = texts("first")
        self.writer.log(self.first)
        until("all is in the topic", lambda: end_of(BOOTSTRAP, self.topic) >= COUNT, self.writer)
        equal("the topic, in order", self.first, read_topic(BOOTSTRAP, self.topic))

    def read_by(self, name, daemon, expected):
        path = pathlib.Path(self.scratch, name, "read")
        until("all is in the file", lambda: path.exists() and len(path.read_text().splitlines()) >= len(expected), daemon)
        same_lines("the file", expected, path.read_text().splitlines())

    def imkafka(self):
        reader = self.from_kafka("reader")
        self.read_by("reader", reader, self.first)
        until("the group commits", lambda: wire.committed(BOOTSTRAP, self.run_id + "-group", self.topic, [0]).get(0, (0,))[0]
              == COUNT, reader)
        reader.stop()

    def imkafka_resume(self):
        more = texts("second", 100)
        self.writer.log(more)
        self.read_by("again", self.from_kafka("again"), more)

    def omkafka_restart(self):
        """The broker is killed; rsyslogd keeps what it cannot deliver on disk, and delivers it when the broker is back."""
        broker, topic = Broker(f"{self.scratch}/data", f"{self.scratch}/broker.log"), "restart"
        try:
            broker.start()
            wire.create(broker.bootstrap, topic, 1)
            daemon, said = self.to_kafka("restarted", broker.bootstrap, topic).start(), texts("before")
            daemon.log(said)
            until("all is in the topic", lambda: end_of(broker.bootstrap, topic) >= COUNT, daemon)
            broker.kill()
            during = texts("during")
            daemon.log(during)
            until("rsyslogd keeps on disk what it cannot deliver",
                  lambda: any(file.stat().st_size for file in daemon.directory.glob("to-kafka.0*")), daemon)
            broker.start()
            after = texts("after")
            daemon.log(after)
            said += during + after
            until("all is in the topic after the restart", lambda: end_of(broker.bootstrap, topic) >= len(said), daemon, 60)
            found = read_topic(broker.bootstrap, topic)
            lost, more = set(said) - set(found), set(found) - set(said)
            if lost or more:
                raise Wrong(f"{len(lost)} lines lost, {len(more)} that nobody wrote: {[t[:30] for t in sorted(lost | more)[:3]]}")
        finally:
            broker.kill()

    def steps(self):
        yield "omkafka", self.omkafka
        yield "imkafka", self.imkafka
        yield "imkafka-resume", self.imkafka_resume
        yield "omkafka-restart", self.omkafka_restart
        yield "delete-topics", self.delete_topics

    def delete_topics(self):
        for daemon in self.daemons:
            daemon.stop()
        wire.delete(BOOTSTRAP, self.topic)


def version():
    text = subprocess.run(["rsyslogd", "-v"], capture_output=True, text=True, check=True).stdout
    return re.search(r"rsyslogd\s+(\S+)", text)[1]


def main():
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        steps = Steps(scratch)
        try:
            cannot = {} if "BROKER" in os.environ else {"omkafka-restart": "takes a broker that may be killed: BROKER=tidewater"}
            return report("rsyslog", version(), steps.steps(), cannot)
        finally:
            for daemon in steps.daemons:
                daemon.stop()


sys.exit(main())
