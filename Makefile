# The two commands: `make demo` and `make test`. Both install what is missing first.

.PHONY: demo test demo-deps test-deps lint unit short-demo

demo: demo-deps
	cargo run --release --quiet --bin weft -- demo

test: test-deps lint unit short-demo

# A C compiler for the few crates that build C, and the database server.
demo-deps:
	./scripts/install-deps

# What tests alone need: the test runner, MySQL, a load generator and the judge of metrics.
test-deps:
	./scripts/install-deps test

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

unit:
	cargo nextest run --workspace

short-demo:
	cargo run --quiet --bin weft -- demo --for 5s
