# Two commands matter: `make demo` and `make test`. Both set up all they need in .venv first.
ifeq ($(OS),Windows_NT)
PYTHON ?= python
SCRIPTS = Scripts
else
PYTHON ?= python3
SCRIPTS = bin
endif
VENV ?= .venv
BIN = $(VENV)/$(SCRIPTS)
STAMP = $(VENV)/.installed

LOCKS = $(wildcard tests/locks/*.txt)
ENVIRONMENTS = tests/support/environments.py

.PHONY: demo test test-newest lock check format docs bench vscode test-vscode test-windows clean

$(STAMP): pyproject.toml $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "devlaunch needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@echo "setting up $(VENV): devlaunch with its test and lint extras"
	@$(PYTHON) $(ENVIRONMENTS) $(VENV) dev
	@touch $@

demo: $(STAMP)  ## run the example app under devlaunch with the debug endpoint open
	cd docs/examples/orders && ../../../$(BIN)/devlaunch --debug-attach app:app

test: $(STAMP)  ## run every test
	PYTHONPATH=tests $(BIN)/python -m support.interpreters
	$(BIN)/python -m pytest -n 2 --dist worksteal

NEWEST = $(VENV)-newest

test-newest:  ## run the tests with the newest of everything, in $(NEWEST); ARGS="tests/run/test_x.py" for some
	@echo "setting up $(NEWEST): devlaunch with the newest of everything"
	@$(PYTHON) $(ENVIRONMENTS) --newest $(NEWEST) dev
	PYTHONPATH=tests $(NEWEST)/$(SCRIPTS)/python -m support.interpreters --newest
	$(NEWEST)/$(SCRIPTS)/python -m pytest -n 2 --dist worksteal $(ARGS)

lock: $(STAMP)  ## write tests/locks anew: what is installed for tests, checks and measurements
	PYTHONPATH=tests $(BIN)/python -m support.interpreters lock

check: $(STAMP)  ## ruff, mypy strict on three platforms, the import rings, the docs and their site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin
	$(BIN)/mypy --platform win32
	$(BIN)/python -m pytest -q -p no:xdist tests/test_rings.py tests/test_docs.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	PYTHONPATH=tests $(BIN)/python tests/test_docs.py
	$(BIN)/devlaunch adapter --schema > editors/attributes.schema.json
	$(BIN)/python editors/vscode/generate.py

vscode: $(STAMP)  ## build the extension for VS Code: build/vscode/devlaunch.vsix
	$(BIN)/python editors/vscode/make.py package

test-vscode: $(STAMP)  ## test that extension in a real VS Code; ARGS="import" for scenarios of that name
	$(BIN)/python tests/vscode/run.py $(ARGS)

test-windows: $(STAMP)  ## test with Windows' CPython under wine; ARGS="--python 3.13 tests/run/test_x.py" for less
	$(BIN)/python tests/windows/run.py $(ARGS)

docs: $(STAMP)  ## serve the documentation as a site, new at each save
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:8001

BENCH = $(VENV)-bench
BENCH_STAMP = $(BENCH)/.installed

$(BENCH_STAMP): pyproject.toml $(LOCKS)
	@echo "setting up $(BENCH): devlaunch with the peers that it is measured against"
	@$(PYTHON) $(ENVIRONMENTS) $(BENCH) bench
	@touch $@

bench: $(BENCH_STAMP)  ## measure against peers, write docs/performance.md; ARGS="--quick" for a look
	$(BENCH)/$(SCRIPTS)/python tests/bench/bench.py $(or $(ARGS),--write)

clean:
	rm -rf $(VENV) $(BENCH) $(NEWEST) build site editors/vscode/node_modules .mypy_cache .pytest_cache .ruff_cache
