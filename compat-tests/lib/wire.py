#!/usr/bin/env python3
"""A few raw Kafka requests, standard library only, for what no client would send and for clients without an admin side.

    wire.py ready HOST:PORT SECONDS                       wait until a broker answers Metadata
    wire.py create HOST:PORT TOPIC PARTITIONS [KEY=VALUE…]
    wire.py delete HOST:PORT TOPIC…
    wire.py end-offset HOST:PORT TOPIC PARTITION
    wire.py wait-offset HOST:PORT TOPIC PARTITION OFFSET SECONDS   wait until the log end reaches OFFSET
    wire.py unsupported-version HOST:PORT                 ApiVersions v99 must be answered by error 35 in a v0 body
    wire.py unknown-api HOST:PORT                         an unknown API key must close the connection

Exits 1 with one line when the answer is not the right one.
"""
import socket
import struct
import sys
import time

CREATE_TOPICS, DELETE_TOPICS, METADATA, LIST_OFFSETS, API_VERSIONS = 19, 20, 3, 2, 18
OFFSET_FETCH, LEAVE_GROUP = 9, 13


class Wrong(Exception):
    """The broker's answer is not the one a Kafka broker gives."""


def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def compact(text):
    return bytes([len(text) + 1]) + text.encode()


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def connect(bootstrap, timeout=30):
    host, port = bootstrap.split(",")[0].rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout)


def receive(sock, count):
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise EOFError(f"connection closed after {len(data)} of {count} bytes")
        data += chunk
    return data


def exchange(sock, key, version, body, correlation=7):
    """One request with header v1, one response with header v0; returns the response body."""
    request = struct.pack(">hhi", key, version, correlation) + string("compat-tests") + body
    sock.sendall(struct.pack(">i", len(request)) + request)
    response = receive(sock, struct.unpack(">i", receive(sock, 4))[0])
    if struct.unpack_from(">i", response)[0] != correlation:
        raise Wrong("the response carries another correlation id")
    return response[4:]


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, shape):
        values = struct.unpack_from(">" + shape, self.data, self.at)
        self.at += struct.calcsize(">" + shape)
        return values[0]

    def string(self):
        length = self.take("h")
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length:self.at].decode()


def ready(bootstrap, seconds):
    deadline = time.monotonic() + float(seconds)
    while True:
        try:
            with connect(bootstrap, 2) as sock:
                answer = Reader(exchange(sock, METADATA, 4, array([]) + b"\0"))
            answer.take("i")
            if answer.take("i") > 0:
                return
            why = "it knows no broker"
        except (OSError, EOFError) as error:
            why = str(error)
        if time.monotonic() > deadline:
            raise Wrong(f"no broker answers at {bootstrap} within {seconds} s: {why}")
        time.sleep(0.05)


def topic_errors(answer):
    for _ in range(answer.take("i")):
        name, code = answer.string(), answer.take("h")
        yield name, code, answer


def create(bootstrap, topic, partitions, *configs):
    settings = [string(key) + string(value) for key, value in (c.split("=", 1) for c in configs)]
    body = array([string(topic) + struct.pack(">ih", int(partitions), 1) + array([]) + array(settings)])
    with connect(bootstrap) as sock:
        answer = Reader(exchange(sock, CREATE_TOPICS, 4, body + struct.pack(">i?", 30000, False)))
    answer.take("i")
    for name, code, rest in topic_errors(answer):
        message = rest.string()
        if code:
            raise Wrong(f"CreateTopics {name}: error {code}, {message}")
    deadline = time.monotonic() + 30
    while True:
        try:
            for partition in range(int(partitions)):
                end_offset(bootstrap, topic, partition)
            return
        except Wrong:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def delete(bootstrap, *topics):
    with connect(bootstrap) as sock:
        body = array([string(topic) for topic in topics]) + struct.pack(">i", 30000)
        answer = Reader(exchange(sock, DELETE_TOPICS, 3, body))
    answer.take("i")
    for name, code, _ in topic_errors(answer):
        if code:
            raise Wrong(f"DeleteTopics {name}: error {code}")


def end_offset(bootstrap, topic, partition, sock=None):
    if sock is None:
        with connect(bootstrap) as own:
            return end_offset(bootstrap, topic, partition, own)
    wanted = array([string(topic) + array([struct.pack(">iq", int(partition), -1)])])
    answer = Reader(exchange(sock, LIST_OFFSETS, 2, struct.pack(">ib", -1, 0) + wanted))
    answer.take("i"), answer.take("i"), answer.string(), answer.take("i"), answer.take("i")
    code, _, offset = answer.take("h"), answer.take("q"), answer.take("q")
    if code:
        raise Wrong(f"ListOffsets {topic}-{partition}: error {code}")
    return offset


def wait_offset(bootstrap, topic, partition, offset, seconds):
    deadline, reached, sock = time.monotonic() + float(seconds), -1, None
    while reached < int(offset):
        try:
            sock = sock or connect(bootstrap)
            reached = end_offset(bootstrap, topic, partition, sock)
        except (OSError, EOFError, Wrong):
            sock = None
        if time.monotonic() > deadline:
            raise Wrong(f"{topic}-{partition} reached offset {reached}, not {offset}, within {seconds} s")
        time.sleep(0.01)


def committed(bootstrap, group, topic, partitions):
    """{partition: (offset, metadata)} of those that have a committed offset."""
    wanted = array([string(topic) + array([struct.pack(">i", partition) for partition in partitions])])
    with connect(bootstrap) as sock:
        answer = Reader(exchange(sock, OFFSET_FETCH, 1, string(group) + wanted))
    answer.take("i"), answer.string()
    found = {}
    for _ in range(answer.take("i")):
        partition, offset, metadata, code = answer.take("i"), answer.take("q"), answer.string(), answer.take("h")
        if code:
            raise Wrong(f"OffsetFetch {group} {topic}-{partition}: error {code}")
        if offset >= 0:
            found[partition] = (offset, metadata)
    return found


def leave_group(bootstrap, group, member_id):
    """Removes a member as its own last word would, while it knows nothing of it."""
    with connect(bootstrap) as sock:
        answer = Reader(exchange(sock, LEAVE_GROUP, 0, string(group) + string(member_id)))
    code = answer.take("h")
    if code:
        raise Wrong(f"LeaveGroup {group}: error {code}")


def unsupported_version(bootstrap):
    with connect(bootstrap, 10) as sock:
        # From v3 on the header is v2, which ends with a count of tagged fields; a later version can be no other.
        answer = Reader(exchange(sock, API_VERSIONS, 99, b"\0" + compact("compat-tests") + compact("1") + b"\0"))
        code = answer.take("h")
        if code != 35:
            raise Wrong(f"ApiVersions v99: expected error 35, got {code}")
        ranges = {answer.take("h"): (answer.take("h"), answer.take("h")) for _ in range(answer.take("i"))}
        if API_VERSIONS not in ranges:
            raise Wrong("ApiVersions v99: the answer does not list ApiVersions itself")
        if answer.at != len(answer.data):
            raise Wrong("ApiVersions v99: the body is longer than a v0 body")
        # The connection stays usable: clients retry on it at a version they were told.
        if Reader(exchange(sock, API_VERSIONS, 0, b"")).take("h") != 0:
            raise Wrong("ApiVersions v0 after v99: not answered without error")


def unknown_api(bootstrap):
    with connect(bootstrap, 10) as sock:
        try:
            exchange(sock, 9999, 0, b"")
        except (EOFError, ConnectionResetError):
            return
        except TimeoutError:
            raise Wrong("unknown API key 9999: the connection stays open without an answer") from None
        raise Wrong("unknown API key 9999: answered, expected a closed connection")


if __name__ == "__main__":
    command = sys.argv[1].replace("-", "_") if len(sys.argv) > 2 else "help"
    known = {f.__name__: f for f in (ready, create, delete, end_offset, wait_offset, unsupported_version, unknown_api)}
    if command not in known:
        sys.exit(__doc__)
    try:
        result = known[command](*sys.argv[2:])
        if result is not None:
            print(result)
    except (Wrong, OSError, EOFError) as wrong:
        sys.exit(f"{sys.argv[1]}: {wrong}")
