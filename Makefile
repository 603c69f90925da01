# The commands of this repository. Each one sets up what it needs: the virtual environment from the locks, the generated
# package data, Debian's packages and the builds of the lab. On a fresh machine start with `make demo` or `make test`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
PYTHON ?= python3
export PYTHON
ENGINE ?= podman
IMAGE ?= navarch:dev
BIN := $(VENV)/bin

.PHONY: help demo demo-down test lint generate check-generated bundle catalog unit cluster-test node-test packaging-test upstream-test soak support bench lock format wheel image venv assets

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

demo: assets ## a cluster, the operator, a mesh, two applications with mTLS between them, and a gateway that lets HTTPS in
	@$(BIN)/python -m scripts.demo up

demo-down: venv ## remove everything that `make demo` made
	@$(BIN)/python -m scripts.demo down

test: assets ## lint and all suites; what this machine cannot run is named and left out. MINUTES=38: no test on a real cluster begins later
	@$(BIN)/python -m scripts.suite $(if $(MINUTES),--minutes=$(MINUTES))

lint: assets check-generated ## style, types, layers, and freshness of everything generated
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy operator/navarch lab scripts tests hatch_build.py
	$(BIN)/lint-imports --no-logo
	@! test -e operator/__init__.py || { echo "operator/__init__.py would shadow Python's own module operator: remove it"; exit 1; }

generate: assets ## write crds/, deploy/, bundle/, catalog/ and docs/reference/ again
	$(BIN)/python scripts/generate_api.py

check-generated: assets
	$(BIN)/python scripts/generate_api.py --check

bundle: assets ## a release's bundle for OLM: VERSION=0.2.0 IMAGE=registry.example.com/navarch@sha256:…
	@$(BIN)/python -m scripts.olm bundle --version '$(VERSION)' --image '$(IMAGE)' $(if $(CREATED),--created '$(CREATED)')

catalog: assets ## add a release to the catalog: VERSION, IMAGE as for bundle, and BUNDLE_IMAGE=…@sha256:…
	@$(BIN)/python -m scripts.olm catalog --version '$(VERSION)' --image '$(IMAGE)' --bundle-image '$(BUNDLE_IMAGE)' $(if $(CREATED),--created '$(CREATED)')

unit: assets ## the fast suites: unit, golden, property
	@$(BIN)/python -m scripts.suite unit

packaging-test: assets ## sdist, wheel, and the wheel installed elsewhere
	@$(BIN)/python -m scripts.suite packaging

upstream-test: assets ## what is rendered, beside what Istio's own installer renders
	@$(BIN)/python -m scripts.suite upstream

cluster-test: assets ## against a real API server (light lab, or CLUSTER=current)
	@$(BIN)/python -m scripts.suite cluster

node-test: assets ## with a real kubelet, istiod and Envoy (node lab: Linux, root)
	@$(BIN)/python -m scripts.suite node

soak: assets ## the tests marked `long`, in full (about 120 minutes)
	@$(BIN)/python -m scripts.suite --serial --soak cluster node olm monitoring -- --full -m long
	@rm -rf .suite/oldest && mkdir -p .suite/oldest
	@SUITE_RUN=.suite/oldest NAVARCH_LAB_KUBERNETES=1.32 $(BIN)/python -m pytest $(foreach module,admission apply drift injection status bad_input,tests/cluster/test_$(module).py)
	@$(BIN)/python -m scripts.suite.support .suite/oldest && $(MAKE) --no-print-directory generate

support: assets ## say in docs/reference/support.md what the last run of the suites has shown
	@$(BIN)/python -m scripts.suite.support .suite/run && $(MAKE) --no-print-directory generate

bench: assets ## what the operator costs, measured; prints a table and writes docs/reference/performance.md
	@$(BIN)/python -m scripts.suite --serial bench -- --full --performance docs/reference/performance.md --measured-on $$(date +%F)

format: venv ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: venv ## pin the dependencies of pyproject.toml again; `make lock UPGRADE=--upgrade` moves them
	PYTHON=$(BIN)/python scripts/lock.sh $(UPGRADE)

wheel: assets ## the package, in dist/
	@rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist

image: wheel ## the operator's image, from the wheel and the Containerfile
	$(ENGINE) build --file Containerfile --tag $(IMAGE) .

venv:
	@scripts/venv.sh $(VENV)

assets: venv
	@go=$$($(BIN)/python -m scripts.go_folder); PATH=$$go:$$PATH $(BIN)/python scripts/generate_assets.py
