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

help: ## This list.
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 18

run: ## Build for release and start a broker on 127.0.0.1:9092, with its data in ./data.
	exec .ci/setup cargo run --locked --release --package tidewater-server -- broker --config deploy/local.properties

test: ## The whole suite: every crate, brokers over real sockets, and other people's clients.
	.ci/setup cargo test --locked --workspace --no-fail-fast
	.ci/setup cargo test --locked --quiet --manifest-path compat-tests/chaos/Cargo.toml
	.ci/setup cargo build --locked --package tidewater-server
	compat-tests/run --ci

lint: ## Format, clippy, dependencies and licences, generated docs. Never writes.
	@.ci/setup .ci/lint

fix: ## Apply what clippy can mend by itself, then format.
	.ci/setup cargo clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged
	for manifest in $(MANIFESTS); do cargo fmt --all --manifest-path $$manifest; done

docs: ## Regenerate the pages under docs/ that come from the code's tables.
	UPDATE_DOCS=1 .ci/setup cargo test --locked --quiet --workspace generated_docs
	compat-tests/page.py

bench: ## Measure the partition store again (docs/performance.md).
	.ci/setup cargo bench --locked --package tidewater-storage --bench store

compat: ## Other people's clients and test suites: all of them (40 minutes), or one with SUITE=kcat
	.ci/setup cargo build --locked --release --package tidewater-server
	compat-tests/run $(if $(SUITE),$(SUITE),--all --record --keep-going)

fuzz: ## Each fuzz target for FUZZ_SECONDS (20), or one with TARGET=frame
	@.ci/setup .ci/fuzz $(TARGET)

setup: ## Only install what building needs: packages, toolchain, RocksDB.
	@.ci/setup
