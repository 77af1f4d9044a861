#!/usr/bin/env bash
# The whole test suite under the race detector, with ZeroMQ, then a summary that names every skip and why.
# Arguments go to `go test`; without any, the whole tree is tested.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
cd "$here/.."
[ $# -gt 0 ] || set -- ./...

unformatted=$("$here/env.sh" gofmt -l .)
[ -z "$unformatted" ] || die "accept the format of: ${unformatted//$'\n'/ }" "gofmt -w ."
"$here/env.sh" go vet ./...

export PROCGUARD=${PROCGUARD:-$PWD/procguard}
"$here/env.sh" go test -race -timeout "${TEST_TIMEOUT:-15m}" -json "$@" |
	"$here/env.sh" go run ./build/testsum ${CI:+-strict}
