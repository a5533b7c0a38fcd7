# `make demo` and `make test` each set up what they need; nothing has to be run before them.
.PHONY: demo test lint clean

PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check

demo: .venv/ready
	.venv/bin/pnpfuse demo

test: .venv/ready
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

lint: .venv/ready
	$(PIP) install --quiet --constraint constraints.txt --editable '.[lint]'
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build dist out
	find pnpfuse solvers analysis tests -name __pycache__ -prune -exec rm -rf {} +
