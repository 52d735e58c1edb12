"""Producers that never stop, a broker that is killed or whose disk is full, and a full read that accounts for every record.

    torture.py kill [--rounds N] [--seed N]     SIGKILL at random instants, restart at once
    torture.py groups [--rounds N] [--seed N]   the same while consumer groups of both protocols read and commit
    torture.py full-disk                        a tmpfs runs full and gets space again, without a restart
    torture.py full-disk-restart                the same, and the broker is killed and started while the disk is full
    torture.py enospc                           as full-disk, with no space kept in reserve: the write itself fails

Each producer is idempotent and numbers its records. In the end every acknowledged record must be at the offset that the
acknowledgement named, no record twice, and the records of one producer in one partition in the order they were sent.
"""
import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import wire
from broker import Broker
from checks import Wrong as Failed
from groups import groups
from support import PARTITIONS, TOPIC, account, acknowledged, no_errors, read_all, start_writers, wait_for


def kill(options, scratch):
    rng = random.Random(options.seed)
    broker = Broker(f"{scratch}/data", f"{scratch}/broker.log")
    try:
        broker.start()
        # Small segments, so that kills also meet the roll of one.
        wire.create(broker.bootstrap, TOPIC, PARTITIONS, "segment.bytes=1048576")
        writers = start_writers(broker, 3, 0.002, 2_000)
        for number in range(options.rounds):
            before = acknowledged(writers)
            if rng.random() < 0.15:
                # While it is still recovering.
                time.sleep(rng.uniform(0, 1))
            else:
                wait_for("a record acknowledged after the restart", lambda: acknowledged(writers) > before, 60, broker)
                time.sleep(rng.uniform(0, 1.5))
            broker.kill()
            no_errors(writers)
            print(f"round {number + 1}: killed after {acknowledged(writers) - before} acknowledgements", flush=True)
            broker.launch()
        broker.ready()
        for writer in writers:
            writer.finish()
        no_errors(writers)
        # Once more, so that the read meets what recovery made of it.
        broker.kill()
        broker.start()
        account(writers, broker.bootstrap)
        for writer in writers:
            if len(writer.acknowledged) != writer.sent:
                raise Failed(f"producer {writer.number}: {len(writer.acknowledged)} of {writer.sent} acknowledged")
    finally:
        broker.kill()


def full_disk(options, scratch):
    if options.scenario == "enospc":
        os.environ["BROKER_SET"] = "storage.disk.hard.free.percent=0 storage.disk.soft.free.percent=0"
    disk = f"{scratch}/disk"
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", disk], check=True)
    broker = Broker(f"{disk}/data", f"{scratch}/broker.log")
    try:
        ballast = pathlib.Path(disk, "ballast")
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 96 << 20)
        broker.start()
        wire.create(broker.bootstrap, TOPIC, PARTITIONS, "segment.bytes=8388608")
        writers = start_writers(broker, 3, 0, 4_000)
        wait_for("the first records", lambda: acknowledged(writers) > 0, 30, broker)

        # Full is when nothing has been acknowledged for a while although everybody is sending.
        last, since = -1, time.monotonic()
        deadline = time.monotonic() + 180
        while time.monotonic() - since < 5:
            broker.check_alive()
            no_errors(writers)
            if acknowledged(writers) != last:
                last, since = acknowledged(writers), time.monotonic()
            if time.monotonic() > deadline:
                raise Failed("the disk does not run full within 180 s")
            time.sleep(0.2)
        free = os.statvfs(disk)
        print(f"full after {last} acknowledgements, {free.f_bavail * free.f_bsize >> 20} MiB free", flush=True)

        # What is stored can be read all the while.
        places, _ = read_all(broker.bootstrap)
        if len(places) < last:
            raise Failed(f"on the full disk {len(places)} records can be read, {last} are acknowledged")
        if options.scenario == "full-disk-restart":
            broker.kill()
            broker.start()
            print("started on the full disk", flush=True)
        pid = broker.process.pid
        ballast.unlink()
        wait_for("a record acknowledged after space is free again", lambda: acknowledged(writers) > last, 60, broker)
        for writer in writers:
            writer.finish()
        no_errors(writers)
        broker.check_alive()
        account(writers, broker.bootstrap)
        print(f"served on by the same process {pid}", flush=True)
        broker.kill()
        broker.start()
        account(writers, broker.bootstrap)
    finally:
        broker.kill()
        subprocess.run(["umount", "--lazy", disk], check=False)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("scenario", choices=("kill", "groups", "full-disk", "full-disk-restart", "enospc"))
    parser.add_argument("--rounds", type=int, help="default 50, of groups 20")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    options.rounds = options.rounds or {"groups": 20}.get(options.scenario, 50)
    print(f"{options.scenario}, seed {options.seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            {"kill": kill, "groups": groups}.get(options.scenario, full_disk)(options, scratch)
        except Failed as failed:
            print(f"FAIL {options.scenario} (seed {options.seed}): {failed}", flush=True)
            code = 1
        else:
            print(f"ok {options.scenario} ({time.monotonic() - started:.0f} s)", flush=True)
            code = 0
    # Not sys.exit: a producer that is still trying must not hold up the end.
    sys.stdout.flush()
    os._exit(code)


main()
