#!/usr/bin/env bash
# Kills one of four workers in the middle of a file and shows that nothing is lost and nothing is done twice.
# Uses $PROCGUARD, or ../../procguard; KEEP=1 leaves what the run wrote.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! procguard=$(command -v "${PROCGUARD:-$here/../../procguard}"); then
    echo "FAIL: cannot run ${PROCGUARD:-$here/../../procguard}; build it with 'make build' or set PROCGUARD" >&2
    exit 1
fi
procguard=$(realpath "$procguard")
cd "$here"

RUN_DIR=$(mktemp -d "${TMPDIR:-/tmp}/procguard-quickstart.XXXXXX")
export RUN_DIR
ledger=$RUN_DIR/out/ledger
output=$RUN_DIR/output
guard=

cleanup() {
    # Asked, ProcGuard stops its workers; it is ours, and still our child, so the pid cannot have been reused.
    if [ -n "$guard" ]; then kill -TERM "$guard" 2>/dev/null || true; wait "$guard" 2>/dev/null || true; fi
    if [ -n "${KEEP:-}" ]; then echo "kept $RUN_DIR"; else rm -rf "$RUN_DIR"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAIL: $*" >&2
    if [ -s "$output" ]; then sed 's/^/  | /' "$output" | tail -n 60 >&2; fi
    exit 1
}

say() { printf '  +%4d ms  %s\n' $((($(date +%s%N) - began) / 1000000)) "$*"; }

# Prints "worker pid task" of a worker that has finished at least one file and is in the middle of another.
in_the_middle() {
    [ -e "$ledger" ] && awk '
        $1 == "start" { task[$3] = $2; pid[$3] = $5 }
        $1 == "done"  { delete task[$3]; finished[$3]++ }
        END { for (w in task) if (finished[w]) { print w, pid[w], task[w]; exit } }' "$ledger"
}

# Chooses a victim and kills it. It is frozen first: otherwise it might finish the file while we look.
kill_in_the_middle() {
    local deadline=$((SECONDS + 30)) seen
    while [ "$SECONDS" -lt "$deadline" ]; do
        kill -0 "$guard" 2>/dev/null || fail "procguard left before a worker could be killed"
        seen=$(in_the_middle || true)
        read -r victim pid task <<<"$seen"
        if [ -n "$task" ] && kill -STOP "$pid" 2>/dev/null; then
            if grep -q "^start $task $victim .* $pid\$" "$ledger" && ! grep -q "^done $task " "$ledger" &&
                [ ! -e "$RUN_DIR/out/results/$task.json" ]; then
                echo "kill $task $victim" >>"$ledger"
                kill -KILL "$pid"
                return
            fi
            kill -CONT "$pid"
        fi
        sleep 0.02
    done
    fail "no worker finished a file within 30 s"
}

# Waits until ProcGuard has left and sets code; a run that hangs is a failure, not a wait for ever.
wait_for_guard() {
    local deadline=$((SECONDS + 60))
    while kill -0 "$guard" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || fail "procguard did not finish within 60 s"
        sleep 0.02
    done
    code=0
    wait "$guard" || code=$?
    guard=
}

files=(data/*.txt)
echo "Four workers share ${#files[@]} files. One of them is going to die."
echo
began=$(date +%s%N)
"$procguard" --config procguard.yaml >"$output" 2>&1 &
guard=$!
say "procguard started, pid $guard"
kill_in_the_middle
say "kill -9 $victim, pid $pid, in the middle of data/$task.txt"
wait_for_guard
say "procguard left with exit code $code"
echo
[ "$code" -eq 0 ] || fail "exit code $code, not 0"

"$procguard" --config procguard.yaml incidents 1 || fail "the incident was not recorded"
echo
python3 verify.py "$RUN_DIR/out" "$victim" "$task" || fail "see the checks above"
echo
echo "PASS"
