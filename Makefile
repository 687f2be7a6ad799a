# Two commands do everything on a fresh machine: `make lab` runs the main job, `make test` the tests.
SETUP = python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])' && python3 tools/setup.py
PYTHON = .venv/bin/python
PYTEST = $(PYTHON) -m pytest

.PHONY: lab lab-down preview test test-all check bench help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

lab: ## set up, build a cloud on this machine, deploy Twinlock to it, move an object through the tunnel
	@$(SETUP) lab
	@$(PYTHON) -m lab up

lab-down: ## remove every process, namespace, mount and file that the lab made
	@[ ! -x $(PYTHON) ] || $(PYTHON) -m lab down

preview: ## `pulumi preview` against the lab's control plane: no root, no cloud account
	@$(SETUP) preview
	@$(PYTHON) -m lab preview

# A run for each tier: what one tier loads makes another slow.
test: ## the checks of the source, the unit and boot tiers, and the heart of the lab tier
	@$(SETUP) lab
	@$(PYTEST) tests/static tests/unit -m "not long"
	@$(PYTEST) tests/boot -m "not long"
	@$(PYTEST) tests/lab -m "not long"

test-all: ## every test, also those that take minutes
	@$(SETUP) lab
	@$(PYTEST) tests/static tests/unit
	@$(PYTEST) tests/boot
	@$(PYTEST) tests/lab

check: ## format, lint, types, audit: what CI runs, in the same order
	@$(SETUP) lab
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/pyright
	@.venv/bin/pip-audit --require-hashes --disable-pip --progress-spinner off -r requirements.txt > .tools/logs/audit 2>&1 || (cat .tools/logs/audit; exit 1)

bench: ## measure, print a table, write bench/results.json
	@$(SETUP) lab
	@$(PYTHON) -m bench
