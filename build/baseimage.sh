#!/usr/bin/env bash
# Makes a minimal Debian with debootstrap, once, without a registry; its tarball stays in the cache.
# baseimage.sh [NAME]: makes sure that docker has the image debian:bookworm.
# baseimage.sh --tarball: prints where the tarball is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
image=debian:bookworm
[ "${1:---tarball}" = --tarball ] || image=$1
suite=${image#*:}
tarball=$PROCGUARD_CACHE/debian-$suite.tar

# mirror is this machine's own if it runs Debian, because it is the one known to be reachable.
mirror() {
	local found
	found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | head -1)
	printf '%s\n' "${found:-http://deb.debian.org/debian}"
}

bootstrap() {
	[ ! -e "$tarball" ] || return 0
	root=$(mktemp -d "$PROCGUARD_CACHE/debootstrap.XXXXXX")
	trap 'rm -rf "$root"' EXIT
	say "making $image with debootstrap (once; kept in $tarball)"
	quietly debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$(mirror)" ||
		die "bootstrap Debian $suite"
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/cache/debootstrap
	tar -C "$root" --one-file-system -cf "$tarball.new" .
	mv "$tarball.new" "$tarball"
}

need_tarball() {
	[ ! -e "$tarball" ] || return 0
	[ "$(id -u)" = 0 ] || die "make $image without root" "docker pull $image"
	need_packages debootstrap
	locked baseimage bootstrap
}

if [ "${1:-}" = --tarball ]; then
	need_tarball
	printf '%s\n' "$tarball"
elif ! docker image inspect "$image" >/dev/null 2>&1; then
	need_tarball
	quietly docker import --change 'CMD ["bash"]' "$tarball" "$image" || die "import $image"
fi
