# shellcheck shell=bash
# Sourced by the scripts beside it: the top of the repository, the cache, and how they speak.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Everything these scripts keep outside the repository lies here; deleting it costs time and nothing else.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidewater

# A fresh rustup is on the PATH of the next login shell only.
PATH=$PATH:$HOME/.cargo/bin

# Notes go to stderr, so that a script's answer is all there is on stdout.
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; exit 1; }
if [ ! -t 2 ]; then
    say() { printf '==> %s\n' "$*" >&2; }
    die() { say "$@"; exit 1; }
fi

# took SECONDS: "12 s" or "3 min 04 s".
took() { if [ "$1" -lt 60 ]; then echo "$1 s"; else printf '%d min %02d s\n' $(($1 / 60)) $(($1 % 60)); fi; }

# Cargo hands --config to its own commands only; clippy and the like are told by the environment.
if [ -f .cargo/rocksdb.toml ]; then
    eval "$(sed -n 's/^\(ROCKSDB_[A-Z_]*\) = \("[^"$`]*"\)$/export \1=\2/p' .cargo/rocksdb.toml)"
fi
