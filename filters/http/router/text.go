package router

import (
	"iter"
	"strconv"
	"strings"
)

// splitList ranges over the elements of a comma-separated list that are not empty.
func splitList(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.Trim(part, " \t"); part != "" && !yield(part) {
				return
			}
		}
	}
}

func lower(s string) string { return strings.ToLower(s) }

// validEnvoyHeader tells whether an x-envoy-* header has a value that means something.
func validEnvoyHeader(name, v string) bool {
	switch name {
	case "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-max-retries":
		_, err := strconv.ParseUint(v, 10, 64)
		return err == nil
	case "x-envoy-retry-on":
		return validRetryOn(v, false)
	case "x-envoy-retry-grpc-on":
		return validRetryOn(v, true)
	}
	return true
}
