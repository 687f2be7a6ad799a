# Two commands do everything on a fresh machine: `make lab` runs the main job, `make test` the tests.
SETUP = python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])' && python3 tools/setup.py
PYTHON = .venv/bin/python
TIERS = $(PYTHON) tools/test_tiers.py
# Python compiles each file once, whatever this machine's settings say, and not into the checkout.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/.tools/pycache

.PHONY: help lab lab-down preview test test-static test-unit test-boot test-lab test-all check bench soak help

help: ## this list
	@sed -nE 's/^([a-z -]+):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 48

lab: ## set up, build a cloud on this machine, deploy Twinlock to it, move an object through the tunnel
	@$(SETUP) lab
	@$(PYTHON) -m lab up

lab-down: ## remove every process, namespace, mount and file that the lab made
	@[ ! -x $(PYTHON) ] || $(PYTHON) -m lab down

preview: ## `pulumi preview` against the lab's control plane: no root, no cloud account; FILE=… for another stack file
	@$(SETUP) preview
	@$(PYTHON) -m lab preview $(if $(FILE),--file '$(FILE)')

test: ## the checks of the source, the unit and boot tiers, and the heart of the lab tier
	@$(SETUP) lab
	@$(TIERS) static unit boot lab

test-static test-unit test-boot test-lab: test-%: ## one tier of `make test`
	@$(SETUP) lab
	@$(TIERS) $*

test-all: ## every test, also those that take minutes
	@$(SETUP) everything
	@$(TIERS) --all static unit boot lab

check: ## format, lint, types, audit: what CI runs, in the same order
	@$(SETUP) lab
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/pyright
	@.venv/bin/pip-audit --require-hashes --disable-pip --progress-spinner off -r requirements.txt > .tools/logs/audit 2>&1 || (cat .tools/logs/audit; exit 1)

bench: ## measure, print a table, write bench/results.json
	@$(SETUP) lab
	@$(PYTHON) -m bench

soak: ## faults and changes at random in the lab, everything checked all the time: MINUTES=30, SEED=… plays one again
	@$(SETUP) lab
	@$(PYTHON) -m lab up
	@$(PYTHON) -m lab soak --minutes $(or $(MINUTES),$(if $(SEED),0,10)) $(if $(SEED),--seed $(SEED))
	@$(PYTHON) -m lab down
