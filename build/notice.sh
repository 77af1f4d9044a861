#!/usr/bin/env bash
# Writes NOTICE: the licence of everything that is linked into the binary. The texts of Go modules are taken from the
# modules themselves, so a new dependency cannot be forgotten.
# notice.sh --check fails if NOTICE is not what it would write.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
cd "$here/.."

native() {
	cat <<-'TEXT'
		ProcGuard is licensed under the MIT License (see LICENSE). Its released binary is static and contains the software
		below. Nothing of it was changed, other than by the patches of the distribution whose packages were used.

		----------------------------------------------------------------------------------------------------------------
		ZeroMQ (libzmq), built from the distribution's source package `zeromq3`. https://zeromq.org
		Versions up to 4.3.4: GNU Lesser General Public License, version 3 or later, with this exception:
		    As a special exception, copyright holders give you permission to link this library with independent modules to
		    produce an executable, regardless of the license terms of these independent modules, and to copy and distribute
		    the resulting executable under terms of your choice, provided that you also meet, for each linked independent
		    module, the terms and conditions of the license of that module. An independent module is a module which is not
		    derived from or based on this library. If you modify this library, you must extend this exception to your
		    version of the library. Note: this exception relieves you of any obligations under sections 4 and 5 of this
		    license, and section 6 of the GNU General Public License.
		From 4.3.5 on: Mozilla Public License, version 2.0.
		Texts: https://www.gnu.org/licenses/lgpl-3.0.txt and https://www.mozilla.org/MPL/2.0/
		Source: the package `zeromq3` of the distribution, `apt-get source zeromq3`; build/libzmq.sh is how it is compiled.

		----------------------------------------------------------------------------------------------------------------
		libsodium. https://libsodium.org
		Copyright (c) 2013-2017 Frank Denis <j at pureftpd dot org>
		    Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby
		    granted, provided that the above copyright notice and this permission notice appear in all copies.
		    THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING
		    ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL,
		    DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR
		    PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION
		    WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.

		----------------------------------------------------------------------------------------------------------------
		GNU C Library (glibc). GNU Lesser General Public License, version 2.1 or later.
		https://www.gnu.org/licenses/old-licenses/lgpl-2.1.txt
		Source: the package `glibc` of the distribution. To use a changed glibc, build ProcGuard again with it: `make build`.

		GNU C++ library and libgcc (libstdc++, libgcc, libgcc_eh). GNU General Public License, version 3 or later, with the
		GCC Runtime Library Exception, version 3.1. https://www.gnu.org/licenses/gcc-exception-3.1.html
		Source: the package `gcc` of the distribution.
	TEXT
}

section() {
	printf '\n%s\n%s\n\n' "$(printf -- '-%.0s' {1..112})" "$1"
	shift
	cat "$@"
}

linked() {
	"$here/env.sh" go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./init | sort -u
}

write() {
	local path dir f
	native
	section "The Go programming language and its standard library. https://go.dev" "$here/go-license.txt"
	linked | while read -r path dir; do
		section "$path" "$(find "$dir" -maxdepth 1 -iname 'LICEN[SC]E*' -o -maxdepth 1 -iname 'COPYING*' | sort | head -1)"
		for f in "$dir"/NOTICE*; do
			[ ! -e "$f" ] || { echo && cat "$f"; }
		done
	done
}

new=$(mktemp)
trap 'rm -f "$new"' EXIT
write | tr -d '\r' | sed -E 's/[ \t]+$//' >"$new"
if [ "${1:-}" = --check ]; then
	cmp -s "$new" NOTICE || die "accept NOTICE: what is linked has changed" "build/notice.sh"
else
	install -m 644 "$new" NOTICE
fi
