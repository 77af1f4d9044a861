#!/usr/bin/env bash
# Builds and runs the example, and checks what it says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out=$(CGO_ENABLED=${CGO_ENABLED:-0} go run . 2>&1) || { echo "$out"; echo "FAIL: exit code"; exit 1; }
echo "$out"
for want in 'it is killed now' 'incident 1: worker_1: killed by SIGKILL' 'used 1 of 3 restarts' 'exit 0: all work done'; do
    grep -qF "$want" <<<"$out" || { echo "FAIL: it did not say: $want"; exit 1; }
done
for task in a b c d e; do
    [ "$(grep -cF "$task is done" <<<"$out")" -ge 1 ] || { echo "FAIL: task $task was not done"; exit 1; }
done
echo PASS
