# Thin on purpose: the work is done by labsupport. `make` alone lists what there is.

# The embedded cluster's Valkey comes as a wheel for Python 3.11 to 3.13: they are taken first.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; exit; }; done; \
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo python3)
# auto, embedded, kind or current; see the README.
CLUSTER ?= auto
export CLUSTER

.DEFAULT_GOAL := help
.PHONY: help lab test bench upgrade down env env-test

help:
	@echo 'make lab    environment, cluster and JupyterLab (CLUSTER=$(CLUSTER))'
	@echo 'make down   remove the cluster without a trace'
	@echo 'make test   all checks, all tests, all notebooks'
	@echo 'make upgrade  take the newest versions of all packages, and run the whole suite with them'
	@echo 'make bench  measure the embedded cluster (KUBECONFIG=file: and that one); writes bench.json'

env:
	@"$(or $(PYTHON),$(error Python 3.11 or newer was not found; say make lab PYTHON=/path/to/python3))" labsupport/bootstrap.py

env-test:
	@"$(or $(PYTHON),$(error Python 3.11 or newer was not found; say make test PYTHON=/path/to/python3))" labsupport/bootstrap.py --test

lab: env
	@.venv/bin/lab up
	@.venv/bin/lab open

down:
	@if [ -x .venv/bin/lab ]; then .venv/bin/lab down; else echo 'There is no environment yet, so there is no cluster.'; fi

test: env-test
	@.venv/bin/python -m tools.run_all $(if $(REPORT),--report '$(REPORT)')

upgrade: env-test
	@.venv/bin/python -m tools.lock --upgrade
	@$(MAKE) test
	@git --no-pager diff --stat -- pyproject.toml environment.yml requirements

# A KUBECONFIG counts only when it is typed after `make bench`: one of the environment was not meant for this.
bench: env-test
	@.venv/bin/python -m tools.bench $(if $(findstring command,$(origin KUBECONFIG)),--kubeconfig '$(KUBECONFIG)')
