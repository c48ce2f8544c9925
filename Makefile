# Thin names for what people do here. Each installs what it needs on Debian and Ubuntu; elsewhere it says what to install.
.PHONY: demo run test lint bench fuzz simulate test-clients setup
export CARGO_TERM_COLOR ?= auto
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

demo: setup ## a whole conversation through the gateway, shown side by side
	cargo run --quiet --bin guarita -- demo $(ARGS)

run: setup ## the gateway, with ./guarita.toml
	cargo run --release --bin guarita -- run $(ARGS)

test: setup ## format, clippy, unit, golden, end-to-end with a real clamd: all there is
	./tests/run

lint: setup
	cargo fmt --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

bench: setup ## one table, ratios side by side
	./tests/bench/run

test-clients: setup ## real client libraries as the backend
	./tests/clients/run

setup:
	@./tests/setup
