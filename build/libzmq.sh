#!/usr/bin/env bash
# Builds a static libzmq with CURVE and prints the directory it was installed in.
#
# Debian's own libzmq.a cannot be linked statically: it wants gssapi, which has no static library. So its source
# package is compiled here with libsodium on and pgm, norm and gssapi off, once, and kept in the cache. The entry's
# name covers this script, the distribution, the machine and the compiler; delete it to pick up a newer source.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

# What linking with the result takes, and what making it takes beside that.
packages=(gcc g++ pkg-config)
build_packages=(ca-certificates make libsodium-dev dpkg-dev autoconf automake libtool xz-utils)

cache_key() {
	{
		cat "$here/libzmq.sh"
		grep -E '^(ID|VERSION_ID)=' /etc/os-release
		uname -m
		g++ -dumpfullversion
	} | sha256sum | cut -c1-16
}

# write_source_list turns each configured binary archive into its deb-src twin, in a list of our own: the system's
# lists stay as they are.
write_source_list() {
	apt-get indextargets --format '[$(SIGNED_BY)] $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		sed -E 's/^\[\$\(SIGNED_BY\)\] //; s/^\[(.+)\] /[signed-by=\1] /; s/^/deb-src /' |
		sort -u >"$1"
	[ -s "$1" ] || die "find an apt archive to take libzmq's source from"
}

fetch_source() {
	local dir=$1
	mkdir -p "$dir/lists/partial"
	write_source_list "$dir/sources.list"
	local -a apt=(apt-get -qq -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$dir/lists" -o APT::Sandbox::User=root -o Acquire::Retries=3)
	"${apt[@]}" update && (cd "$dir" && "${apt[@]}" source zeromq3)
}

# The steps are chained because bash ignores errexit in whatever runs under `||` or `if`.
compile() {
	local src=$1 prefix=$2
	# -Os costs nothing measurable here: the bus carries commands and heartbeats, and sodium is already compiled.
	local flags='-Os -ffunction-sections -fdata-sections'
	cd "$src" &&
		./autogen.sh &&
		./configure --prefix="$prefix" --disable-shared --enable-static --with-libsodium --without-pgm --without-norm \
			--without-libgssapi_krb5 --without-docs --disable-Werror --disable-perf --disable-curve-keygen \
			--disable-libbsd --disable-libunwind CFLAGS="$flags" CXXFLAGS="$flags" &&
		grep -q '^#define ZMQ_HAVE_CURVE 1' src/platform.hpp &&
		make -j"$(nproc)" src/libzmq.la &&
		make install-libLTLIBRARIES install-includeHEADERS install-pkgconfigDATA
}

# finish makes the prefix complete in itself, and movable: libsodium.a lies beside libzmq.a, where the linker looks
# first, and the .pc file names the private libraries too, because cgo never passes --static to pkg-config.
finish() {
	local built=$1
	cp "$(gcc -print-file-name=libsodium.a)" "$built/lib/"
	rm -f "$built/lib/"*.la
	sed -i -E -e 's|^prefix=.*|prefix=${pcfiledir}/../..|' -e 's/^(Requires|Libs).private:.*//' \
		-e 's|^Libs:.*|Libs: -L${libdir} -lzmq -lsodium -lstdc++ -lm -lpthread|' "$built/lib/pkgconfig/libzmq.pc"
}

build() {
	local prefix=$1
	[ ! -e "$prefix" ] || return 0
	need_packages "${build_packages[@]}"
	work=$(mktemp -d "$PROCGUARD_CACHE/libzmq-build.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	say "compiling libzmq (once; kept in $prefix)"
	quietly fetch_source "$work" || die "fetch libzmq's source package" "is there a deb-src archive at your apt mirror?"
	quietly compile "$(echo "$work"/zeromq3-*/)" "$work/prefix" || die "compile libzmq"
	finish "$work/prefix"
	# A rename is atomic: an interrupted build leaves nothing behind that looks finished.
	mv -T "$work/prefix" "$prefix"
}

need_packages "${packages[@]}"
prefix=$PROCGUARD_CACHE/libzmq-$(cache_key)
[ -e "$prefix" ] || locked libzmq build "$prefix"
printf '%s\n' "$prefix"
