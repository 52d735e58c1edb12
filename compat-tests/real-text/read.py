"""read.py BOOTSTRAP TOPIC COUNT: reads partition 0 to its end, prints the SHA-256 of the values as lines of text.

The keys must be the line numbers 1, 2, 3 …, one to each offset: the first that is missing or twice is named.
"""
import hashlib
import sys
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition


def main(bootstrap, topic, count):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "real-text", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "enable.partition.eof": True, "check.crcs": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    digest, line, deadline = hashlib.sha256(), 0, time.monotonic() + 300
    while time.monotonic() < deadline:
        for message in consumer.consume(10_000, timeout=1):
            if message.error() is None:
                line += 1
                if message.key() != b"%d" % line or message.offset() != line - 1:
                    sys.exit(f"line {line} is expected, offset {message.offset()} has line {message.key().decode()}")
                digest.update(message.value() + b"\n")
            elif message.error().code() == KafkaError._PARTITION_EOF:
                if line != count:
                    sys.exit(f"{line} lines of {count}")
                print(digest.hexdigest())
                return
            else:
                sys.exit(str(message.error()))
    sys.exit(f"{line} lines of {count} within 300 s")


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
