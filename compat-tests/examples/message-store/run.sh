#!/usr/bin/env bash
# run.sh [write|read|follow …]: the checks; with words, the program itself (main.py) against $BOOTSTRAP.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../../lib/common.sh"
need python3 python3
python=$(python_venv "$here/../../confluent-kafka")
[ $# = 0 ] || exec "$python" "$here/main.py" "$@"
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../../lib exec "$python" "$here/check.py"
