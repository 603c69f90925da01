#!/usr/bin/env bash
# Writes requirements.txt (what runs) and requirements-test.txt (that, and everything that builds and tests it), pinned
# with hashes, from pyproject.toml. Existing pins stay; `scripts/lock.sh --upgrade` moves all of them.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  "${PYTHON:-.venv/bin/python}" -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras \
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links "$@" pyproject.toml
}

export CUSTOM_COMPILE_COMMAND="make lock"
compile --output-file requirements.txt "$@"
compile --extra test --constraint requirements.txt --output-file requirements-test.txt "$@"
