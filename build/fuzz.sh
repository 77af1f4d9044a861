#!/usr/bin/env bash
# Runs every fuzz target in the tree, one after the other, each for FUZZTIME (default 20s).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
cd "$here/.."
time=${FUZZTIME:-20s}

targets() { grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|/[^/:]*:func | |' | sort -u; }

# Go's fuzzer now and then reports its own time limit as a failure; then it names no failing input, and nothing was found.
fuzz() {
	local out
	out=$(mktemp)
	if "$here/env.sh" go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" </dev/null 2>&1 | tee "$out"; then
		rm "$out"
	elif grep -q 'context deadline exceeded' "$out" && ! grep -qE 'Failing input|panic:|_test\.go:' "$out"; then
		say "$2 only ran out of time"
		rm "$out"
	else
		rm "$out"
		return 1
	fi
}

count=0
failed=()
while read -r dir target; do
	count=$((count + 1))
	say "fuzzing $dir $target for $time"
	fuzz "$dir" "$target" || failed+=("$dir $target")
done < <(targets)

[ "$count" -gt 0 ] || die "find a fuzz target"
[ ${#failed[@]} -eq 0 ] || die "pass: ${failed[*]}" "the input that failed is in the package's testdata/fuzz"
say "$count fuzz targets passed"
