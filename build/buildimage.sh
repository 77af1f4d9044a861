#!/usr/bin/env bash
# Makes a builder image without a registry and prints its name: Debian with this machine's Go toolchain, the C++
# compiler, the modules already downloaded here, and the libzmq already compiled here. The Dockerfile runs the same
# steps in it as in the public golang image; it only finds more of them done.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
. "$here/toolchain.sh"
cd "$here/.."

need_go .
libzmq=$("$here/libzmq.sh")
goroot=$(go env GOROOT)
modules=$(go env GOMODCACHE)/cache/download
key=$(cat go.sum "$goroot/VERSION" "$here/buildimage.sh" "$here/libzmq.sh" <(basename "$libzmq") | sha256sum | cut -c1-16)
image=procguard-builder:$key

packages() { sed -nE 's/^packages=\((.*)\)$/\1/p' "$here/libzmq.sh"; }

# module_files lists what the download cache has of this module's dependencies; it is laid out as a proxy is. Resolving
# them takes the go.mod files of many more modules than are needed as archives.
module_files() {
	(cd "$modules" && find . -name '*.mod' -o -name '*.info')
	go list -m -f '{{if .Version}}{{.Path}} {{.Version}}{{end}}' all | while read -r path version; do
		path=$(sed -E 's/[A-Z]/!\L&/g' <<<"$path")
		(cd "$modules" && ls -d "$path/@v/$version".{zip,ziphash} 2>/dev/null) || true
	done
}

# fill_root installs into a plain directory, and no more than is needed: on some of docker's layered file systems each
# step walks the whole image, and what takes half a minute here takes minutes there.
fill_root() {
	local root=$1
	tar -x -C "$root" -f "$("$here/baseimage.sh" --tarball)" &&
		cp -L /etc/resolv.conf "$root/etc/resolv.conf" &&
		chroot "$root" apt-get -qq update &&
		DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -qq -o Dpkg::Options::=--force-unsafe-io install -y \
			--no-install-recommends ca-certificates $(packages) &&
		rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/{doc,man,locale} &&
		mkdir -p "$root"/usr/local/go "$root"/var/cache/{modules,procguard} &&
		tar -c -C "$goroot" --exclude=./test --exclude=./doc --exclude=./api --exclude=testdata --exclude='*_test.go' . |
			tar -x -C "$root/usr/local/go" &&
		go mod download &&
		module_files | (cd "$modules" && xargs cp --parents -t "$root/var/cache/modules") &&
		cp -a "$libzmq" "$root/var/cache/procguard/"
}

make_image() {
	root=$(mktemp -d "$PROCGUARD_CACHE/builder.XXXXXX")
	trap 'rm -rf "$root"' EXIT
	say "making the builder image $image"
	quietly fill_root "$root" || die "make $image"
	tar -c -C "$root" . | quietly docker import \
		--change 'ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
		--change "ENV GOPROXY=file:///var/cache/modules,$(go env GOPROXY)" - "$image" || die "import $image"
}

[ "$(id -u)" = 0 ] || die "make a builder image without root" "BUILD_IMAGE=$(sed -n 's/^ARG BUILD_IMAGE=//p' Dockerfile)"
docker image inspect "$image" >/dev/null 2>&1 || locked builder make_image
printf '%s\n' "$image"
