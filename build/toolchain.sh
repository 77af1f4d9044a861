# Sourced: makes `go` in PATH one that can build this module, as go.mod's go line asks.
#
# A Go of 1.21 or later fetches the toolchain it needs by itself (GOTOOLCHAIN=auto). Debian 12 and Ubuntu 22.04 ship an
# older one, which cannot; but toolchains are published as modules, so it can download one, checked against Go's
# checksum database as every module is.

go_wanted() { sed -n 's/^go //p' "$1/go.mod"; }

# older A B: version A is lower than version B.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1)" = "$1" ]; }

go_version() { GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed -E 's/^go//; s/[^0-9.].*//'; }

# download_toolchain prints the GOROOT of Go version $1, fetched by the old Go at hand.
download_toolchain() {
	local arch root
	arch=$(go env GOOS)-$(go env GOARCH)
	(cd / && GO111MODULE=on GOFLAGS= quietly go mod download "golang.org/toolchain@v0.0.1-go$1.$arch") || return 1
	root=$(go env GOMODCACHE)/golang.org/toolchain@v0.0.1-go$1.$arch
	# Module archives carry no mode bits, and an old Go does not know that this one needs them.
	chmod +x "$root"/bin/* "$root"/pkg/tool/*/*
	printf '%s\n' "$root"
}

need_go() {
	local wanted have root
	wanted=$(go_wanted "$1")
	command -v go >/dev/null || [ ! -x /usr/local/go/bin/go ] || PATH=$PATH:/usr/local/go/bin
	command -v go >/dev/null || {
		[ "$(id -u)" = 0 ] || die "find go" "install Go $wanted or later: https://go.dev/doc/install" \
			"or the distribution's: sudo apt-get install golang-go (it fetches the right one from then on)"
		need_packages golang-go ca-certificates
	}
	have=$(go_version)
	older "$have" "$wanted" || return 0
	if older "$have" 1.21; then
		root=$(download_toolchain "$wanted") || die "use Go $have or fetch Go $wanted" \
			"install Go $wanted or later: https://go.dev/doc/install"
		PATH=$root/bin:$PATH
	else
		export GOTOOLCHAIN=auto
	fi
}
