#!/usr/bin/env bash
# Makes .venv and installs the locked dependencies into it: `tools/setup.sh` to run the gateway, `tools/setup.sh dev` to work on it,
# `tools/setup.sh bench` to compare it with others.
# Does nothing when the lock has not changed since. What this machine lacks is said in one sentence with the command that mends it.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
lock=requirements${1:+-$1}.lock
stamp=$venv/$lock
as_root=$([ "$(id -u)" = 0 ] || echo "sudo ")

fail() {
    echo "make: $1" >&2
    exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {
    local candidate package without_venv=""
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        command -v "$candidate" >/dev/null && is_new_enough "$candidate" || continue
        if has_venv "$candidate"; then
            echo "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    if [ -n "$without_venv" ]; then
        case $(basename "$without_venv") in python3*) package=$(basename "$without_venv")-venv ;; *) package=python3-venv ;; esac
        fail "$without_venv cannot make virtual environments: ${as_root}apt-get install -y $package"
    fi
    advise_python
}

advise_python() {
    local version mend="curl -LsSf https://astral.sh/uv/install.sh | sh && ~/.local/bin/uv python install 3.13"
    for version in 3.13 3.12 3.11; do
        if apt-cache show "python$version-venv" >/dev/null 2>&1; then
            mend="${as_root}apt-get install -y python$version python$version-venv"
            break
        fi
    done
    fail "Python 3.11 or newer is needed, and here is $(${PYTHON:-python3} --version 2>/dev/null || echo none): $mend"
}

make_venv() {
    local python
    python=$(find_python)
    echo "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "$venv could not be made: see above, then run make again"
}

# A virtual environment outlives neither its Python nor an interrupted start.
"$venv/bin/python" -c '' 2>/dev/null || make_venv

if ! cmp -s "$lock" "$stamp"; then
    "$venv/bin/python" -c 'import pip' 2>/dev/null || make_venv
    echo "installing $lock"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --requirement "$lock" ||
        fail "the dependencies could not be installed (see above); if the network was the reason: make ${MAKECMDGOALS:-run}"
    # The command `gateway`, from this working copy.
    "$venv/bin/python" - <<'PYTHON'
import pathlib
import sysconfig

pathlib.Path(sysconfig.get_path("purelib"), "edge-gateway.pth").write_text(f"{pathlib.Path.cwd()}\n")
PYTHON
    printf '#!%s\nimport sys\n\nfrom gateway.cli import main\n\nsys.exit(main())\n' "$PWD/$venv/bin/python" >"$venv/bin/gateway"
    chmod +x "$venv/bin/gateway"
    # The other locks hold everything that requirements.lock does, at the same versions.
    cp requirements.lock "$venv/requirements.lock"
    cp "$lock" "$stamp"
fi
