#!/usr/bin/env python3
"""page.py [--check]: writes the parts of docs/compatibility.md that others know better.

Clients: the last run of all (results/tidewater.jsonl). APIs and configuration keys: the pages that the broker's tables write.
--check only says whether the page is current.
"""

import collections
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "tidewater.jsonl"
DOCS = HERE.parent / "docs"
PAGE = DOCS / "compatibility.md"

# A step belongs to the first feature that names it or a beginning of it; what nobody names is the client's own.
FEATURES = {
    "topics": ["create-", "describe-topic", "list-topics", "delete-"],
    "configs": ["alter-config", "admin-configs"],
    "produce": ["produce-"],
    "consume": ["consume-", "seek", "watermarks"],
    "offsets": ["offset-", "admin-list-offsets"],
    "KIP-848": ["group-next-generation", "next-"],
    "groups": ["group-"],
    "transactions": ["transaction-"],
    "admin": ["admin-"],
    "errors": ["error-"],
    "own": [""],
}


# Who has this step goes through the common list; the others have lists of their own.
COMMON = "create-topic"


def feature_of(step):
    return next(name for name, steps in FEATURES.items() if any(step.startswith(one) for one in steps))


def cell(results):
    if not results:
        return ""
    count = collections.Counter(results)
    if count["FAIL"]:
        return f"**{count['FAIL']} of {len(results)} fail**"
    return str(count["ok"]) + (f" ({count['skip']} –)" if count["skip"] else "") if count["ok"] else "–"


def clients():
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    run = next(line["run"] for line in lines if "run" in line)
    clients = collections.OrderedDict()
    skipped = collections.OrderedDict()
    for line in lines:
        if "run" in line:
            continue
        client = clients.setdefault(line["client"], {"version": line["version"], "steps": {}})
        client["version"] = line["version"] or client["version"]
        client["steps"][line["step"]] = line["result"]
        if line["result"] == "skip":
            skipped.setdefault((line["client"], line["detail"]), []).append(line["step"])
    out = [f"Run on {run['date']} with {run['broker']}. A number is how many steps passed; (n –) are steps left out, for what the client cannot do or the broker does not offer yet.", ""]
    out.append("| folder | client and version | " + " | ".join(FEATURES) + " |")
    out.append("|---" * (len(FEATURES) + 2) + "|")
    for folder, client in sorted(clients.items()):
        results = collections.defaultdict(list)
        for step, result in client["steps"].items():
            results[feature_of(step) if COMMON in client["steps"] else "own"].append(result)
        cells = " | ".join(cell(results[name]) for name in FEATURES)
        out.append(f"| `{folder}` | {client['version']} | {cells} |")
    out += ["", "What was left out:", "", "| client | steps | why |", "|---|---|---|"]
    for (folder, reason), steps in sorted(skipped.items()):
        out.append(f"| `{folder}` | {', '.join(f'`{step}`' for step in steps)} | {reason} |")
    return out


def rows(lines):
    """The cells of a table's rows, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]


def apis():
    table = rows((DOCS / "apis.md").read_text().splitlines())
    return ["Spoken, with versions: " + ", ".join(f"{name} ({key}) {versions}" for key, name, versions, *_ in table) + "."]


def configuration():
    """How many keys of each kind the broker knows."""
    sections = re.split(r"^## ", (DOCS / "configuration.md").read_text(), flags=re.M)[1:]
    counts = []
    for section in sections:
        title, *lines = section.splitlines()
        if title in ("Broker keys", "Topic configs", "Group configs", "Client metrics subscriptions"):
            counts.append(f"| {title[0].lower()}{title[1:]} | {len(rows(lines))} |")
        elif title == "Known keys without effect":
            ignored = sum(line.count("`") // 2 for line in lines if line.startswith("* "))
            counts.append(f"| known keys and families of keys without effect, accepted with a warning | {ignored} |")
    return ["| kind | keys |", "|---|---|", *counts]


def filled(page, name, lines):
    begin, end = f"<!-- {name}: compat-tests/page.py -->", f"<!-- end of {name} -->"
    before, rest = page.split(begin)
    return "\n".join([before + begin, "", *lines, "", end]) + rest.split(end)[1]


def main():
    page = new = PAGE.read_text()
    for part in (clients, apis, configuration):
        new = filled(new, part.__name__, part())
    if "--check" in sys.argv[1:]:
        if new != page:
            sys.exit("docs/compatibility.md is stale: run `make docs`")
    elif new != page:
        PAGE.write_text(new)


if __name__ == "__main__":
    main()
