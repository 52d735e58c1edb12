#!/usr/bin/env bash
# The program is java-4.4's but for Api.java, which holds what the old clients do otherwise.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
VERSIONED=$here exec "$here/../java-4.4/run.sh"
