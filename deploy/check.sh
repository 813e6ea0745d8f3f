#!/usr/bin/env bash
# The Dockerfile's steps without a container engine: an empty environment, a folder of its own, another user, a gateway that
# serves and drains. Says what it did, line by line; the exit code is 0 if all of it worked.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(command -v "${PYTHON:-python3}")
folder=$(mktemp -d)
chmod 755 "$folder"
origin="" gateway=""
cleanup() {
    for child in $gateway $origin; do kill "$child" 2>/dev/null && wait "$child" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap cleanup EXIT
bare() { env -i PATH=/usr/bin:/bin HOME="$folder" LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 "$@"; }
free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
answers() { for _ in $(seq 100); do curl -fsS -o /dev/null "$1" 2>/dev/null && return; sleep 0.1; done; return 1; }

echo "1. locked dependencies into a fresh environment"
bare "$python" -m venv "$folder/venv"
bare "$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check --no-cache-dir --require-hashes --requirement requirements.lock

echo "2. the code, compiled, and nothing but what .dockerignore lets through"
mkdir "$folder/app"
cp -r gateway deploy/probe.py "$folder/app/"
"$folder/venv/bin/python" -m compileall -q "$folder/app"
chmod -R a-w,a+rX "$folder/app"

as_nobody=()
[ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
[ ${#as_nobody[@]} = 0 ] || "${as_nobody[@]}" "$folder/venv/bin/python" -c '' 2>/dev/null || as_nobody=()

echo "3. an origin, and the gateway before it${as_nobody[*]:+, as nobody}"
origin_port=$(free_port) port=$(free_port) admin=$(free_port)
mkdir "$folder/site" && echo "hello from the origin" >"$folder/site/index.html"
"$python" -m http.server --directory "$folder/site" --bind 127.0.0.1 "$origin_port" >/dev/null 2>&1 &
origin=$!
answers "http://127.0.0.1:$origin_port/"
(cd "$folder/site" && exec env -i PATH=/usr/bin:/bin HOME=/nonexistent PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$folder/app" \
    "${as_nobody[@]}" "$folder/venv/bin/python" -m gateway run --to "http://127.0.0.1:$origin_port" \
    --listen "127.0.0.1:$port" --admin "127.0.0.1:$admin" >"$folder/access.log") &
gateway=$!
answers "http://127.0.0.1:$port/"

echo "4. a request, and the health check of the image"
test "$(curl -fsS "http://127.0.0.1:$port/")" = "hello from the origin"
answers "http://127.0.0.1:$admin/healthz"
"$folder/venv/bin/python" -I "$folder/app/probe.py" "127.0.0.1:$admin"

echo "5. SIGTERM: it drains and ends with 0"
kill "$gateway"
wait "$gateway"
gateway=""
echo "all of it works"
