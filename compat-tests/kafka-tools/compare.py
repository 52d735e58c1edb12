"""compare.py REFERENCE OURS EXPECTED: the transcripts of one script at two brokers, one step a command.

The file of expected differences has a paragraph for each command that differs: its name and a colon, the reason, and the lines of
the difference, `-` Apache Kafka's and `+` ours. A difference that is not there any more is as wrong as one that is not expected."""

import difflib
import os
import re
import sys

PATTERNS = [  # what differs from run to run, at any broker
    (r"(localhost|127\.0\.0\.1)(:| +)\d+", "<address>"),
    (r"consumer-[a-z-]+-\d+-[0-9a-f-]{36}|member-[0-9a-f-]{36}|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<member>"),
    (r"(console-consumer-)\d+", r"\1<number>"),
    (r"(TopicId: )[A-Za-z0-9_-]{22}", r"\1<id>"),
    # A UUID in base64: it has digits, capitals and others among its 22 letters, which no word here does.
    (r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{22}(?![\w-])", "<id>"),
    (r'("(?:size|totalBytes|usableBytes)":)[1-9]\d*', r"\1<bytes>"),
    (r'("logDir":)"[^"]+"', r'\1"<dir>"'),
    (r"\b1\d{12}\b", "<time>"),
    (r"(Epoch: )\d+", r"\1<number>"),
    (r"/tmp/[\w./-]+", "<path>"),
    (r" +$", ""),
    (r"  +", " "),  # columns are as wide as what is in them
]


def transcript(path):
    commands, lines = {}, None
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("$ "):
            name, _, command = line[2:].partition(" ")
            lines = []
            commands[name] = (command, lines)
        elif not line.startswith("  \tat "):
            line = line[2:]
            for pattern, text in PATTERNS:
                line = re.sub(pattern, text, line)
            lines.append(line)
    return commands


def difference(name, reference, ours):
    if name.endswith("~~"):
        reference, ours = ([" ".join(sorted(re.findall(r"[^\s,]+", line))) for line in lines] for lines in (reference, ours))
    if name.endswith("~"):
        reference, ours = sorted(reference), sorted(ours)
    lines = difflib.unified_diff(reference, ours, lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def expectations(path):
    expected, name = {}, None
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith(("-", "+")):
            expected[name].append(line)
        elif line.endswith(":") and " " not in line.strip():
            name = line[:-1]
            expected[name] = []
    return expected


def main():
    reference, ours = transcript(sys.argv[1]), transcript(sys.argv[2])
    expected = expectations(sys.argv[3])
    passed = failed = 0
    for name, (command, lines) in reference.items():
        if command.startswith(("file ", "member ", "leave ")) and "exit code 0" in lines and ours.get(name, ("", []))[1] == lines:
            continue
        found = difference(name, lines, ours.get(name, ("", ["not run"]))[1])
        if found == expected.get(name, []):
            passed += 1
            print(f"ok {name}")
            continue
        failed += 1
        print(f"FAIL {name}: expected {' | '.join(expected.get(name, [])) or 'no difference'}, got {' | '.join(found) or 'none'}")
        if os.environ.get("KEEP_GOING") != "1":
            break
    for name in expected.keys() - reference.keys():
        failed += 1
        print(f"FAIL {name}: expected a command of this name, got none")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(main())
