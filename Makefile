# Everything a developer runs. `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh
JEST := NODE_OPTIONS="--experimental-vm-modules --disable-warning=ExperimentalWarning" node_modules/.bin/jest

.PHONY: help build check test test-faults soak fuzz demo bench docs format clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

node_modules/.package-lock.json: package.json package-lock.json packages/*/package.json test/package.json
	npm ci --no-fund --no-audit --loglevel=error
	@touch $@

build: node_modules/.package-lock.json ## Generate the gRPC code and compile everything
	@npm run --silent build

check: build ## Format, lint, types and protos
	node_modules/.bin/prettier --check --log-level=warn .
	node_modules/.bin/oxlint --type-aware --deny-warnings
	node_modules/.bin/buf lint proto
	node_modules/.bin/buf breaking proto --against proto/released/v0.1.binpb
	node scripts/reasons.mjs --check

test: check ## Run every check and every test; those that time real processes have the machine to themselves
	$(JEST) --maxWorkers=2 --testPathIgnorePatterns /dist/ /test/e2e/ /test/faults/
	@rm -f test/faults/report.json
	$(JEST) --runInBand test/e2e test/faults; status=$$?; node test/dist/faults/totals.js; exit $$status

test-faults: build ## Run the fault suite alone: real processes that are killed, cut off, cloned and restored
	@rm -f test/faults/report.json
	MUSTER_FAULT_AGENTS=1000 $(JEST) --runInBand test/faults; status=$$?; node test/dist/faults/totals.js; exit $$status

soak: build ## Inject faults at random for MINUTES=10, in an order that SEED=... decides
	@node test/dist/faults/soak.js $(or $(MINUTES),10) $(SEED)

fuzz: build ## Fuzz all that reads what others send, TIME=30 seconds each, in an order that SEED=... decides (ONLY=target,target or a file)
	@node test/dist/fuzz/main.js $(or $(TIME),30) "$(SEED)" "$(ONLY)"

demo: build ## Run the main job with real processes: three sites, their proofs, jobs admitted and taken back
	@node test/dist/demo/main.js

bench: build ## Measure against yardsticks (QUICK=1 for two minutes, ONLY=case,case for some)
	@node test/dist/bench/main.js

docs: build ## Print the pages that are made from the code
	node scripts/reasons.mjs

format: node_modules/.package-lock.json ## Format the sources
	node_modules/.bin/prettier --write --log-level=warn .

clean: ## Remove what was built
	rm -rf packages/*/dist packages/shared/src/gen test/dist coverage
