"""The changes of a table in PostgreSQL become records, through Debezium and Kafka Connect (README.md).

    debezium.py [--rounds N] [--seed N] [--exactly-once enabled|disabled]
"""
import argparse
import collections
import json
import os
import random
import sys
import time

import wire
from broker import Broker
from checks import Wrong, equal
from connect_worker import Worker
from postgres import Postgres
from reading import read_to_end, scratch_folder
from report import report

CONNECTOR, TOPIC, FIRST_ROWS, CHANGES = "shop", "shop.public.orders", 200, 300
JSON = "org.apache.kafka.connect.json.JsonConverter"


class Table:
    """What was done to the table, row by row: the events that must come of it."""

    def __init__(self, rng):
        self.rng, self.rows, self.next = rng, {}, 1
        self.events = collections.defaultdict(list)

    def change(self):
        """The statements of one change; one in ten is a transaction of several, of which every third is rolled back."""
        if self.rng.random() < 0.9:
            return [self.one()]
        if self.rng.random() < 0.33:
            nobody = f"INSERT INTO orders VALUES ({1_000_000 + self.next}, 'nobody', 1.00)"
            return ["BEGIN", nobody, "DELETE FROM orders", "ROLLBACK"]
        return ["BEGIN", *(self.one() for _ in range(5)), "COMMIT"]

    def one(self):
        what = self.rng.choices(("insert", "update", "delete"), (4, 4, 2))[0] if self.rows else "insert"
        if what == "insert":
            return self.insert("c")
        number = self.rng.choice(list(self.rows))
        if what == "delete":
            del self.rows[number]
            self.events[number] += [("d", None), (None, None)]
            return f"DELETE FROM orders WHERE id = {number}"
        row = self.row(number)
        self.events[number].append(("u", row))
        return f"UPDATE orders SET customer = '{row['customer']}', amount = {row['amount']} WHERE id = {number}"

    def insert(self, op):
        number, self.next = self.next, self.next + 1
        row = self.row(number)
        self.events[number].append((op, row))
        return f"INSERT INTO orders VALUES ({number}, '{row['customer']}', {row['amount']})"

    def row(self, number):
        amount = f"{self.rng.randrange(1, 100_000) / 100:.2f}"
        self.rows[number] = {"id": number, "customer": f"Zoë {self.rng.randrange(1000)}", "amount": amount}
        return self.rows[number]


class Run:
    def __init__(self, scratch, options):
        self.options, self.rng = options, random.Random(options.seed)
        self.broker = Broker(f"{scratch}/data", f"{scratch}/broker.log")
        self.postgres = Postgres(scratch)
        self.table = Table(self.rng)
        settings = {"exactly.once.source.support": options.exactly_once, "plugin.path": os.environ["DEBEZIUM_PLUGINS"],
                    "key.converter": JSON, "key.converter.schemas.enable": "false",
                    "value.converter": JSON, "value.converter.schemas.enable": "false"}
        self.worker = Worker(0, self.broker.bootstrap, "connect", scratch, settings)

    # Steps

    def database(self):
        self.postgres.start()
        self.postgres.run(["CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL, amount numeric(10,2) NOT NULL)"])
        self.postgres.run([self.table.insert("r") for _ in range(FIRST_ROWS)])
        equal("rows", [str(FIRST_ROWS)], self.postgres.rows("SELECT count(*) FROM orders"))

    def connector(self):
        self.worker.start()
        self.worker.must("GET", "/health")
        config = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput",
                  "database.hostname": "127.0.0.1", "database.port": str(self.postgres.port), "database.user": "postgres",
                  "database.password": "-", "database.dbname": "postgres", "topic.prefix": "shop", "table.include.list": "public.orders",
                  "publication.autocreate.mode": "filtered", "decimal.handling.mode": "string", "poll.interval.ms": "50"}
        if self.options.exactly_once == "enabled":
            config["exactly.once.support"] = "required"
        self.worker.must("PUT", f"/connectors/{CONNECTOR}/config", config)
        self.worker.running(CONNECTOR)

    def snapshot(self):
        self.wait("the first rows are in the topic", lambda: self.stored() >= FIRST_ROWS, 60)
        self.check_rows()

    def changes(self):
        self.change(CHANGES)
        self.wait_for_end()
        self.check_rows()

    def killed(self):
        for number in range(self.options.rounds):
            goal = self.stored() + self.rng.randrange(50, CHANGES - 100)
            self.change(CHANGES)
            self.wait("the changes are on their way", lambda: self.stored() >= goal)
            what = ("worker", "broker", "both")[(number + self.rng.randrange(2)) % 3]
            print(f"round {number + 1}: kill -9 of {what} at offset {self.stored()}", file=sys.stderr, flush=True)
            if what != "broker":
                self.worker.kill()
            if what != "worker":
                self.broker.kill()
                # What is done meanwhile is in the database's log.
                self.change(50)
                self.broker.start()
            if what != "broker":
                self.worker.start()
                self.worker.must("GET", "/health")
        self.worker.running(CONNECTOR)
        self.wait_for_end()

    def rows_equal(self):
        self.check_rows()
        # PostgreSQL's own word for it.
        rows = [f"{row['id']}|{row['customer']}|{row['amount']}" for _, row in sorted(self.table.rows.items())]
        equal("the table", rows, self.postgres.rows("SELECT * FROM orders ORDER BY id"))

    def events_equal(self):
        found = collections.defaultdict(list)
        for number, event in self.read():
            found[number].append(event and (event["op"], event["after"]) or (None, None))
        wrong = [number for number in self.table.events.keys() | found.keys() if self.table.events[number] != found[number]]
        if wrong:
            raise Wrong(f"the events of {len(wrong)} rows are wrong, the first is {min(wrong)}: expected {self.table.events[min(wrong)]}, "
                        f"got {found[min(wrong)]}")

    def deleted(self):
        self.worker.must("DELETE", f"/connectors/{CONNECTOR}")
        self.worker.until("no connector is left", 60, lambda: self.worker.ask("GET", "/connectors") == [])
        self.worker.stop()

    # Helpers

    def change(self, count):
        for _ in range(count):
            self.postgres.run(self.table.change())

    def check_rows(self):
        """The last event of each row is what the table has."""
        last = {}
        for number, event in self.read():
            last[number] = event and event["after"]
        equal("rows told by the last events", self.table.rows, {number: row for number, row in last.items() if row})

    def wait_for_end(self):
        """One more row, which comes last."""
        self.postgres.run([self.table.insert("c")])
        number = self.table.next - 1
        self.wait("the last row is in the topic", lambda: any(key == number for key, _ in self.read()), 120)

    def stored(self):
        try:
            return wire.end_offset(self.broker.bootstrap, TOPIC, 0)
        except (OSError, EOFError, wire.Wrong):
            return -1

    def read(self):
        """(id, event or None for a tombstone), as committed."""
        return [(json.loads(message.key())["id"], message.value() and json.loads(message.value()))
                for message in read_to_end(self.broker.bootstrap, [(TOPIC, 0)])]

    def wait(self, what, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.broker.check_alive()
            if self.worker.process:
                self.worker.check_alive()
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {seconds} s; {self.stored()} offsets in the topic, "
                            f"{self.worker.process and self.worker.ask('GET', f'/connectors/{CONNECTOR}/status')}")
            time.sleep(0.1)

    def steps(self):
        yield "database", self.database
        yield "connector-created", self.connector
        yield "snapshot", self.snapshot
        yield "changes", self.changes
        yield "worker-and-broker-killed", self.killed
        yield "rows-equal", self.rows_equal
        yield "events-equal", self.events_equal
        yield "connector-deleted", self.deleted

    def end(self):
        self.worker.kill()
        self.broker.kill()
        self.postgres.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--exactly-once", default="enabled", choices=["enabled", "disabled"])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    with scratch_folder() as scratch:
        run = Run(scratch, options)
        cannot = {} if options.exactly_once == "enabled" else {"events-equal": "without exactly once some come twice"}
        try:
            run.broker.start()
            return report("debezium", os.environ["DEBEZIUM_VERSION"], run.steps(), cannot)
        finally:
            run.end()


if __name__ == "__main__":
    sys.exit(main())
