"""The text, and what the application must make of it, computed without Kafka: Words.java says what that is."""
import collections
import re
import subprocess
from typing import NamedTuple

LINE_MS = 50
WINDOW_MS, NEAR_MS = 600_000, 300_000
WORD = re.compile(r"[A-Za-z0-9]+")
PACKAGE = re.compile(r"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]*)")


class Line(NamedTuple):
    name: str
    text: str
    timestamp: int


class Expected(NamedTuple):
    counts: collections.Counter
    windows: collections.Counter
    joined: collections.Counter


def index():
    return subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True).stdout


def read_text(count, start_ms):
    """The package index up to the paragraph that has line `count`; each line is LINE_MS after the one before."""
    data = index()
    if len(data) < 10_000_000:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=True)
        data = index()
    lines, name = [], ""
    for text in data.decode("utf-8", "replace").split("\n"):
        if text.startswith("Package: "):
            if len(lines) >= count:
                break
            name = text[len("Package: "):]
        lines.append(Line(name, text, start_ms + len(lines) * LINE_MS))
    return lines


def sections(lines):
    """Each package's section; what is there twice has the last, as a table has."""
    return {line.name: line.text[len("Section: "):] for line in lines if line.text.startswith("Section: ")}


def compute(lines):
    section_of = sections(lines)
    counts, windows, joined = collections.Counter(), collections.Counter(), collections.Counter()
    versions = collections.defaultdict(list)
    for line in lines:
        counts.update(word.lower() for word in WORD.findall(line.text))
        if line.name in section_of:
            windows[f"{section_of[line.name]}@{line.timestamp // WINDOW_MS * WINDOW_MS}"] += 1
        if line.text.startswith("Version: "):
            versions[line.name].append(line)
    for line in lines:
        if line.text.startswith("Depends: "):
            for dependency in PACKAGE.findall(line.text[len("Depends: "):]):
                for other in versions[dependency]:
                    if abs(other.timestamp - line.timestamp) <= NEAR_MS:
                        joined[dependency, f"{line.name} {other.text[len('Version: '):]}"] += 1
    return Expected(counts, windows, joined)
