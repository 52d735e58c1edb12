#!/usr/bin/env bash
# The program is java-4.4's; only the version of the clients differs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
VERSIONED=$here exec "$here/../java-4.4/run.sh"
