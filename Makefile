# Every target sets up what it needs (packages, toolchain, RocksDB) and says so; CI runs these and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test lint fix docs bench compat fuzz setup
MAKEFLAGS += --no-print-directory

# The toolchain is pinned once, by rust-version in Cargo.toml; rustup obeys this variable.
export RUSTUP_TOOLCHAIN := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml).0
# A fresh rustup is on the PATH of the next login shell only.
export PATH := $(PATH):$(HOME)/.cargo/bin
# The workspace, and what stands outside it because it builds differently.
export MANIFESTS := Cargo.toml $(wildcard crates/*/fuzz/Cargo.toml compat-tests/*/Cargo.toml)

# .ci/setup leaves .cargo/rocksdb.toml, which tells cargo where the compiled RocksDB is.
CARGO := cargo --config .cargo/rocksdb.toml

help: ## This list.
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 18

run: setup ## Build for release and start a broker on 127.0.0.1:9092, with its data in ./data.
	exec $(CARGO) run --locked --release --package tidewater-server -- broker --config deploy/local.properties

test: setup ## The whole suite: every crate, brokers over real sockets, and other people's clients.
	$(CARGO) build --locked --package tidewater-server
	$(CARGO) test --locked --workspace --no-fail-fast
	compat-tests/run --ci

lint: setup ## Format, clippy, dependencies and licences, generated docs. Never writes.
	@.ci/lint

fix: setup ## Format, and apply what clippy can mend by itself.
	for manifest in $(MANIFESTS); do cargo fmt --all --manifest-path $$manifest; done
	$(CARGO) clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged

docs: setup ## Regenerate the pages under docs/ that come from the code's tables.
	UPDATE_DOCS=1 $(CARGO) test --locked --quiet --workspace generated_docs

bench: setup ## Measure the partition store again (docs/performance.md).
	$(CARGO) bench --locked --package tidewater-storage

compat: setup ## Other people's clients: all of them, or one with SUITE=kcat
	$(CARGO) build --locked --release --package tidewater-server
	compat-tests/run $(SUITE)

fuzz: setup ## Each fuzz target for FUZZ_SECONDS (20), or one with TARGET=frame
	@.ci/fuzz $(TARGET)

setup: ## Only install what building needs: packages, toolchain, RocksDB.
	@.ci/setup
