#!/usr/bin/env python3
"""page.py [--check]: the table of clients in docs/compatibility.md, from the last run of all clients (results/tidewater.jsonl).

--check only says whether the page is current.
"""

import collections
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "tidewater.jsonl"
PAGE = HERE.parent / "docs" / "compatibility.md"
BEGIN, END = "<!-- clients: compat-tests/page.py -->", "<!-- end of clients -->"

# A step belongs to the first feature that names it or a beginning of it; what nobody names is the client's own.
FEATURES = {
    "topics": ["create-", "describe-topic", "list-topics", "delete-"],
    "configs": ["alter-config", "admin-configs"],
    "produce": ["produce-"],
    "consume": ["consume-", "seek", "watermarks"],
    "offsets": ["offset-", "admin-list-offsets"],
    "KIP-848": ["group-next-generation", "next-"],
    "groups": ["group-"],
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


def section():
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
    out = [BEGIN, "", f"Run on {run['date']} with {run['broker']}. A number is how many steps passed; (n –) are steps that the client has no way to do.", ""]
    out.append("| folder | client and version | " + " | ".join(FEATURES) + " |")
    out.append("|---" * (len(FEATURES) + 2) + "|")
    for folder, client in sorted(clients.items()):
        results = collections.defaultdict(list)
        for step, result in client["steps"].items():
            results[feature_of(step) if COMMON in client["steps"] else "own"].append(result)
        cells = " | ".join(cell(results[name]) for name in FEATURES)
        out.append(f"| `{folder}` | {client['version']} | {cells} |")
    out += ["", "What the clients cannot do:", "", "| client | steps | why |", "|---|---|---|"]
    for (folder, reason), steps in sorted(skipped.items()):
        out.append(f"| `{folder}` | {', '.join(f'`{step}`' for step in steps)} | {reason} |")
    return "\n".join(out + ["", END])


def main():
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    new = before + section() + rest.split(END)[1]
    if "--check" in sys.argv[1:]:
        if new != page:
            sys.exit("docs/compatibility.md is stale: run `make docs`")
    elif new != page:
        PAGE.write_text(new)


if __name__ == "__main__":
    main()
