package route

import "github.com/pillion-proxy/pillion/dataplane/header"

// isJoined tells the headers of which Envoy holds one value only: adding to one that is there makes
// "old,new" of it, where other headers get a line more. Seen by adding each to itself in Envoy 1.40; most
// of them are well known to header.
func isJoined(name string, request bool) bool {
	id := header.IDOf(name)
	if !request {
		return id.InlineResponse() || name == "proxy-status" || name == "access-control-allow-private-network"
	}
	switch name {
	case "access-control-request-private-network", "content-encoding", "if-modified-since", "if-unmodified-since", "proxy-status",
		"x-envoy-is-timeout-retry", "x-envoy-original-url", "x-envoy-upstream-stream-duration-ms":
		return true
	}
	return id.InlineRequest()
}
