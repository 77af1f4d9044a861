#!/usr/bin/env bash
# Builds the release binary: static, stripped, with ZeroMQ and CURVE, version and commit stamped in.
# Usage: binary.sh [OUTPUT]. VERSION and COMMIT override what git says (an image build has no .git).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
cd "$here/.."
out=${1:-procguard}

version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
commit=${COMMIT:-$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)}

# The linker warns that getaddrinfo may want NSS modules at run time. glibc has the files and dns sources built in
# since 2.34, and nothing else is asked of it, so the warning is shown only when the build fails.
quietly "$here/env.sh" go build -trimpath -o "$out" -ldflags "-s -w -X github.com/procguard/procguard/init/plain.Version=$version -X main.commit=$commit \
-linkmode external -extldflags '-static -Wl,--gc-sections'" ./init || die "build $out"

say "built $out $version ($(du -k "$out" | cut -f1) KiB)"
