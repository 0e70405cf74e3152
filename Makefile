# Two commands: `make run` and `make test`. Each sets everything up first; nothing is needed but Python 3.11 or newer.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: run setup test test-browsers lint format

run: .venv/.app
	$(BIN)/python app.py $(ARGS)

setup: .venv/.app

# All tests: two at a time, then those in a browser one by one, because they watch how smoothly it plays. With ARGS, those.
test: .venv/.dev lint
ifeq ($(ARGS),)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --ignore tests/browser
	$(BIN)/python -m pytest tests/browser
else
	$(BIN)/python -m pytest $(ARGS)
endif

# What a person does, in every engine that is installed: chromium, firefox-esr, webkit2gtk-driver (with xvfb).
test-browsers: .venv/.dev
	$(BIN)/python -m pytest tests/browser/test_engines.py --browsers all $(ARGS)

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed / 需要 Python 3.11 或更新版本"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/.app: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/.dev: requirements.txt requirements-trt.txt requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@ .venv/.app
