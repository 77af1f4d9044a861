#!/usr/bin/env bash
# image.sh [NAME]: builds the Dockerfile, tags NAME:VERSION and NAME:latest, and runs the result once.
#
# BUILD_IMAGE names the builder image; `local` makes one here without a registry. By default it is the Dockerfile's
# own where docker has it or can pull it, and else `local`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
cd "$here/.."
name=${1:-procguard}
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
commit=${COMMIT:-$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)}

public() { sed -n 's/^ARG BUILD_IMAGE=//p' Dockerfile; }

builder() {
	local wanted=${BUILD_IMAGE:-}
	if [ -z "$wanted" ]; then
		wanted=$(public)
		docker image inspect "$wanted" >/dev/null 2>&1 || quietly timeout 600 docker pull "$wanted" 2>/dev/null || wanted=local
	fi
	if [ "$wanted" = local ]; then "$here/buildimage.sh"; else printf '%s\n' "$wanted"; fi
}

builder=$(builder)
say "building $name:$version in $builder"
# The classic builder is part of every engine; the Dockerfile asks for nothing that only BuildKit has.
quietly docker build --network host --build-arg "BUILD_IMAGE=$builder" --build-arg "VERSION=$version" \
	--build-arg "COMMIT=$commit" -t "$name:$version" -t "$name:latest" . || die "build the image"
docker run --rm "$name:$version" version
docker image inspect -f "$name:$version {{.Size}} bytes" "$name:$version"
