# Each target is one script or one cargo command; none needs make to be understood.

.PHONY: help demo test setup rules fixtures figures fuzz

help:
	@echo 'make demo      build whichhop and watch it find a fault'
	@echo 'make test      check everything: format, lints, tests, documentation'
	@echo 'make setup     install what the build, the lab and the tests need (Debian)'
	@echo 'make fuzz      try to break all that reads foreign bytes, for FUZZ_SECONDS (60) each'
	@echo 'make rules     write docs/rules.md anew from the doc comments in src/evidence'
	@echo 'make fixtures  record fixtures/ anew in the lab (as root)'
	@echo 'make figures   measure how fast whichhop is in the lab (as root)'

demo:
	@scripts/demo

test:
	@scripts/test

setup:
	@scripts/setup --tests

fuzz:
	@scripts/fuzz

rules:
	WHICHHOP_WRITE_DOCS=1 cargo test --locked --quiet --test tidy the_page_of_rules_is_current

fixtures:
	cargo run --locked --example lab -- --record fixtures

figures:
	cargo run --locked --release --example figures
