#!/usr/bin/env bash
# Fails unless the binary is what is promised: static, at most 16 MiB, and able to say its version.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
binary=${1:-procguard}
limit=$((16 * 1024 * 1024))

need_packages file
file -b "$binary" | grep -q 'statically linked' || die "accept $binary" "$(file -b "$binary")"
size=$(stat -c %s "$binary")
[ "$size" -le "$limit" ] || die "accept $binary: $size bytes" "the limit is $limit"
grep -aq CurveZMQ "$binary" || die "accept $binary" "libzmq was linked without CURVE"
# An empty root proves what file(1) only says: nothing outside the binary is needed to run it.
if [ "$(id -u)" = 0 ]; then
	root=$(mktemp -d)
	trap 'rm -rf "$root"' EXIT
	cp "$binary" "$root/procguard"
	chroot "$root" /procguard version
else
	"$(realpath "$binary")" version
fi
printf '%s: static, %d bytes of at most %d\n' "$binary" "$size" "$limit"
