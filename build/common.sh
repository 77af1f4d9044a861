# Sourced by the other scripts: where the caches are, and how to get what is missing.

PROCGUARD_CACHE=${PROCGUARD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/procguard}

say() { printf 'procguard: %s\n' "$*" >&2; }

die() {
	printf 'procguard: cannot %s\n' "$1" >&2
	shift
	for hint; do printf 'hint: %s\n' "$hint" >&2; done
	exit 1
}

# quietly runs a command and shows what it printed only if it fails.
quietly() {
	local log
	log=$(mktemp)
	if ! "$@" >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'; }

# need_packages installs the Debian packages that are missing. It touches neither the network nor the package
# database when all are there, so that a repeated build costs nothing.
need_packages() {
	local p
	local -a missing=()
	command -v dpkg-query >/dev/null || die "install $*: this is not a Debian or Ubuntu system" \
		"install the equivalents of: $*"
	for p; do installed "$p" || missing+=("$p"); done
	[ ${#missing[@]} -eq 0 ] && return
	[ "$(id -u)" = 0 ] || die "install packages without root" "sudo apt-get install ${missing[*]}"
	say "installing ${missing[*]}"
	quietly apt-get -o DPkg::Lock::Timeout=600 -qq update || die "refresh the package lists"
	# A cached list can name a version that the mirror has just replaced: the update above is what avoids it.
	DEBIAN_FRONTEND=noninteractive quietly apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
		-qq install -y --no-install-recommends "${missing[@]}" || die "install ${missing[*]}"
}

# locked NAME CMD...: one at a time, for parallel makes that want the same cache entry.
locked() {
	local name=$1
	shift
	mkdir -p "$PROCGUARD_CACHE"
	(
		flock 9
		"$@"
	) 9>"$PROCGUARD_CACHE/$name.lock"
}
