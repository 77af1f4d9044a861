# ProcGuard. `make` alone lists the targets.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
export PROCGUARD ?= $(CURDIR)/procguard
IMAGE ?= procguard

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the static binary ./procguard (ZeroMQ and CURVE inside)
	@build/binary.sh procguard

.PHONY: test
test: build ## gofmt, vet and all tests under the race detector; names what was skipped
	@build/setup.sh python jq tools peers zmq-python
	@build/test.sh

.PHONY: cover
cover: build ## statement coverage of the whole tree, per function, in cover.out
	@build/env.sh go test -coverpkg=./... -coverprofile=cover.out ./...
	@build/env.sh go tool cover -func=cover.out | tail -1

.PHONY: demo
demo: build ## kill a worker and watch the group come back (30 seconds)
	@build/setup.sh python
	@examples/quickstart/run.sh

.PHONY: demo-torch
demo-torch: build ## kill a rank of a real DDP training and watch it resume from its checkpoint
	@build/setup.sh torch
	@examples/torch-ddp/run.sh

.PHONY: bench
bench: build ## detection, recovery, starts and storms, beside the bare cost and the other inits
	@build/env.sh go run ./supervise/bench

.PHONY: lint
lint: ## gofmt, vet and staticcheck over every build of the code
	@build/lint.sh

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (20s)
	@build/fuzz.sh

.PHONY: sim
sim: ## the seeded simulation; SEEDS=n for more worlds, SEED=n to replay one
	@build/env.sh go test ./supervise/sim -run TestSeeds -count=1 -v -timeout 60m

.PHONY: image
image: ## the container image (BUILD_IMAGE=... for another builder), run once
	@build/setup.sh docker
	@build/image.sh $(IMAGE)

.PHONY: e2e
e2e: build ## tests in real containers, with ProcGuard as PID 1
	@build/setup.sh root docker podman
	@build/baseimage.sh debian:bookworm
	@TAGS=e2e build/test.sh -count=1 ./init/e2e/...

.PHONY: conformance
conformance: $(if $(INIT),,build) ## what an init does, as a table: ProcGuard and its peers, or INIT=/path (FORMAT=markdown, UPDATE=file)
	@build/setup.sh root $(if $(INIT),,peers)
	@build/env.sh env CGO_ENABLED=0 go run ./init/conformance -format $(or $(FORMAT),text) -update '$(UPDATE)'

.PHONY: clean
clean: ## remove what the other targets made, except the caches
	rm -rf procguard cover.out
