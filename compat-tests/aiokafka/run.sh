#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
python=$(python_venv "$here")
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../lib exec "$python" "$here/compat.py"
