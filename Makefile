# Thin names for what people do here. Each installs what it needs on Debian and Ubuntu; elsewhere it says what to install.
.PHONY: demo run test lint bench fuzz simulate soak test-clients test-console test-api setup
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

simulate: setup ## hours of misfortune in milliseconds: SEEDS=1..100000, or SEED=42 to see one as it happens
	cargo run --release -p guarita-simulate -- $(or $(SEED),$(SEEDS),1..20000)

soak: setup ## all kinds of traffic for MINUTES=30 at RATE=100 a second; memory, descriptors, disk and latency as CSV
	./tests/soak/run $(or $(MINUTES),30) $(or $(RATE),100)

fuzz: ## every parser of foreign bytes; SECONDS=600 for ten minutes each, TARGETS="file_pdf webhook" for some
	./fuzz/run $(or $(SECONDS),60) $(TARGETS)

test-clients: setup ## real client libraries as the backend
	./tests/clients/run
	./tests/clients/run_channels
	./tests/clients/run_together

test-console: setup ## the console in a real browser (needs chromium and node)
	./tests/console/run

test-api: setup ## the admin API against its own OpenAPI document, by schemathesis (needs python3 and PyPI)
	./tests/console/schemathesis

setup:
	@./tests/setup
