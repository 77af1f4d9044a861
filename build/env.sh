#!/usr/bin/env bash
# env.sh CMD...: runs CMD with everything a cgo build with ZeroMQ needs: a Go that is new enough, the static libzmq
# (built the first time), and the build tags. Tests, linters and the release build all go through it, so they all
# look at the same code.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"
. "$here/toolchain.sh"

need_go "$here/.."
prefix=$("$here/libzmq.sh")

export PATH CGO_ENABLED=1
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
# The .pc file says the same, but Go's build cache does not look at it: without these, a package compiled against an
# older libzmq would be linked again from the cache.
export CGO_CFLAGS="-O2 -g -I$prefix/include" CGO_LDFLAGS="-O2 -g -L$prefix/lib"
# netgo and osusergo: without them a static glibc would still look for shared NSS modules at run time.
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-tags=zmq,netgo,osusergo${TAGS:+,$TAGS}"
exec "$@"
