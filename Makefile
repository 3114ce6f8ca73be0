# Two commands matter: `make demo` and `make test`. Both set up all they need in .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: demo test check format docs bench vscode test-vscode clean

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "devlaunch needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@echo "setting up $(VENV): devlaunch with its test and lint extras"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(STAMP)  ## run the example app under devlaunch with the debug endpoint open
	cd docs/examples/orders && ../../../$(BIN)/devlaunch --debug-attach app:app

test: $(STAMP)  ## run every test
	$(BIN)/python tests/support/interpreters.py
	$(BIN)/python -m pytest -n 2 --dist worksteal

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

docs: $(STAMP)  ## serve the documentation as a site, new at each save
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:8001

BENCH = $(VENV)-bench
BENCH_STAMP = $(BENCH)/.installed

$(BENCH_STAMP): pyproject.toml
	@echo "setting up $(BENCH): devlaunch with the peers that it is measured against"
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group bench
	@touch $@

bench: $(BENCH_STAMP)  ## measure against peers, write docs/performance.md; ARGS="--quick" for a look
	$(BENCH)/bin/python tests/bench/bench.py $(or $(ARGS),--write)

clean:
	rm -rf $(VENV) $(BENCH) build site editors/vscode/node_modules .mypy_cache .pytest_cache .ruff_cache
