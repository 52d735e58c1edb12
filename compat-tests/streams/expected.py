"""The text, and what the application must make of it, computed without Kafka: Words.java says what that is."""
import collections
import re
from typing import NamedTuple

import package_index

LINE_MS = 50
WINDOW_MS, NEAR_MS = 600_000, 300_000
WORD = re.compile(r"[A-Za-z0-9]+")
PACKAGE = re.compile(r"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]*)")


class Line(NamedTuple):
    package: str
    text: str
    timestamp: int


class Expected(NamedTuple):
    counts: collections.Counter
    windows: collections.Counter
    joined: collections.Counter


def read_text(count, start_ms):
    """At least `count` lines of the package index, each LINE_MS after the one before."""
    return [Line(package, text, start_ms + number * LINE_MS) for number, (package, text) in enumerate(package_index.read_lines(count))]


def sections(lines):
    """Each package's section; what is there twice has the last, as a table has."""
    return {line.package: line.text[len("Section: "):] for line in lines if line.text.startswith("Section: ")}


def compute(lines):
    section_of = sections(lines)
    counts, windows, joined = collections.Counter(), collections.Counter(), collections.Counter()
    versions = collections.defaultdict(list)
    for line in lines:
        counts.update(word.lower() for word in WORD.findall(line.text))
        if line.package in section_of:
            windows[f"{section_of[line.package]}@{line.timestamp // WINDOW_MS * WINDOW_MS}"] += 1
        if line.text.startswith("Version: "):
            versions[line.package].append(line)
    for line in lines:
        if line.text.startswith("Depends: "):
            for dependency in PACKAGE.findall(line.text[len("Depends: "):]):
                for other in versions[dependency]:
                    if abs(other.timestamp - line.timestamp) <= NEAR_MS:
                        joined[dependency, f"{line.package} {other.text[len('Version: '):]}"] += 1
    return Expected(counts, windows, joined)
