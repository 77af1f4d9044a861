#!/usr/bin/env bash
# Runs every fuzz target in the tree, one after the other, each for FUZZTIME (default 20s).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
cd "$here/.."
time=${FUZZTIME:-20s}

targets() { grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|/[^/:]*:func | |' | sort -u; }

count=0
failed=()
while read -r dir target; do
	count=$((count + 1))
	say "fuzzing $dir $target for $time"
	"$here/env.sh" go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" </dev/null || failed+=("$dir $target")
done < <(targets)

[ "$count" -gt 0 ] || die "find a fuzz target"
[ ${#failed[@]} -eq 0 ] || die "pass: ${failed[*]}" "the input that failed is in the package's testdata/fuzz"
say "$count fuzz targets passed"
