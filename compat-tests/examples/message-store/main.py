"""The message store from the command line, against $BOOTSTRAP.

    write QUEUE MESSAGE…       a message is JSON where that is a number or a list, and a text otherwise
    read QUEUE [READER]        what there is for the reader, by polling
    follow QUEUE [READER]      every message as it comes, by a callback, until it is interrupted
"""
import json
import os
import sys
import threading

import message_store

BOOTSTRAP = os.environ.get("BOOTSTRAP", "127.0.0.1:9092")


def complain(failure):
    print(f"{failure.doing}, attempt {failure.attempt} after {failure.since_s:.1f} s: {failure.error}", file=sys.stderr)


def message(word):
    try:
        found = json.loads(word)
        message_store.encode(found)
        return found
    except (TypeError, ValueError):
        return word


def main(command="help", name=None, *words):
    if command not in ("write", "read", "follow") or name is None:
        sys.exit(__doc__)
    reader = words[0] if words and command != "write" else "default"
    with message_store.open(name, BOOTSTRAP, reader, complain) as queue:
        if command == "write":
            queue.write(*map(message, words))
        elif command == "read":
            while (found := queue.read(timeout_s=1)) is not None:
                print(repr(found), flush=True)
        else:
            queue.subscribe(lambda found: print(repr(found), flush=True))
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                pass


if __name__ == "__main__":
    main(*sys.argv[1:])
