#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
command -v cargo > /dev/null || die "cargo is missing: install Rust with rustup"
need gcc gcc
export CARGO_TARGET_DIR=$cache/rskafka/target
say "building rskafka's program (crates by cargo)"
cargo build --quiet --release --locked --manifest-path "$here/Cargo.toml" >&2
exec "$CARGO_TARGET_DIR/release/compat-rskafka"
