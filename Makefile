# Two commands on a fresh machine: `make demo` and `make test`. Both bring what they need and the
# machine lacks; nothing is installed into the source tree.

TARGET := $(or $(CARGO_TARGET_DIR),target)
SMOKE := test(/^line::whole/) | test(/^policy::basics/) | test(/^policy::kills::a_phased_creation/)
# Variables of the tests and of what surrounds them; QUAY_DOCTOR_PG_BIN is one of demo's.
OF_TESTS := QUAY_DOCTOR_(CAMPAIGN|FAKETIME|FIGURES|HANDS|HOLD|JOBS|KILL|MUTANT|ORDERS|PGBOUNCER|PROGRAM|PROMTOOL|REGENERATE|SKIPPED|SOAK|SWITCH|TEST)
SKIPPED := $(abspath $(TARGET))/skipped.log

.PHONY: help setup demo checked built test smoke few-mutants mutants bench campaign lint test-matrix python-venv deny dist

help:
	@echo 'make demo         the whole story on a throw-away PostgreSQL'
	@echo 'make test         format, lints, tests, documentation: what CI runs'
	@echo 'make smoke        the main story once more, on the program as it is released'
	@echo 'make mutants      removes the safeguards one by one; the tests have to notice each'
	@echo 'make campaign N=10000  so many operations under faults; writes docs/faults.md'
	@echo 'make bench        the measurements, each beside its floor; writes docs/benchmarks.md'
	@echo 'make lint         format and lints only'
	@echo 'make test-matrix  the tests on each version of PostgreSQL that can be had'
	@echo 'make deny         licences, advisories and sources of what we build on (needs cargo-deny)'
	@echo 'make dist         a release: the stripped program and what belongs to it, in one archive'
	@echo 'make setup        only bring what the others need'

setup:
	@.ci/setup-rust
	@.ci/setup-postgres >/dev/null

# Unoptimised on purpose: building with optimisation takes longer than the demo gains by it.
demo: setup
	@bin=$$(.ci/setup-postgres) && QUAY_DOCTOR_PG_BIN=$$bin cargo run -- demo

lint: checked
	.ci/squawk

checked: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

built: checked
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps
	cargo test --workspace --doc
	.ci/tests --no-run

python-venv:
	@.ci/python-venv

# What has to be fetched is fetched while the compiler works; squawk comes behind it, since both may use the package manager.
test: setup
	@mkdir -p $(TARGET) && { .ci/fetch >$(TARGET)/fetch.log 2>&1 & } && fetch=$$! && \
		{ $(MAKE) --no-print-directory built; status=$$?; wait $$fetch; cat $(TARGET)/fetch.log; exit $$status; }
	.ci/squawk
	@rm -f $(SKIPPED)
	@bin=$$(.ci/setup-postgres) && bouncer=$$(.ci/setup-pgbouncer) && promtool=$$(.ci/setup-promtool) && \
		faketime=$$(.ci/setup-faketime) && QUAY_DOCTOR_FAKETIME=$$faketime \
		QUAY_DOCTOR_PG_BIN=$$bin QUAY_DOCTOR_PGBOUNCER=$$bouncer QUAY_DOCTOR_PROMTOOL=$$promtool \
		QUAY_DOCTOR_SKIPPED=$(SKIPPED) .ci/tests
	@if [ -s $(SKIPPED) ]; then echo 'Without effect on this machine:'; sort -u $(SKIPPED); fi

# The program that is shipped, through the tests of the main story, and killed and recovered.
smoke: setup
	cargo build --release
	@if grep -aoE '$(OF_TESTS)' $(TARGET)/release/quay-doctor; then echo 'the program knows what only tests may' >&2; exit 1; fi
	@bin=$$(.ci/setup-postgres) && export QUAY_DOCTOR_PG_BIN=$$bin QUAY_DOCTOR_PROGRAM=$(abspath $(TARGET))/release/quay-doctor && \
		$$QUAY_DOCTOR_PROGRAM demo && .ci/tests -E '$(SMOKE)'

# Not a part of `make test`: each builds the program once more. CI runs a few of them.
FEW_MUTANTS := newest-only share-mode waits-for-several

few-mutants:
	@$(MAKE) --no-print-directory mutants MUTANTS='$(FEW_MUTANTS)'

mutants: setup
	@bin=$$(.ci/setup-postgres) && faketime=$$(.ci/setup-faketime) && QUAY_DOCTOR_FAKETIME=$$faketime \
		QUAY_DOCTOR_PG_BIN=$$bin .ci/mutants $(MUTANTS)

# Schedules of faults drawn at random; the page of figures is from such a run.
campaign: setup
	@bin=$$(.ci/setup-postgres) && QUAY_DOCTOR_PG_BIN=$$bin QUAY_DOCTOR_CAMPAIGN=$(or $(N),3000) \
		cargo test --test integration -- campaign::at_length --exact --ignored --nocapture

# Two things in turn, medians of QUAY_DOCTOR_RUNS (5) runs; about two hours, on a machine that has
# nothing else to do. BENCH=start names one of them (tests/bench/), and leaves the page as it is.
bench: setup
	cargo build --release
	@bin=$$(.ci/setup-postgres) && QUAY_DOCTOR_PG_BIN=$$bin .ci/bench $(BENCH)

test-matrix: setup
	@.ci/matrix

# Not a part of `make test`: it asks for the latest advisories, and cargo-deny has to be there.
deny: setup
	@cargo deny --version >/dev/null 2>&1 || \
		{ echo 'cargo-deny is not installed: cargo install --locked cargo-deny' >&2; exit 1; }
	cargo deny --locked check licenses bans sources
	cargo deny --locked check advisories # last: it alone needs the network

dist: setup
	@.ci/dist
