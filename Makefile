# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNNER := $(VENV)/share/asperathos/runner.pyz
RUNNER_SOURCES := $(wildcard worker/asperathos_worker/*.py worker/asperathos_worker/queue/*.py \
    worker/asperathos_worker/queue/lua/*.lua)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-cluster test-e2e-cluster test-docker test-faults test-compose lint check lock clean venv venv-dev runner dashboards openapi test-fuzz

help:  ## what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: venv  ## finish real work by a deadline on this machine: no Docker, no root, nothing to install
	@$(BIN)/python examples/stdlib-metrics/demo.py $(DEMO_FLAGS)

test: venv-dev  ## the whole test suite
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

test-cluster: venv-dev  ## the cluster contract on localcluster and on TEST_KUBECONFIG's, in a namespace of its own
	@$(BIN)/python -m pytest tests/contracts/test_cluster.py $(PYTEST_FLAGS)

test-docker: venv-dev  ## the local cluster with containers on a Docker engine of its own: root, dockerd, mmdebstrap
	@ASPERATHOS_TEST_DOCKER=1 $(BIN)/python -m pytest -q tests/integration/test_docker_runtime.py \
	    tests/contracts/test_cluster.py tests/integration/test_localcluster.py -k "docker or containers" $(PYTEST_FLAGS)

test-e2e-cluster: venv-dev  ## the whole suite with real pods on TEST_KUBECONFIG's cluster, in a namespace of its own
	@$(BIN)/python -m pytest tests/e2e/test_real_cluster.py $(PYTEST_FLAGS)

test-compose: venv-dev  ## docker-compose.yml on a Docker engine of its own: root, dockerd, compose v2, mmdebstrap; minutes
	@ASPERATHOS_TEST_COMPOSE=1 $(BIN)/python -m pytest -q tests/integration/test_compose.py $(PYTEST_FLAGS)

test-faults: venv-dev  ## 200 seeded fault runs, then the bars: an hour; FAULT_FLAGS="--runs 20 --only Redis"
	@$(BIN)/python -m tests.faults $(FAULT_FLAGS)
	@$(BIN)/python -m tests.faults.bars

test-fuzz: venv-dev  ## ten thousand requests of any kind to each service (CASES=), each answer held against /openapi.json
	@ASPERATHOS_FUZZ_CASES=$(or $(CASES),10000) $(BIN)/python -m pytest -s tests/fuzz $(PYTEST_FLAGS)

lint: venv-dev  ## ruff, mypy, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test  ## lint and test

venv: $(VENV)/run.stamp $(RUNNER)
venv-dev: $(VENV)/dev.stamp $(RUNNER)
runner: $(RUNNER)  ## the archive that runs a submission's `run:` in any image with Python

$(VENV)/run.stamp: requirements/run.lock pyproject.toml worker/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/run.lock
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e worker -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/dev.lock
	@touch $@

build/runner/wheels.stamp: requirements/runner.lock $(VENV)/run.stamp
	@rm -rf build/runner
	@$(BIN)/python -m pip download --quiet --require-hashes --no-deps --only-binary :all: -r requirements/runner.lock -d build/runner
	@touch $@

$(RUNNER): build/runner/wheels.stamp worker/build_runner.py $(RUNNER_SOURCES)
	@$(BIN)/python worker/build_runner.py --wheels build/runner --output $@

dashboards: venv  ## write Grafana's provisioning files again, from visualizer/grafana
	@$(BIN)/python -m visualizer.grafana k8s/grafana

openapi: venv  ## write docs/openapi again, from the services' tables of routes
	@$(BIN)/python -m tests.support.openapi_documents

lock:  ## pin every dependency again, with hashes
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    requirements/run.in -o requirements/run.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    requirements/dev.in -c requirements/run.lock -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet --universal --no-deps --python-version 3.8 --generate-hashes --no-emit-index-url \
	    --no-header requirements/runner.in -o requirements/runner.lock

clean:  ## remove what make made
	rm -rf $(VENV) build/runner .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis .import_linter_cache
