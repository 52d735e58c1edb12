"""Measures one compaction of the broker at $BOOTSTRAP; see run.sh."""

import argparse
import json
import os
import random
import subprocess
import sys
import time

TOPIC = "table"
VALUE_BYTES = 1024


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tidewater", required=True, help="the command line, used against either broker")
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--beside", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=20, help="how long the producer beside it runs")
    return parser.parse_args()


def run(args, *command, **kwargs):
    done = subprocess.run([args.tidewater, *command], check=True, stdout=subprocess.PIPE, text=True, **kwargs)
    return done.stdout


def fill(args):
    """Writes the records; the number of the last one of every key."""
    random_keys = random.Random(args.seed)
    last = {}
    filler = "x" * (VALUE_BYTES - 10)
    command = [args.tidewater, "produce", TOPIC, "-p", "0", "-K", ":", "-o", "json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as producer:
        lines = []
        for number in range(args.mib * 1024 * 1024 // VALUE_BYTES):
            key = random_keys.randrange(args.keys)
            last[key] = number
            lines.append(f"key-{key:012d}:{number:010d}{filler}\n")
            if len(lines) == 1000:
                producer.stdin.write("".join(lines))
                lines.clear()
        producer.stdin.write("".join(lines))
        producer.stdin.close()
        if producer.wait() != 0:
            sys.exit("the topic is not filled")
    return last


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_mib(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith(name + ":"))


def segments(data):
    """Bytes in segments of the topic, and whether cleaned ones are being written."""
    size, busy = 0, False
    for folder, _, names in os.walk(data):
        for name in names:
            try:
                if name.endswith((".cleaned", ".swap")):
                    busy = True
                elif name.endswith(".log") and name[:-4].isdigit():
                    size += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                pass
    return size, busy


def wait_for_compaction(args, began):
    """Until nothing has changed for five seconds; when the last change was, and the size then."""
    size, changed = segments(args.data)[0], None
    deadline = began + 3600
    while time.monotonic() < deadline:
        now_size, busy = segments(args.data)
        now = time.monotonic()
        if busy or now_size < size:
            changed = now
        size = now_size
        if changed is not None and now - changed > 5:
            return changed, size
        time.sleep(0.05)
    sys.exit("nothing was compacted within an hour")


def beside(args, seconds):
    """A paced producer to another topic, started now."""
    command = [args.tidewater, "bench", "produce", "-p", "1", "-r", "1", "--rate", str(args.beside)]
    return subprocess.Popen([*command, "-d", f"{seconds}s", "-o", "json"], stdout=subprocess.PIPE, text=True)


def content(args):
    """The last value's number of every key, as a consumer learns it."""
    found, count = {}, 0
    command = [args.tidewater, "consume", TOPIC, "-e", "-f", "%k:%v\\n"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as consumer:
        for line in consumer.stdout:
            found[int(line[4:16])] = int(line[17:27])
            count += 1
        if consumer.wait() != 0:
            sys.exit("the topic cannot be read")
    return found, count


def main():
    args = options()
    os.environ["KAFKA_BOOTSTRAP_SERVERS"] = os.environ["BOOTSTRAP"]
    configs = ["cleanup.policy=compact", "min.cleanable.dirty.ratio=1.0", f"segment.bytes={max(args.mib >> 4, 1) << 20}"]
    create = [word for config in configs for word in ("-c", config)]
    run(args, "topic", "create", TOPIC, "-p", "1", "-r", "1", *create)
    quiet = beside(args, args.seconds).communicate()[0]
    last = fill(args)
    os.sync()
    time.sleep(5)
    try:
        with open(f"/proc/{args.pid}/clear_refs", "w") as clear:
            clear.write("5")
    except PermissionError:
        pass
    before = segments(args.data)[0]
    resident, cpu = status_mib(args.pid, "VmRSS"), cpu_seconds(args.pid)
    began = time.monotonic()
    run(args, "config", "alter", "topic", TOPIC, "--set", "min.cleanable.dirty.ratio=0.01")
    ended, after = wait_for_compaction(args, began)
    figures = {
        "seconds": round(ended - began, 2),
        "cpu_seconds": round(cpu_seconds(args.pid) - cpu, 2),
        "resident_before_mib": resident,
        "resident_peak_mib": status_mib(args.pid, "VmHWM"),
        "mib_before": before >> 20,
        "mib_after": after >> 20,
    }
    found, count = content(args)
    wrong = sum(1 for key, number in last.items() if found.get(key) != number)
    figures.update(records_left=count, keys=len(last), keys_wrong=wrong)
    # The whole again, with a producer beside it.
    run(args, "config", "alter", "topic", TOPIC, "--set", "min.cleanable.dirty.ratio=1.0")
    fill(args)
    os.sync()
    time.sleep(5)
    producer = beside(args, args.seconds)
    run(args, "config", "alter", "topic", TOPIC, "--set", "min.cleanable.dirty.ratio=0.01")
    busy = producer.communicate()[0]
    figures["producer_alone"] = json.loads(quiet)
    figures["producer_beside"] = json.loads(busy)
    print(json.dumps(figures, indent=1))
    sys.exit(1 if wrong or len(found) != len(last) else 0)


main()
