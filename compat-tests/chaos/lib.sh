# Sourced by the scripts here after common.sh.

# chaos_program NAME: builds kchaos and kcheck, unless $CHAOS_BIN is a folder that has them, and prints where the one is.
chaos_program() {
  if [ -z "${CHAOS_BIN:-}" ]; then
    command -v cargo > /dev/null || die "cargo is missing: install Rust with rustup"
    need make make
    need g++ g++
    [ -f /usr/include/zlib.h ] || apt_install zlib1g-dev
    say "building the chaos programs (crates by cargo; the first time it compiles librdkafka, two minutes)"
    CARGO_TARGET_DIR=$cache/chaos/target cargo build --quiet --locked --features drivers --manifest-path "$here/Cargo.toml" >&2 || return 1
    CHAOS_BIN=$cache/chaos/target/debug
  fi
  printf '%s\n' "$CHAOS_BIN/$1"
}
