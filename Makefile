# The two commands: `make demo` and `make test`. Both install what is missing first. `make fuzz FOR=1h` fuzzes
# each target for that long.

FOR ?= 1h

.PHONY: demo test demo-deps test-deps lint unit short-fuzz short-demo fuzz

demo: demo-deps
	cargo run --release --quiet --bin weft -- demo

test: test-deps lint unit short-fuzz short-demo

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

# All but the configuration, for which the whole node would have to be built once more; its corpus is replayed
# with the tests.
short-fuzz:
	./scripts/fuzz 5s $(filter-out config,$(notdir $(wildcard fuzz/corpus/*)))

fuzz: test-deps
	./scripts/fuzz $(FOR)

short-demo:
	cargo run --quiet --bin weft -- demo --for 5s
