#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
command -v go > /dev/null || die "Go 1.26 or later is missing"
say "building franz-go's program (modules through the Go module proxy, kept in Go's own cache)"
(cd "$here" && go build -o "$cache/franz-go" .)
exec "$cache/franz-go"
