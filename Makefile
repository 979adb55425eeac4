# Two commands matter: `make demo` and `make test`. `make help` lists the rest.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
# Root for what makes network namespaces; nothing when we are root already.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env "PATH=$$PATH")

.PHONY: help build demo demo-stop test interop fuzz bench check fmt install
.DEFAULT_GOAL := help

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## All binaries, debug profile
	$(CARGO) build --locked --workspace --bins

demo: build ## A fleet on this machine: election, failover, split brain, fencing (KEEP=1 leaves it running)
	$(SUDO) tests/setup demo
	$(SUDO) target/debug/demo $(if $(KEEP),--keep)

demo-stop: ## Takes down what `make demo KEEP=1` left running
	$(SUDO) target/debug/demo --stop

test: ## Installs what the tests need, then runs every layer of tests
	$(SUDO) tests/setup test
	$(CARGO) build --locked --workspace --bins
	$(SUDO) $(CARGO) nextest run --locked --workspace

interop: ## Runs the interop tests and writes docs/interop.md from what they found
	$(SUDO) tests/setup test
	$(CARGO) build --locked --workspace --bins
	$(SUDO) $(CARGO) nextest run --locked -p hafleet-tests -E 'binary(interop)'
	$(SUDO) target/debug/interop docs/interop.md tests/interop

fuzz: ## Fuzzes what reads bytes and both cores, FUZZ_SECONDS (60) each; what is found new joins tests/fuzz/corpus
	CARGO="$(CARGO)" tests/fuzz/run

bench: ## Our agent against keepalived in one run (20 minutes), into docs/benchmarks.md (PART="outage --repeats 3" prints that only)
	$(SUDO) tests/setup bench
	$(CARGO) build --locked --release -p ha-agent -p ha-coordinator -p hactl -p hafleet-tests \
		--bin ha-agent --bin ha-coordinator --bin hactl --bin lab --bin bench
	$(SUDO) target/release/bench $(PART) >target/benchmarks.md
	$(if $(PART),cat,cp) target/benchmarks.md $(if $(PART),,docs/benchmarks.md)

check: ## Format, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

fmt: ## Formats everything
	$(CARGO) fmt --all

install: ## Release binaries and systemd units under PREFIX (default /usr/local)
	$(CARGO) build --locked --release -p ha-agent -p ha-coordinator -p hactl
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/bin target/release/ha-agent target/release/ha-coordinator target/release/hactl
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system deploy/systemd/*.service
