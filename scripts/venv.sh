#!/usr/bin/env bash
# Makes the virtual environment $1 with the locked dependencies and the project itself (editable).
# Does nothing when the locks and pyproject.toml are those it was last made from.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
python=${PYTHON:-python3}
stamp=$venv/.stamp-$(cat requirements.txt requirements-test.txt pyproject.toml | sha256sum | cut -c1-16)
[[ -e $stamp && -x $venv/bin/python ]] && exit 0

stop() {
  echo "$1" >&2
  exit 1
}

command -v "$python" >/dev/null || stop "Python 3.11 or newer is missing: install python3 and python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  stop "$("$python" --version) is too old, 3.11 is needed: name a newer one, make PYTHON=python3.12 …"
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || stop "Python's venv is missing: install python3-venv"
  apt-get install -y --no-install-recommends python3-venv
fi

[[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
echo "installing the locked dependencies into $venv"
install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${install[@]}" --require-hashes --requirement requirements-test.txt
"${install[@]}" --no-deps --no-build-isolation --editable .
rm -f "$venv"/.stamp-*
touch "$stamp"
