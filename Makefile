# `make run` and `make test` do everything from a fresh clone: they install or
# name what the system lacks, then leave the rest to cargo.

QUESTION = What is the capital of British Columbia?

# What `make run` runs: make run ARGS='run -m model.gguf "Once upon a time"'.
# More questions are asked for only where someone sits there to type them.
ARGS ?= compare "$(QUESTION)" --show-layers $(if $(shell test -t 0 && echo yes),--interactive)

# One profile for all: the C++ engine is built once.
CARGO_FLAGS = --release --locked

.PHONY: run test test-page test-api test-lm-eval build bench docs picture setup setup-test

run: build
	@target/release/luge $(ARGS)

build: setup
	cargo build $(CARGO_FLAGS)

# Without the built-in model first: the last `luge` that is built has it.
test: setup-test
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	cargo clippy $(CARGO_FLAGS) -p luge-cli --no-default-features --all-targets -- -D warnings
	cargo test $(CARGO_FLAGS) -p luge-cli --no-default-features --test cli bad_usage
	cargo test $(CARGO_FLAGS) --workspace
	@python3 -c 'import tomllib' || { echo "the built-in model's tests need Python 3.11 or newer" >&2; exit 1; }
	cd models/atlas && python3 -m unittest
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --workspace --no-deps
	@$(MAKE) --no-print-directory test-page test-api

# The pages that the built luge writes, and reports of invented runs, in a browser.
test-page: setup-test build tests/page/node_modules
	cargo build $(CARGO_FLAGS) -p luge-eval --example sample_report
	cd tests/page && npm test --silent

tests/page/node_modules: tests/page/package-lock.json
	cd tests/page && npm ci --no-audit --no-fund
	@touch $@

# OpenAI's own client, and the server that the built luge is.
test-api: setup-test build tests/api/.venv/installed
	cd tests/api && .venv/bin/python -m unittest

# What the LM Evaluation Harness gets from it, against `luge score`. No part of `make test`:
# the harness comes with hundreds of megabytes.
test-lm-eval: setup-test build tests/lm-eval/.venv/installed
	cd tests/lm-eval && .venv/bin/python compare.py

tests/lm-eval/.venv/installed: tests/api/requirements.txt

# Each folder with requirements has an environment of its own, made anew when they change.
tests/%/.venv/installed: tests/%/requirements.txt
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

# What methods cost on this machine: make bench BENCH_ARGS='-m model.gguf'.
bench: build
	@target/release/luge bench $(BENCH_ARGS)

# docs/commands.md, from the definitions of commands and flags.
docs: build
	target/release/luge man --format markdown --out docs

# The pictures in README.md.
picture: setup-test build tests/page/node_modules
	target/release/luge compare "$(QUESTION)" --show-layers --color always \
		| cargo run -q $(CARGO_FLAGS) -p luge-cli --example picture >docs/compare.svg
	cd tests/page && node picture.js ../../docs

setup:
	@tools/setup.sh build

setup-test:
	@tools/setup.sh test
