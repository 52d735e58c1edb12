"""Runs steps and prints what ../run reads (../README.md): a line for each, and the sum."""
import os

import wire
from checks import Wrong


def wanted(step):
    """Whether ONLY, a list with commas, leaves the step in."""
    only = os.environ.get("ONLY")
    return not only or step in only.split(",")


def report(name, version, steps, cannot=None):
    """Runs (name, call) after one another and answers the exit code; `cannot` has the reasons of those that are skipped."""
    passed = failed = skipped = 0
    print(f"client {name} {version}", flush=True)
    for step, call in steps:
        if not wanted(step):
            continue
        if step in (cannot or {}):
            skipped += 1
            print(f"skip {step}: {cannot[step]}", flush=True)
            continue
        try:
            call()
            passed += 1
            print(f"ok {step}", flush=True)
        except Exception as error:
            failed += 1
            text = str(error) if isinstance(error, (Wrong, wire.Wrong)) else repr(error)
            print(f"FAIL {step}: {' '.join(text.split())[:500]}", flush=True)
            if os.environ.get("TRACE") == "1":
                raise
            if os.environ.get("KEEP_GOING") != "1":
                break
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0
