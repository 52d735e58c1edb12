"""A real text: the package index of Debian, line by line."""
import subprocess
from typing import NamedTuple


class Line(NamedTuple):
    package: str
    text: str


def dump():
    return subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True).stdout


def read_lines(count):
    """The index up to the end of the paragraph that has line `count`."""
    data = dump()
    if len(data) < 10_000_000:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=True)
        data = dump()
    lines, package = [], ""
    for text in data.decode("utf-8", "replace").split("\n"):
        if text.startswith("Package: "):
            if len(lines) >= count:
                break
            package = text[len("Package: "):]
        lines.append(Line(package, text))
    return lines
