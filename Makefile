# Athanor. `make help` lists the targets.

GO      ?= go
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: help build test race lint generate golden bench bench-cpu test-cuda bench-cuda clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## bin/engine
	CGO_ENABLED=0 $(GO) build -ldflags "-X main.version=$(VERSION)" -o bin/ ./engine

test: ## every test
	$(GO) test ./...

race: ## the language and the engine under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./dsl/... ./engine/...

lint: ## vet and the pinned linter
	$(GO) vet ./...
	$(GO) build -C .ci/lint -o ../../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...

generate: ## remake generated code
	$(GO) generate ./...

golden: ## rewrite the golden files of the tests from what the code does now; read the diff
	ATHANOR_GOLDEN=update $(GO) test ./dsl/... ./engine/... ./steps/page

bench: ## operators against the machine's limits; BENCHMARKS.md says how to read it
	$(GO) test -run '^$$' -bench . ./gpu/cpu ./steps/internal/bpe

bench-cpu: ## the CPU beside its peers; ATHANOR_PYTHON names an interpreter that has them, ARGS are options
	$(GO) run ./steps/internal/bench $(ARGS)

test-cuda: ## what must hold on a GPU; runs here, or on CUDA_HOST, which needs no Go
	gpu/cuda/ongpu/run.sh test

bench-cuda: ## a GPU beside PyTorch and transformers; as test-cuda, PYTHON names an interpreter there
	gpu/cuda/ongpu/run.sh bench

clean:
	rm -rf bin
