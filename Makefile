# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv and install first.
PYTHON ?= python3
BIN := .venv/bin
# Small models gain nothing from more threads than cores, and lose much when tests run side by side.
CORES := $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")

.PHONY: demo test test-all lint install samples schemas bench fuzz clean

demo: install
	$(BIN)/mlmguard demo; code=$$?; echo; echo "The report: $(CURDIR)/demo/reports/report.html"; exit $$code

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist loadfile --doctest-modules -m "not slow and not statistical"

test-all: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist loadfile --doctest-modules

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

samples: install
	$(BIN)/python -m tests.fixtures.evidence
	$(BIN)/python -m tests.doc_pages

schemas: install
	for name in evidence privacy manifest judgement policy review; do $(BIN)/mlmguard schema $$name > docs/schemas/$$name.json; done

MUTANTS ?= 10000

fuzz: install # an hour or so: 10,000 mutants of each format
	$(BIN)/python -m tests.fuzz --mutants $(MUTANTS) --seed $$(date +%j)

DATA ?= ../shared/data

bench: install # hours; on a machine that does nothing else. adaptation.py wants two corpora: see its first lines
	set -e; for one in private_step private_run_step probing_speed dedup dedup_memory index_memory scan_scale report_size train_memory \
	  audit_fixtures audit_nulls; do $(BIN)/python benchmarks/$$one.py; done
	set -e; for one in pii_throughput pii_accuracy rescan; do $(BIN)/python benchmarks/$$one.py $(DATA); done
	$(BIN)/python benchmarks/trainer.py $(DATA)/prose/*.jsonl --steps 600 --batch 16

clean:
	rm -rf .venv build dist demo
