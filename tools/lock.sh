#!/usr/bin/env bash
# Writes requirements.lock and, for the extras dev and bench, requirements-EXTRA.lock from pyproject.toml: every version,
# every hash, no index address.
# `tools/lock.sh` keeps the versions that still fit; `tools/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
uv() { "$python" -m uv "$@"; }
"$python" -m uv --version >/dev/null 2>&1 || "$python" -m pip install --quiet 'uv>=0.9'

compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-config \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "$@"
}
compile pyproject.toml --output-file requirements.lock "$@"
for extra in dev bench; do
    compile pyproject.toml --extra "$extra" --constraint requirements.lock --output-file "requirements-$extra.lock" "$@"
done

# Whoever installs chooses the index; an address here would override that choice silently.
if grep -nE '://|^[[:space:]]*(-i|-f|--(index-url|extra-index-url|find-links|trusted-host))\b| @ ' requirements*.lock; then
    echo "the lock files name an address: see the lines above" >&2
    exit 1
fi
