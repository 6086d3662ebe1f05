# Bare `make` lists the targets. Everything here also works as plain go commands.
SHELL := /bin/bash
.DEFAULT_GOAL := help

export GOTOOLCHAIN := local

ARGS     ?=
FUZZTIME ?= 30
RECORDS ?= 1000000
PEOPLE  ?= 1000000
# Half of a package's time is waiting for elections, disks and browsers: three at a
# time, and the race detector beside them, fill two cores. Set P for a bigger machine.
P        ?= 3
GOTEST   := go test -p $(P) -timeout 20m
# The longest first: one that started last would run alone at the end.
LONGEST  := ./cmd/akashi ./api/web ./api/oauth ./node ./node/custody
PACKAGES  = $(LONGEST) $$(go list ./... | grep -vxF "$$(go list $(LONGEST))")
# Go keeps the result of a package of which nothing changed. CI runs all of them anew,
# each time in another order; make test ANEW=-count=1 does here.
ANEW     ?= $(if $(filter true,$(CI)),-count=1 -shuffle=on)
# With the race detector only in make race: what one goroutine works through, byte by
# byte or case by case. All of it runs without the detector in make test.
ALONE    := ^Test(Mangle|WritesAreBounded|ChangedBatch|ChainRefusals|Committed|Incomplete|CompleteIff|Slip$$|DamagedFile|OpenExact|Limits$$)
# Tests write here what this machine did not permit (internal/machine).
LEFT_OUT := $(CURDIR)/build/left-out
test sim: export AKASHI_LEFT_OUT := $(LEFT_OUT)

.PHONY: help go-version race-ready setup build run format vet test check race fuzz bench ui sim clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

go-version:
	@.ci/go-version

race-ready:
	@command -v "$$(go env CC)" >/dev/null || { echo "Go's race detector needs a C compiler, and $$(go env CC) was not found (the binary itself needs none)." >&2; exit 1; }

setup: go-version race-ready
	@go mod download
	@go -C simulations/tools mod download
	@go -C docs/examples/company-app mod download

build: go-version ## build bin/akashi, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/akashi ./cmd/akashi

run: build ## build, then a consortium of four with its story (ARGS=--once ends by itself)
	bin/akashi demo $(ARGS)

format: go-version
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not gofmt'ed:"; echo "$$bad"; exit 1; fi

vet: go-version
	go vet ./...

test: setup format vet ## everything that a change must pass (CI=true also fuzzes for 60 s)
	@mkdir -p build && rm -f $(LEFT_OUT)
	@$(MAKE) --no-print-directory -j2 test-plain test-race
	@if [ "$$CI" = true ]; then .ci/fuzz total 60; fi
	@.ci/left-out $(LEFT_OUT)

.PHONY: test-plain test-race
test-plain:
	$(GOTEST) $(ANEW) $(PACKAGES)

test-race: race-ready
	CGO_ENABLED=1 go test -p 1 -timeout 20m -race -short $(ANEW) -skip '$(ALONE)' ./crypto/... ./ledger/...
	CGO_ENABLED=1 go test -p 1 -timeout 20m -race -short $(ANEW) -run '^TestCluster' ./node/replica

check: format vet ## the fast part of test, for every save
	$(GOTEST) -short $(PACKAGES)

race: go-version race-ready ## race detector over crypto, ledger and one cluster in a process
	CGO_ENABLED=1 $(GOTEST) -race ./crypto/... ./ledger/...
	CGO_ENABLED=1 $(GOTEST) -race -short -run '^TestCluster' ./node/...

fuzz: go-version ## every fuzz target for FUZZTIME (30) seconds
	.ci/fuzz each $(FUZZTIME)

bench: build ## micro-benchmarks, then the figures of docs/performance.md (RECORDS=1000000 PEOPLE=1000000)
	go test -run '^$$' -bench . -benchmem ./crypto/... ./ledger/...
	.ci/bench-vault $(PEOPLE)
	.ci/bench $(RECORDS)
	.ci/bench-trillian
	go test -count=1 -timeout 30m ./cmd/akashi -run TestBrowserPagesInTime -v -townsfolk 100000

ui: go-version ## every page in every language, width, scheme and state with axe-core; the pictures in docs/shots anew (6 minutes)
	go test -count=1 -p 1 -timeout 60m ./api/web ./api/oauth -run TestBrowser -ui -shots

sim: go-version ## long runs: 100 rounds of the kill loop, 250 of the vault's, 300 of erasures that race, the stories
	@mkdir -p build && rm -f $(LEFT_OUT)
	AKASHI_SIM=long go test -count=1 -timeout 60m $(ARGS) ./simulations/... ./cmd/akashi ./crypto/vault ./node ./node/custody -run 'Test(Kill|Everything|Sixty|Story|Replay|Stories|EraseRaces)'
	@.ci/left-out $(LEFT_OUT)

clean: ## remove what make has built
	rm -rf bin build
