#!/usr/bin/env bash
# A command that fails twice: with enough restarts it succeeds, with too few ProcGuard gives up and says why.
# Uses $PROCGUARD, or ../../procguard; KEEP=1 leaves what the run wrote.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! procguard=$(command -v "${PROCGUARD:-$here/../../procguard}"); then
    echo "FAIL: cannot run ${PROCGUARD:-$here/../../procguard}; build it with 'make build' or set PROCGUARD" >&2
    exit 1
fi
procguard=$(realpath "$procguard")
cd "$here"

work=$(mktemp -d "${TMPDIR:-/tmp}/procguard-single.XXXXXX")
output=
guard=

cleanup() {
    # Asked, ProcGuard stops its worker; it is ours, and still our child, so the pid cannot have been reused.
    if [ -n "$guard" ]; then kill -TERM "$guard" 2>/dev/null || true; wait "$guard" 2>/dev/null || true; fi
    if [ -n "${KEEP:-}" ]; then echo "kept $work"; else rm -rf "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAIL: $*" >&2
    if [ -n "$output" ]; then sed 's/^/  | /' "$output" >&2; fi
    exit 1
}

# guarded CONFIG: runs it with a directory of its own, shows what it printed, sets code and attempts.
guarded() {
    local deadline=$((SECONDS + 30))
    RUN_DIR=$work/${1%.yaml}
    export RUN_DIR
    output=$RUN_DIR/output
    mkdir -p "$RUN_DIR"
    "$procguard" --config "$1" >"$output" 2>&1 &
    guard=$!
    while kill -0 "$guard" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || fail "procguard did not finish within 30 s"
        sleep 0.02
    done
    code=0
    wait "$guard" || code=$?
    guard=
    attempts=$(tr '\n' ' ' <"$RUN_DIR/attempts" || true)
    sed 's/^/  | /' "$output"
}

echo "1. Two failures, three restarts allowed"
guarded procguard.yaml
echo "  exit code $code; restart count seen by each attempt: $attempts"
[ "$code" -eq 0 ] || fail "exit code $code, not 0"
[ "$attempts" = "0 1 2 " ] || fail "not two restarts"
echo

echo "2. Two failures, one restart allowed"
guarded too-few.yaml
echo "  exit code $code; restart count seen by each attempt: $attempts"
[ "$code" -eq 10 ] || fail "exit code $code, not 10 (gave up)"
[ "$attempts" = "0 1 " ] || fail "not one restart"
tail -n 1 "$output" | grep -q job || fail "the last line does not name the worker that it gave up on"
echo "  its last line: $(tail -n 1 "$output")"
echo
echo "PASS"
