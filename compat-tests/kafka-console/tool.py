"""One of Kafka's command line tools, run once, or a console consumer that stays."""
import os
import subprocess
import tempfile

from groups import GROUP_ID_NOT_FOUND, GROUP_SUBSCRIBED_TO_TOPIC, NON_EMPTY_GROUP
from steps import (BOOTSTRAP, DEADLINE_S, INVALID_PARTITIONS, INVALID_REPLICATION, INVALID_TIMESTAMP, INVALID_TOPIC,
                   MESSAGE_TOO_LARGE, OFFSET_OUT_OF_RANGE, TOPIC_EXISTS, UNKNOWN_TOPIC, Refused)

ERRORS = {
    "OffsetOutOfRange": OFFSET_OUT_OF_RANGE, "does not exist as expected": UNKNOWN_TOPIC,
    "RecordTooLargeException": MESSAGE_TOO_LARGE, "InvalidTopicException": INVALID_TOPIC,
    "InvalidTimestampException": INVALID_TIMESTAMP, "TopicExistsException": TOPIC_EXISTS,
    "InvalidPartitionsException": INVALID_PARTITIONS, "InvalidReplicationFactorException": INVALID_REPLICATION,
    "GroupSubscribedToTopicException": GROUP_SUBSCRIBED_TO_TOPIC, "GroupNotEmptyException": NON_EMPTY_GROUP,
    "can only be reset if the group": NON_EMPTY_GROUP, "GroupIdNotFoundException": GROUP_ID_NOT_FOUND,
}


def raise_if_named(text):
    for words, code in ERRORS.items():
        if words in text:
            raise Refused(code, text)


def command(name, *words):
    java = os.environ["TOOL_JAVA"].split("\n")
    return [*java, f"org.apache.kafka.tools.{name}", "--bootstrap-server", BOOTSTRAP, *map(str, words)]


def tool(name, *words, data=None):
    done = subprocess.run(command(name, *words), input=data, capture_output=True, timeout=4 * DEADLINE_S, check=False)
    # The console tools report what was refused on their log alone, and end with 0.
    raise_if_named(done.stderr.decode())
    if done.returncode:
        raise Refused(-1, done.stderr.decode() + done.stdout.decode(errors="replace"))
    return done.stdout.decode()


def groups(*words):
    """kafka-consumer-groups, which tells its errors on standard output and may end with 0."""
    text = tool("consumer.group.ConsumerGroupCommand", *words)
    raise_if_named(text)
    return text


def table(text):
    """Rows of a table as the tool prints it, each a dictionary."""
    lines = [line for line in text.splitlines() if line.strip()]
    start = next(i for i, line in enumerate(lines) if line.startswith("GROUP "))
    names = lines[start].replace("COORDINATOR (ID)", "COORDINATOR ID").split()
    return [dict(zip(names, line.split())) for line in lines[start + 1:]]


class Reader:
    """A console consumer in a group, until it is stopped."""

    def __init__(self, group, topic, client_id, include=None, reset="earliest", protocol="classic"):
        self.output = tempfile.TemporaryFile()
        where = ("--include", include) if include else ("--topic", topic)
        settings = {"client.id": client_id, "auto.commit.interval.ms": 200, "auto.offset.reset": reset,
                    "metadata.max.age.ms": 1000, "group.protocol": protocol}
        if protocol == "classic":
            settings |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
        words = [word for name, text in settings.items() for word in ("--command-property", f"{name}={text}")]
        self.process = subprocess.Popen(command("consumer.ConsoleConsumer", *where, "--group", group, *words),
                                        stdout=self.output, stderr=subprocess.DEVNULL)

    def values(self):
        self.output.seek(0)
        return self.output.read().splitlines()

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE_S)

    def kill(self):
        self.process.kill()
        self.process.wait()
