# The two commands: `make demo` and `make test`. Both install what is missing first.

.PHONY: demo test deps lint unit real short-demo

demo: deps
	cargo run --release --quiet --bin weft -- demo

test: deps lint unit short-demo

# A C compiler for the few crates that build C, the database servers for tests and the demo, and a
# load generator.
deps:
	./scripts/install-deps

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

unit:
	cargo nextest run --workspace

short-demo:
	cargo run --quiet --bin weft -- demo --for 5s
