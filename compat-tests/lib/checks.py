"""What every step is said in: a record, the two ways to go wrong, and comparisons that wait for what may trail."""
import os
import time
from typing import NamedTuple, Optional

import wire

BOOTSTRAP = os.environ.get("BOOTSTRAP", "127.0.0.1:9092")
PARTITIONS = 3
DEADLINE_S = 30


class Wrong(Exception):
    """A wrong answer; its text is the whole report."""


class Refused(Exception):
    """The broker answered with a Kafka error code."""

    def __init__(self, code, text=""):
        super().__init__(f"error {code} {text}")
        self.code = code


class Record(NamedTuple):
    partition: int
    timestamp: Optional[int]
    key: Optional[bytes]
    value: Optional[bytes]
    headers: list
    offset: Optional[int] = None
    topic: Optional[str] = None


def equal(what, expected, actual):
    if expected != actual:
        raise Wrong(f"{what}: expected {expected!r}, got {actual!r}")


def refused(codes, what, call, *args, **named):
    """The call is refused with the code, or with one of them where clients have words of their own."""
    codes = codes if isinstance(codes, tuple) else (codes,)
    try:
        result = call(*args, **named)
    except Refused as error:
        if error.code not in codes:
            raise Wrong(f"{what}: expected error {' or '.join(map(str, codes))}, got {error}") from error
        return
    raise Wrong(f"{what}: expected error {codes[0]}, got success {result!r}")


def until(what, expected, actual):
    """Metadata may trail the controller's answer; the change itself must come."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            last = actual()
        except Refused as error:
            last = error.code
        if last == expected:
            return
        if time.monotonic() > deadline:
            equal(what, expected, last)
        time.sleep(0.05)


def end_of(topic, partition):
    try:
        return wire.end_offset(BOOTSTRAP, topic, partition)
    except wire.Wrong as wrong:
        return str(wrong)
