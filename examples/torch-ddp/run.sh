#!/usr/bin/env bash
# Trains twice: once undisturbed, once with a rank killed on the way, and compares the two.
# Uses $PROCGUARD, or ../../procguard, and the first Python that has torch and sklearn; PYTHON=... chooses another.
# KILL_RANK (default 2) is the rank that dies; KEEP=1 leaves what the run wrote.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! procguard=$(command -v "${PROCGUARD:-$here/../../procguard}"); then
    echo "FAIL: cannot run ${PROCGUARD:-$here/../../procguard}; build it with 'make build' or set PROCGUARD" >&2
    exit 1
fi
procguard=$(realpath "$procguard")
cd "$here"

victim=${KILL_RANK:-2}
work=$(mktemp -d "${TMPDIR:-/tmp}/procguard-torch.XXXXXX")
output=
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
    if [ -n "$output" ]; then sed 's/^/  | /' "$output" | tail -n 60 >&2; fi
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 /usr/bin/python3}; do
        if "$candidate" -c 'import torch, sklearn' 2>/dev/null; then echo "$candidate"; return; fi
    done
    fail "no Python with torch and sklearn; on Debian: apt-get install python3-torch python3-sklearn"
}

# start NAME: starts the training in the background, everything it writes under $work/NAME.
start() {
    RUN_DIR=$work/$1
    export RUN_DIR
    output=$work/$1.output
    mkdir -p "$RUN_DIR"
    "$procguard" --config procguard.yaml >"$output" 2>&1 &
    guard=$!
}

# Waits until ProcGuard has left with 0; a run that hangs is a failure, not a wait for ever.
finish() {
    local deadline=$((SECONDS + 120)) code=0
    while kill -0 "$guard" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || fail "procguard did not finish within 120 s"
        sleep 0.1
    done
    wait "$guard" || code=$?
    guard=
    [ "$code" -eq 0 ] || fail "procguard left with exit code $code, not 0"
}

# Kills the rank as soon as two epochs are done, that is in the middle of the third.
kill_mid_run() {
    local deadline=$((SECONDS + 120)) pid
    until grep -Eq 'epoch [2-9]/[0-9]+ done' "$output"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "two epochs were not done within 120 s"
        kill -0 "$guard" 2>/dev/null || fail "procguard left before a rank could be killed"
        sleep 0.05
    done
    pid=$(grep -Eo "rank $victim of 4: pid [0-9]+" "$output" | tail -n 1 | grep -Eo '[0-9]+$')
    kill -KILL "$pid"
    echo "  kill -9 of rank $victim, pid $pid"
}

result() { "$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/$1/result.json" "$2"; }

PYTHON=$(find_python)
export PYTHON

echo "1. Undisturbed: 4 ranks, 12 epochs"
start undisturbed
finish
grep -Eo 'test accuracy.*' "$output" | sed 's/^/  /'

echo "2. The same, and rank $victim dies on the way"
start disturbed
kill_mid_run
finish
grep -Eo 'rank 0 of 4: pid [0-9]+, resumed from the checkpoint.*|test accuracy.*' "$output" | sed 's/^/  /'
echo
"$procguard" --config procguard.yaml incidents 1 || fail "the incident was not recorded"
echo

grep -Eq 'rank 0 of 4: .*resumed from the checkpoint, [1-9][0-9]* epochs' "$output" || fail "the job did not resume from its checkpoint"
a=$(result undisturbed accuracy)
b=$(result disturbed accuracy)
printf 'accuracy undisturbed %.4f, disturbed %.4f\n' "$a" "$b"
if [ "$(result undisturbed weights_sha256)" = "$(result disturbed weights_sha256)" ]; then
    echo "the weights are the same to the last bit"
else
    echo "the weights differ in their last bits"
fi
awk -v a="$a" -v b="$b" 'BEGIN { d = a - b; exit !(d < 0.005 && d > -0.005 && b > 0.9) }' ||
    fail "the accuracies differ by more than half a per cent, or are poor"
echo "PASS"
