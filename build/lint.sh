#!/usr/bin/env bash
# gofmt, vet and staticcheck, over every build of the code: with ZeroMQ, with the container tests, and without cgo;
# and NOTICE, over what is linked.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
cd "$here/.."

for script in build/*.sh .ci/run; do bash -n "$script"; done

unformatted=$("$here/env.sh" gofmt -l .)
[ -z "$unformatted" ] || die "accept the format of: ${unformatted//$'\n'/ }" "gofmt -w ."

TAGS=e2e "$here/env.sh" go vet ./...
TAGS=e2e "$here/env.sh" go tool staticcheck ./...
# shellcheck source=toolchain.sh
. "$here/toolchain.sh"
need_go .
CGO_ENABLED=0 go vet ./...
build/notice.sh --check
say "lint passed"
