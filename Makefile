# Each target is a part of what .ci/run runs: `make ci` is all of it. `make` prints this list.

.DEFAULT_GOAL := help
.PHONY: help quickstart test race lint format tidy examples modules snippets platforms mutate prove ci

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "%-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: ## run the main example: a hundred calls, one refresh
	go run ./_examples/quickstart

test: ## run every test that needs no service
	go test ./...

race: ## run the tests under the race detector, in random order
	bash .ci/run 'go test -race*'

lint: ## run go vet and the linters over every module
	bash .ci/run 'go vet*' '*golangci-lint'

format: ## check the format of every Go file (gofmt -s)
	bash .ci/run gofmt

tidy: ## check that go.mod and go.sum of every module are tidy
	bash .ci/run '*go mod tidy -diff'

examples: ## build, vet, test and run every example
	bash .ci/run 'examples: *' '_examples/*'

modules: ## test the nested modules
	bash .ci/run '*: go test ./...' '*: go test -race ./...' '*: go vet ./...'

snippets: ## compile every Go block of the documents
	bash .ci/run 'doc snippets'

platforms: ## build and vet for the other platforms
	bash .ci/run '*/*: go build' '*/*: go vet'

mutate: ## measure what the tests notice: make mutate FOLDER=interceptors/auth
	go -C tools run ./mutate $(FLAGS) ../$(FOLDER)

prove: ## prove by real processes that a shared session survives: minutes, and writes docs/sessions.md
	go test ./test/sessions -count=1 -timeout 60m -v -args -full

ci: ## run everything, as CI does
	bash .ci/run
