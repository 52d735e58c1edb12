#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
command -v cargo > /dev/null || die "cargo is missing: install Rust with rustup"
need make make
need g++ g++
[ -f /usr/include/zlib.h ] || apt_install zlib1g-dev
export CARGO_TARGET_DIR=$cache/rdkafka/target
say "building rdkafka's program (crates by cargo; the first time it compiles librdkafka, about a minute)"
cargo build --quiet --release --locked --manifest-path "$here/Cargo.toml" >&2
exec "$CARGO_TARGET_DIR/release/compat-rdkafka"
