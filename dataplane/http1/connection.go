package http1

import (
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

const (
	maxNominated = 10
	maxTE        = 256
)

// sanitizeConnection removes the headers that Connection nominates, as RFC 9110 section 7.6.1 asks of a
// proxy, and their names from it. It reports false for a request that uses this to hide who it is from:
// nominating X-Forwarded-*, pseudo headers, or too many (Envoy's rule).
func sanitizeConnection(h *header.Map) bool {
	value := h.Value(header.Connection)
	switch value {
	case "keep-alive", "Keep-Alive", "close", "Upgrade", "upgrade":
		return true
	}
	ok, n := true, 0
	kept := ""
	eachToken(value, func(token string) bool {
		n++
		name := strings.ToLower(token)
		switch name {
		case "":
			return true
		case "close", "keep-alive", "upgrade", "http2-settings":
		case "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto":
			ok = false
		default:
			if strings.Contains(name, ":") {
				ok = false
			}
			keep := false
			if name == "te" {
				keep, ok = sanitizeTE(h, ok)
			}
			if ok && !keep && name != "connection" && name != "host" {
				h.Del(name)
			}
			return ok
		}
		if kept != "" {
			kept += ","
		}
		kept += token
		return ok
	})
	if !ok || n >= maxNominated {
		return false
	}
	if kept == "" {
		h.DelID(header.Connection)
	} else if kept != value {
		h.SetID(header.Connection, kept)
	}
	return true
}

// sanitizeTE reduces a nominated TE to trailers; ok is false for an oversized one.
func sanitizeTE(h *header.Map, ok bool) (keep, still bool) {
	te, there := h.Lookup(header.TE)
	if !there {
		return false, ok
	}
	if len(te) >= maxTE {
		return false, false
	}
	if hasToken(te, "trailers") {
		h.SetID(header.TE, "trailers")
		return true, ok
	}
	return false, ok
}
