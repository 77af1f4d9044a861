#!/usr/bin/env bash
# setup.sh NEED...: makes sure that what a target needs is there: python, jq, tools, torch, docker, podman, peers,
# zmq-python or root.
# Packages are installed where that is possible. What is still missing ends the target with a hint, unless only some
# tests need it: those are skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

need_jq() { command -v jq >/dev/null || need_packages jq; }

need_python() { command -v python3 >/dev/null || need_packages python3; }

# What the tests look at processes with.
need_tools() {
	local missing=()
	command -v ps >/dev/null || missing+=(procps)
	command -v strace >/dev/null || missing+=(strace)
	command -v unshare >/dev/null || missing+=(util-linux)
	[ ${#missing[@]} -eq 0 ] && return
	if [ "$(id -u)" = 0 ]; then
		need_packages "${missing[@]}"
	else
		say "without root ${missing[*]} cannot be installed: the tests that need them are skipped"
	fi
}

# The distribution's torch is a CPU build, which is all that the example needs. Any other one does as well, so it is
# imported (seconds) only where the package is not there to vouch for it.
need_torch() {
	if installed python3-torch && installed python3-sklearn; then return; fi
	if "${PYTHON:-python3}" -c 'import torch, sklearn' 2>/dev/null; then return; fi
	need_packages python3 python3-torch python3-sklearn
}

# For examples/zmq-python. Without it its test is skipped.
need_zmq-python() {
	local p
	for p in "${PYTHON:-python3}" /usr/bin/python3; do
		if "$p" -c 'import zmq' 2>/dev/null; then return; fi
	done
	if [ "$(id -u)" = 0 ] && command -v dpkg-query >/dev/null; then
		need_packages python3 python3-zmq
	else
		say "pyzmq cannot be installed here: the test that needs it is skipped"
	fi
}

need_docker() {
	command -v docker >/dev/null || die "find docker" "https://docs.docker.com/engine/install/"
	docker info >/dev/null 2>&1 || die "reach the docker engine" "is it running, and may $(id -un) use it?"
}

# Only some tests of the containers want it, and say so where it is not.
need_podman() {
	if ! command -v podman >/dev/null; then
		if ! command -v dpkg-query >/dev/null; then
			say "podman cannot be installed on this system: its tests are skipped"
			return
		fi
		need_packages podman
	fi
	# It is happy with the one that docker brings.
	command -v crun >/dev/null || command -v runc >/dev/null || need_packages crun
}

# The inits of the distribution that ProcGuard is compared with. Any that is missing has no column.
need_peers() {
	if command -v tini >/dev/null && command -v dumb-init >/dev/null && command -v catatonit >/dev/null; then return; fi
	if [ "$(id -u)" = 0 ] && command -v dpkg-query >/dev/null; then
		need_packages tini dumb-init catatonit
	else
		say "tini, dumb-init and catatonit cannot be installed here: those that are missing are left out"
	fi
}

need_root() { [ "$(id -u)" = 0 ] || die "go on without root" "sudo make ..."; }

for need; do
	declare -F "need_$need" >/dev/null || die "set up '$need'" "one of: python jq tools torch docker podman peers zmq-python root"
	"need_$need"
done
