#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
node=$(node_program)
modules=$(node_modules "$here")
NODE_PATH=$modules exec "$node" "$here/compat.js"
