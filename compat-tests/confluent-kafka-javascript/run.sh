#!/usr/bin/env bash
# timeout: 900
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
node=$(node_program)
modules=$(node_modules "$here")
binding=$modules/@confluentinc/kafka-javascript/build/Release/confluent-kafka-javascript.node
if [ ! -f "$binding" ]; then
  # From the sources that the package brings, for the Node.js that runs it: its binaries are elsewhere, and not pinned by a lock file.
  for header in openssl/ssl.h zlib.h zstd.h; do
    [ -f "/usr/include/$header" ] || apt_install build-essential libssl-dev zlib1g-dev libzstd-dev
  done
  say "compiling librdkafka and its binding for Node.js"
  (cd "${modules%/node_modules}" && CKJS_LINKING=dynamic npm_config_build_from_source=true npm_config_nodedir=${node%/bin/node} \
    npm rebuild --foreground-scripts --loglevel=error @confluentinc/kafka-javascript) > "$modules/build.log" 2>&1 ||
    die "it does not compile; see $modules/build.log"
fi
NODE_PATH=$modules exec "$node" "$here/compat.js"
