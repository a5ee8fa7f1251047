# hull's targets. `make help` lists them.

GO       ?= go
BIN      := bin
HULL     := $(BIN)/hull
TOOLS    := $(CURDIR)/$(BIN)/tools
LINT_VERSION   := v2.15.0
FUMPT_VERSION  := v0.12.0
TESTSUM_VERSION := v1.13.0
VULN_VERSION   := v1.9.0

export CGO_ENABLED := 0

.PHONY: build test test-vm test-vm-all race bench lint vuln isolation generate install demo check help FORCE
.DEFAULT_GOAL := help

help: ## print what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(HULL) ## build bin/hull, one static binary

# -E: an exec begins before Go's runtime does (package cmd/hull/early). Without it all works, and an exec takes longer.
$(HULL): FORCE
	$(GO) build -trimpath -ldflags '-s -w -E hull/cmd/hull/early.entry' -o $@ ./cmd/hull

# A test that fails is tried twice more, and reported as flaky if it then
# passes: that is to be mended, but does not stop others' work.
test: build $(TOOLS)/gotestsum-$(TESTSUM_VERSION) ## every test: units, and scripts on a real mount (as root)
	$(TOOLS)/gotestsum-$(TESTSUM_VERSION) --format pkgname-and-test-fails --rerun-fails=2 --rerun-fails-max-failures=8 --packages ./... -- -timeout 30m -p 2

race: ## every test under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 60m -p 1 ./...

bench: build ## time hull beside docker, podman, skopeo with umoci, crun, runc and curl (BENCH="-quick -rows pull" chooses)
	$(GO) run ./tests/bench -hull $(HULL) $(BENCH)

test-vm: ## a chosen part of the tests on Debian's 6.1 kernel with cgroup version 2, in qemu (as root)
	tests/vm/run $(BIN)/vm

test-vm-all: ## nearly all of them there: to run at night
	HULL_VM_LIMIT=14400 tests/vm/run $(BIN)/vm tests/vm/suites-all

demo: build ## go through a whole session on a registry made on the spot (as root)
	$(GO) run ./tests/demo -hull $(HULL)

isolation: ## print what containers of hull (at HULL=/hull), docker and podman are isolated from, side by side (IMAGE=debian:12)
	@sh tests/isolation.sh $(IMAGE)

generate: ## write fs/TREE.md again from the table of the tree
	$(GO) generate ./...

PREFIX   ?= /usr/local
SBINDIR  ?= /sbin
UNITDIR  ?= $(PREFIX)/lib/systemd/system

install: build ## put hull, its man pages, its unit and mount(8)'s link below $(DESTDIR); PREFIX is /usr/local
	install -D -m 0755 $(HULL) $(DESTDIR)$(PREFIX)/bin/hull
	mkdir -p $(DESTDIR)$(PREFIX)/share/man $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SBINDIR)
	$(HULL) man $(DESTDIR)$(PREFIX)/share/man
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|' packaging/systemd/hull.service > $(DESTDIR)$(UNITDIR)/hull.service
	ln -sf $(PREFIX)/bin/hull $(DESTDIR)$(SBINDIR)/mount.fuse.hull

$(TOOLS)/golangci-lint-$(LINT_VERSION):
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(TOOLS)/gofumpt-$(FUMPT_VERSION):
	GOBIN=$(TOOLS) $(GO) install mvdan.cc/gofumpt@$(FUMPT_VERSION)
	mv $(TOOLS)/gofumpt $@

$(TOOLS)/gotestsum-$(TESTSUM_VERSION):
	GOBIN=$(TOOLS) $(GO) install gotest.tools/gotestsum@$(TESTSUM_VERSION)
	mv $(TOOLS)/gotestsum $@

$(TOOLS)/govulncheck-$(VULN_VERSION):
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	mv $(TOOLS)/govulncheck $@

lint: $(TOOLS)/golangci-lint-$(LINT_VERSION) $(TOOLS)/gofumpt-$(FUMPT_VERSION) ## formatting, vet, staticcheck and the rules of .golangci.yml
	@out=$$($(TOOLS)/gofumpt-$(FUMPT_VERSION) -l cmd fs engine layers tests); \
	if [ -n "$$out" ]; then echo "not formatted by gofumpt:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(TOOLS)/golangci-lint-$(LINT_VERSION) run --allow-parallel-runners ./...
	$(GO) mod tidy -diff

vuln: $(TOOLS)/govulncheck-$(VULN_VERSION) ## known vulnerabilities of what hull calls
	sh tests/vuln.sh $(TOOLS)/govulncheck-$(VULN_VERSION)

check: build lint vuln demo test ## everything that decides whether a change lands
