# pillion. The two commands that a newcomer needs are `make demo` and `make test`.
GO      ?= go
BIN     := bin/pillion
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
export GOFLAGS ?= -mod=mod
export CGO_ENABLED ?= 0

.PHONY: all build demo test test-all check bench clean

all: build

build: $(BIN)

$(BIN): $(shell find cmd dataplane xds filters examples -name '*.go' 2>/dev/null) go.mod
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/pillion

# bookinfo through pillion's sidecars, driven by the bundled control plane.
demo: build
	$(BIN) demo $(DEMO)

# Everything that Go alone can run.
test: build
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race ./... || (echo 'no C compiler? trying without the race detector'; $(GO) test ./...)
	$(BIN) demo --once

# What needs more: real Envoy, istiod, pilot-agent, iptables, h2spec, a browser, Prometheus.
test-all: build
	hack/test-all.sh

check:
	test -z "$$(gofmt -l cmd dataplane xds filters examples hack)"
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race ./...

# The comparison with Envoy, where it is installed: one table.
bench: build
	hack/bench/bench.sh

clean:
	rm -rf bin
