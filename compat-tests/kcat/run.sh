#!/usr/bin/env bash
# suite: ci
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need kcat kcat
need python3 python3
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../lib exec python3 "$here/compat.py"
