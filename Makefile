# `make run` and `make test` do everything from a fresh clone: they install or
# name what the system lacks, then leave the rest to cargo.

# What `make run` runs: make run ARGS='run -m model.gguf "Once upon a time"'
ARGS ?= compare -m testdata/parity/llama.gguf ' w58 w9 w0 w24 w47 w57 w3' -n 24

# One profile for all: the C++ engine is built once.
CARGO_FLAGS = --release --locked

.PHONY: run test build bench picture setup

run: build
	@target/release/luge $(ARGS)

build: setup
	cargo build $(CARGO_FLAGS)

test: setup
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	cargo test $(CARGO_FLAGS) --workspace
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --workspace --no-deps

# make bench MODEL=model.gguf
bench: setup
	cargo bench --locked -p luge --bench cost -- $(MODEL)

# The picture in README.md.
picture: build
	target/release/luge $(ARGS) --color always \
		| cargo run -q $(CARGO_FLAGS) -p luge-cli --example picture >docs/compare.svg

setup:
	@tools/setup.sh
