#!/usr/bin/env bash
# Heartbeats, commands and events over ZeroMQ with pyzmq: in the clear, then with CURVE keys and rights.
# Uses $PROCGUARD, or ../../procguard, and $PYTHON; KEEP=1 leaves what the run wrote.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! procguard=$(command -v "${PROCGUARD:-$here/../../procguard}"); then
    echo "FAIL: cannot run ${PROCGUARD:-$here/../../procguard}; build it with 'make build' or set PROCGUARD" >&2
    exit 1
fi
cd "$here"

# The first Python that has pyzmq: the distribution's is not always the first in PATH.
find_python() {
    local p
    for p in "${PYTHON:-python3}" /usr/bin/python3; do
        if "$p" -c 'import zmq' 2>/dev/null; then echo "$p"; return; fi
    done
    echo "FAIL: needs Python 3 with pyzmq (Debian: apt-get install python3-zmq)" >&2
    exit 1
}
PYTHON=$(find_python)
export PYTHON PYTHONDONTWRITEBYTECODE=1

work=$(mktemp -d "${TMPDIR:-/tmp}/procguard-zmq.XXXXXX")
export RUN_DIR=$work/clear KEYS=$work/keys
guard=
output=

stop_guard() {
    # Asked, ProcGuard stops its workers; it is ours, and still our child, so the pid cannot have been reused.
    if [ -n "$guard" ]; then kill -TERM "$guard" 2>/dev/null || true; wait "$guard" 2>/dev/null || true; fi
    guard=
}
cleanup() {
    stop_guard
    if [ -n "${KEEP:-}" ]; then echo "kept $work"; else rm -rf "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAIL: $*" >&2
    if [ -s "$output" ]; then sed 's/^/  | /' "$output" | tail -n 60 >&2; fi
    exit 1
}

# await SECONDS TEXT: until TEXT is in the output.
await() {
    local end=$((SECONDS + $1))
    until grep -q -- "$2" "$output"; do
        [ "$SECONDS" -lt "$end" ] || fail "never: $2"
        kill -0 "$guard" 2>/dev/null || fail "procguard has ended"
        sleep 0.1
    done
}

# start CONFIG: at two free ports. Another program may take them first; then the next two are tried.
start() {
    local tries
    output=$RUN_DIR/output
    mkdir -p "$RUN_DIR"
    for tries in 1 2 3 4 5; do
        PORT=$("$PYTHON" -c '
import socket
while True:
    with socket.socket() as a, socket.socket() as b:
        a.bind(("127.0.0.1", 0))
        try:
            b.bind(("127.0.0.1", a.getsockname()[1] + 1))
        except (OSError, OverflowError):
            continue
        print(a.getsockname()[1])
        break')
        export PORT
        "$procguard" --config "$1" >"$output" 2>&1 &
        guard=$!
        for ((i = 0; i < 600; i++)); do
            if grep -q 'no bus' "$output"; then break; fi
            if grep -q 'three heartbeats' "$output"; then return; fi
            kill -0 "$guard" 2>/dev/null || fail "procguard has ended"
            sleep 0.1
        done
        grep -q 'Address already in use' "$output" || fail "no heartbeats"
        stop_guard
    done
    fail "no free ports after $tries attempts"
}

# want CODE TEXT COMMAND...: the tool's exit code, and a text in what it prints.
want() {
    local code=0 said
    said=$("$PYTHON" command.py "tcp://127.0.0.1:$PORT" "${@:3}" 2>&1) || code=$?
    echo "  $ command.py ${*:3}"
    echo "  $said"
    [ "$code" = "$1" ] || fail "exit code $code, not $1"
    [[ $said == *"$2"* ]] || fail "the answer lacks: $2"
}

# settled STATUS: until the worker is that; a restart takes a moment.
settled() {
    local end=$((SECONDS + 60))
    until "$PYTHON" command.py "tcp://127.0.0.1:$PORT" status worker 2>&1 | grep -q "\"$1\""; do
        [ "$SECONDS" -lt "$end" ] || fail "the worker never is $1"
        sleep 0.1
    done
}

scene() {
    want 0 '"running"' status worker
    want 1 'unknown command' dance worker
    "$PYTHON" command.py "tcp://127.0.0.1:$((PORT + 1))" listen '' >"$RUN_DIR/event" &
    local ear=$! end=$((SECONDS + 60))
    until [ "$(wc -l <"$RUN_DIR/event")" -ge 2 ]; do # what happens before the subscription arrives is not heard
        [ "$SECONDS" -lt "$end" ] || { kill "$ear"; fail "no event was heard"; }
        "$PYTHON" command.py "tcp://127.0.0.1:$PORT" restart worker >/dev/null || true
        sleep 0.5
    done
    wait "$ear"
    sed -n '2s/^/  event: /p' "$RUN_DIR/event"
    settled running
    want 0 'worker' stop worker force=true
    settled stopped
    want 0 'worker' start worker
    settled running
}

echo "In the clear, on 127.0.0.1:"
start procguard.yaml
touch "$RUN_DIR/silent"
await 60 'silent from now on'
end=$((SECONDS + 60)) # it is found out after three seconds, and restarted
until [ "$(grep -c 'three heartbeats' "$output")" -ge 2 ]; do
    [ "$SECONDS" -lt "$end" ] || fail "the silent worker was not restarted"
    sleep 0.1
done
grep -m 1 'no heartbeat for' "$output" | sed 's/^/  /' || fail "nobody said why it was restarted"
scene
stop_guard

echo
echo "With CURVE:"
export RUN_DIR=$work/curve
mkdir -p "$KEYS"
for name in server worker ops dashboard stranger; do
    "$procguard" keygen --out "$KEYS" "$name" >/dev/null
done
start keys.yaml
# as NAME: the key that the tool uses from here on.
as() { export SERVER_PUBLIC=$KEYS/server.pub CLIENT_PUBLIC=$KEYS/$1.pub CLIENT_SECRET=$KEYS/$1.key; }
as ops
scene
as dashboard
want 0 '"running"' status worker
want 1 'no right to commands' stop worker
as stranger
want 3 'no answer' status worker
await 10 "the key $(cat "$KEYS/stranger.pub" | sed 's/[][\.*^$/]/\\&/g') is not allowed here"
unset SERVER_PUBLIC CLIENT_PUBLIC CLIENT_SECRET
want 3 'no answer' status worker
await 10 'or no CURVE'
stop_guard
for secret in "$KEYS"/*.key; do
    if grep -rqF -- "$(cat "$secret")" "$work/clear" "$work/curve"; then fail "the secret of $secret was written somewhere"; fi
done

echo
echo "PASS: heartbeats, commands and events, in the clear and with keys"
