# Each target sets up what it needs: a machine needs Python 3.11 or newer and make, and a network for the first time.

VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# The interpreter that the environment is made of; left empty, the first one found that is new enough.
PYTHON ?=
# Tests run in this many processes: one more than two cores, since many of them wait.
JOBS   ?= 3
# Servers of the npm registry that the tests speak to; the tests that need them are skipped without.
NPM_SERVERS := @modelcontextprotocol/server-everything@2026.8.31 @modelcontextprotocol/server-filesystem@2026.8.31

# With REPEAT set, what has failed is run once more, one test at a time, and that is said: real processes under the load of
# a shared machine may miss a time that they have alone.
REPEAT ?=
repeated = $(if $(REPEAT),|| { echo "REPEATED: some tests failed and are run once more by themselves" >&2; \
	$(1) --last-failed --last-failed-no-failures none; })

# The same for a branch that only a race reaches, such as a server that ends in the moment in which it is asked.
again = $(if $(REPEAT),|| { echo "REPEATED: coverage fell short; the tests of these files are run once more" >&2; \
	$(BIN)/coverage run -m pytest -n $(JOBS) $$($(BIN)/python .ci/uncovered.py); \
	$(BIN)/coverage combine --quiet --append; $(BIN)/coverage report; })

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench peers mutants observe npm-servers clean

help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## make .venv and install the pinned versions into it; only when something changed

$(STAMP): pyproject.toml constraints.txt
	@set -e; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		found="$(PYTHON)"; \
		for candidate in python3.11 python3.12 python3.13 python3 python3.14; do \
			if [ -z "$$found" ] && $$candidate -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
				found=$$candidate; \
			fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "No Python 3.11 or newer with venv was found. Install one (on Debian or Ubuntu, python3-venv belongs to it)," >&2; \
			echo "or name one: make setup PYTHON=/path/to/python3.11" >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$found" >&2; \
		"$$found" -m venv --clear $(VENV); \
	fi; \
	echo "Installing what constraints.txt pins (a minute or two, the first time)" >&2; \
	export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1; \
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip; \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt --editable ".[otlp,prometheus]" --group dev
	@touch $@

demo: $(STAMP) ## show the main job on four real servers; needs no network and no key
	@$(BIN)/recloser demo

test: $(STAMP) ## run the tests, but for those that take long: `make check` runs them too
	$(BIN)/python -m pytest -n $(JOBS) -m "not thorough" $(call repeated,$(BIN)/python -m pytest -m "not thorough")

check: $(STAMP) ## run the linters, the type checkers, and the tests with branch coverage
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(JOBS) $(call repeated,$(BIN)/coverage run -m pytest)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report $(again)

bench: $(STAMP) ## run every benchmark; each prints a table and checks its limits
	@set -e; for script in benchmarks/*.py; do \
		case "$$script" in */_*|"benchmarks/*.py") continue ;; esac; \
		echo "== $$script"; $(BIN)/python "$$script"; \
	done

peers: $(STAMP) ## put recloser beside its peers, in faults and in speed (an hour; the first time it installs them)
	-$(BIN)/python -m benchmarks.scoreboard
	$(BIN)/python -m benchmarks.scoreboard.speed

mutants: $(STAMP) ## change policies, pipeline and classify in a thousand small ways; a test must notice each (half an hour)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group mutation
	$(BIN)/mutmut run --max-children $(JOBS)
	@left=$$($(BIN)/mutmut results | grep -E "survived|no tests|timeout" || true); \
	if [ -n "$$left" ]; then echo "No test noticed:"; echo "$$left"; exit 1; else echo "every change was noticed"; fi

observe: $(STAMP) ## start a collector, Jaeger, Prometheus and Grafana on this machine, and print what to open
	@$(BIN)/python examples/observe/observe.py

npm-servers: .npm-servers/.installed ## install the servers from npm that some tests speak to (needs node and npm)

.npm-servers/.installed: Makefile
	@mkdir -p .npm-servers
	npm install --prefix .npm-servers --no-audit --no-fund --loglevel=error $(NPM_SERVERS) </dev/null
	@touch $@

clean: ## remove what was built, measured and cached; .venv stays
	rm -rf build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .import_linter_cache .hypothesis .npm-servers mutants
	find src tests benchmarks examples -type d -name __pycache__ -prune -exec rm -rf {} +
