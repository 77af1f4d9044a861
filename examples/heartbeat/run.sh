#!/usr/bin/env bash
# Three workers live, but do nothing any more. ProcGuard finds out from their heartbeats, and restarts them.
# Uses $PROCGUARD, or ../../procguard; KEEP=1 leaves what the run wrote.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! procguard=$(command -v "${PROCGUARD:-$here/../../procguard}"); then
    echo "FAIL: cannot run ${PROCGUARD:-$here/../../procguard}; build it with 'make build' or set PROCGUARD" >&2
    exit 1
fi
procguard=$(realpath "$procguard")
cd "$here"

work=$(mktemp -d "${TMPDIR:-/tmp}/procguard-heartbeat.XXXXXX")
output=$work/output
guard=

cleanup() {
    # Asked, ProcGuard stops its workers; it is ours, and still our child, so the pid cannot have been reused.
    if [ -n "$guard" ]; then kill -TERM "$guard" 2>/dev/null || true; wait "$guard" 2>/dev/null || true; fi
    if [ -n "${KEEP:-}" ]; then echo "kept $work"; else rm -rf "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAIL: $*" >&2
    if [ -e "$output" ]; then sed 's/^/  | /' "$output" >&2; fi
    exit 1
}

command -v python3 >/dev/null || fail "needs python3"
if command -v go >/dev/null; then
    CGO_ENABLED=0 go build -o "$work/beat" beat.go
    export GO_BEAT=$work/beat
else
    echo "no Go here: the shell's worker runs twice"
fi

export RUN_DIR=$work/run
mkdir -p "$RUN_DIR"
"$procguard" --config procguard.yaml >"$output" 2>&1 &
guard=$!
deadline=$((SECONDS + 120))
while kill -0 "$guard" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || fail "procguard did not finish within 120 s"
    sleep 0.1
done
code=0
wait "$guard" || code=$?
guard=
sed 's/^/  | /' "$output"

[ "$code" -eq 0 ] || fail "exit code $code, not 0"
# Each was judged once, the python worker not for its announced checkpoint of 7 seconds.
hung=$(grep -c -E '(python|shell|go): (waits for a lock|stops itself|spins)' "$output" || true)
done_=$(grep -c 'ten steps done' "$output" || true)
[ "$hung" -eq 3 ] || fail "$hung workers hung, not 3"
[ "$done_" -eq 3 ] || fail "$done_ workers finished, not 3"
judged=$(grep -c -E '\] group (python|shell|go): (python|shell|go) failed: ' "$output" || true)
[ "$judged" -eq 3 ] || fail "$judged failures, not 3: there was a false alarm"

# What each was doing is in its incident.
"$procguard" incidents --config procguard.yaml | tee "$work/incidents"
says() { grep -q -E " $1 .*$2" "$work/incidents" || fail "no incident of $1 says: $2"; }
says python 'it waits for a lock'
says shell 'it is stopped'
says go 'no heartbeat' # that it spins is only seen where it gets a processor
echo
echo "PASS: three workers hung, and finished in their second lives"
