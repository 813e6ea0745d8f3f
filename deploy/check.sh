#!/usr/bin/env bash
# The Dockerfile without a container engine: its steps, read from the file itself, in a root of their own; then what it
# promises: another user, a root file system that cannot be written, PID 1, a health check, a reload, a killed worker, an
# upgrade, a drain. Says what it did; the exit code is 0 if all of it worked.
#   deploy/check.sh         in a clean Debian made by debootstrap (about two minutes, needs root)
#   deploy/check.sh --venv  the same code and lock in a fresh environment of this machine (20 seconds)
set -euo pipefail
cd "$(dirname "$0")/.."

suite=bookworm user=10001
python=$(command -v "${PYTHON:-python3}")
folder=$(mktemp -d)
chmod 755 "$folder"
origin="" gateway=""
cleanup() {
    for child in $gateway $origin; do kill "$child" 2>/dev/null && wait "$child" 2>/dev/null || true; done
    rm -rf --one-file-system "$folder"
}
trap cleanup EXIT
# Below what the kernel gives to outgoing connections, and all at once, so that none comes twice.
free_ports() {
    "$python" -c 'import contextlib, random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    with contextlib.suppress(OSError):
        held.append(socket.create_server(("127.0.0.1", random.randrange(10_000, 32_000))))
print(*(one.getsockname()[1] for one in held))' "$1"
}
answers() { for _ in $(seq 150); do curl -fsS -o /dev/null "$1" 2>/dev/null && return; sleep 0.1; done; return 1; }
words() { "$python" -c 'import json, shlex, sys; print(shlex.join(json.loads(sys.argv[1])))' "$1"; }
# Value of the last instruction of that name, continuation lines joined.
instruction() { sed -e :a -e '/\\$/N; s/\\\n//; ta' Dockerfile | sed -n "s/^$1 //p" | tail -n 1; }
# How pip reaches its index here is nobody's business but this machine's.
bare() { env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 "${index[@]}" "$@"; }
mapfile -t index < <(env | grep -E '^(PIP_|https?_proxy=|HTTPS?_PROXY=|no_proxy=|NO_PROXY=)' || true)

if [ "${1:-}" = --venv ]; then
    echo "1. locked dependencies into a fresh environment"
    bare "$python" -m venv "$folder/venv"
    bare "$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check --no-cache-dir --require-hashes --requirement requirements.lock
    echo "2. the code, compiled, and nothing but what .dockerignore lets through"
    mkdir "$folder/app"
    cp -r gateway deploy/probe.py "$folder/app/"
    "$folder/venv/bin/python" -m compileall -q "$folder/app"
    chmod -R a-w,a+rX "$folder/app"
    as_user=()
    [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && as_user=(setpriv --reuid $user --regid $user --clear-groups)
    [ ${#as_user[@]} = 0 ] || "${as_user[@]}" "$folder/venv/bin/python" -c 'import os, sys
sys.exit(not os.access(sys.executable, os.X_OK))' 2>/dev/null || as_user=()
    [ ${#as_user[@]} != 0 ] || echo "   as this user: another one cannot reach $python"
    serve() {
        cd "$folder/etc" && exec env -i PATH=/usr/bin:/bin HOME=/nonexistent PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$folder/app" \
            "${as_user[@]}" "$folder/venv/bin/python" -m gateway run -c config.yaml
    }
    probe() { "$folder/venv/bin/python" -I "$folder/app/probe.py" "$1"; }
    settings=$folder/etc state=$folder/state
    install -d -m 700 "$state"
    [ ${#as_user[@]} = 0 ] || chown $user:$user "$state"
else
    [ "$(id -u)" = 0 ] || { echo "a clean root needs root: sudo deploy/check.sh, or deploy/check.sh --venv" >&2; exit 1; }
    command -v debootstrap >/dev/null || { echo "apt-get install debootstrap, or deploy/check.sh --venv" >&2; exit 1; }
    root=$folder/root
    inside() { bare chroot "$root" "$@"; }
    echo "1. a clean $suite in the place of the Dockerfile's base image"
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates $suite "$root" >"$folder/debootstrap.log" ||
        { tail "$folder/debootstrap.log"; exit 1; }
    ln -s /usr/bin/python3 "$root/usr/local/bin/python"
    cp /etc/resolv.conf "$root/etc/"
    [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
    # This machine may trust an authority of its own; links in the new root point into this one's, so none is followed.
    cp --remove-destination -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    echo "2. the Dockerfile, line by line"
    workdir=/
    while read -r name rest; do
        case $name in
            WORKDIR) workdir=$rest; mkdir -p "$root$rest" ;;
            COPY) case $rest in --from=*) ;; *)
                    read -r from to <<<"$rest"
                    case $to in /*) to=$root$to ;; *) to=$root$workdir/$to ;; esac
                    mkdir -p "$(dirname "$to")"
                    cp -r "$from" "$to" ;; esac ;;
            RUN) inside sh -ec "cd $workdir; $rest" >"$folder/run.log" 2>&1 || { cat "$folder/run.log"; exit 1; } ;;
        esac
    done < <(sed -e :a -e '/\\$/N; s/\\\n//; ta' Dockerfile)
    echo "   $(du -sh "$root/opt/gateway" | cut -f1) in /opt/gateway"
    test "$(instruction USER)" = $user
    serve() {
        # A namespace of its own: the gateway is PID 1, its root cannot be written, /tmp is memory.
        exec unshare --mount --pid --fork --kill-child bash -ec '
            mount --bind "$0" "$0"
            mount -o remount,bind,ro "$0"
            mount -t tmpfs tmpfs "$0/tmp"
            mount -t tmpfs -o "uid=$1,gid=$1,mode=700" tmpfs "$0/var/lib/gateway"
            mount -t proc proc "$0/proc"
            exec chroot --userspec="$1:$1" "$0" env -i PATH=/usr/local/bin:/usr/bin:/bin '"$(instruction ENV)"' \
                sh -c "cd '"$(instruction WORKDIR)"' && exec '"$(words "$(instruction ENTRYPOINT)") $(words "$(instruction CMD)")"'"
            ' "$root" $user
    }
    probe() { inside sh -c "$(words "$(instruction HEALTHCHECK | sed 's/.*CMD //')") $1"; }
    settings=$root/etc/gateway state=/var/lib/gateway
fi

echo "3. an origin, and the gateway before it"
read -r origin_port port admin probe nobody < <(free_ports 5)
mkdir -p "$folder/site" "$settings"
echo "hello from the origin" >"$folder/site/index.html"
"$python" -m http.server --directory "$folder/site" --bind 127.0.0.1 "$origin_port" >/dev/null 2>&1 &
origin=$!
answers "http://127.0.0.1:$origin_port/"
configure() {
    cat >"$folder/config.yaml" <<YAML
listeners: [{bind: "127.0.0.1:$port"}]
upstreams: {app: {endpoints: ["http://127.0.0.1:$origin_port"]}}
routes:
  - {upstream: app, buffering: {request: true, response: true}}
  - {match: {path: /version}, respond: {body: "$1"}}
admin: {bind: "127.0.0.1:$admin", probe: "127.0.0.1:$probe"}
state_dir: $state
workers: 2
YAML
    mv "$folder/config.yaml" "$settings/config.yaml"
}
says() { for _ in $(seq 150); do [ "$(curl -fsS "$1" 2>/dev/null)" = "$2" ] && return; sleep 0.1; done; echo "$1 never says $2" >&2; return 1; }
configure first
serve >"$folder/access.log" &
gateway=$!
answers "http://127.0.0.1:$port/" || { echo "it does not answer" >&2; exit 1; }

echo "4. a request, and the health check of the image"
test "$(curl -fsS "http://127.0.0.1:$port/")" = "hello from the origin"
answers "http://127.0.0.1:$probe/readyz"
probe "127.0.0.1:$probe"
probe "127.0.0.1:$admin"
if probe "127.0.0.1:$nobody"; then echo "the health check finds a gateway where none is" >&2 && exit 1; fi

echo "5. a file that changes, a worker that is killed, an upgrade"
if [ "${1:-}" = --venv ]; then told=$gateway; else told=$(pgrep -P "$gateway" -n); fi
configure second
says "http://127.0.0.1:$port/version" second
before=$(pgrep -P "$told" | sort)
kill -KILL "$(pgrep -P "$told" -o)"
answers "http://127.0.0.1:$port/version"
kill -USR2 "$told"
for _ in $(seq 150); do comm -12 <(echo "$before") <(pgrep -P "$told" | sort) | grep -q . || break; sleep 0.1; done
! comm -12 <(echo "$before") <(pgrep -P "$told" | sort) | grep . || { echo "it was not upgraded" >&2; exit 1; }
says "http://127.0.0.1:$port/version" second

echo "6. SIGTERM: it drains and ends with 0"
kill "$told"
wait "$gateway"
gateway=""
grep -q '"status":200' "$folder/access.log"
echo "all of it works"
