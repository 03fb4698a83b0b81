package hcm

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// isUpgrade tells whether a message asks for an upgrade (RFC 9110 section 7.8).
func isUpgrade(h *header.Map) bool {
	return h.Has(header.Upgrade) && h.Has(header.Connection) && hasToken(h.Value(header.Connection), "upgrade")
}

// upgradeAllowed finds out whether an upgrade or CONNECT is wanted, and refuses one that the route and
// the connection manager do not allow.
func (m *manager) upgradeAllowed(s *filter.Stream) filter.Status {
	h := &s.Request.Map
	kind := ""
	switch {
	case isUpgrade(h):
		kind = strings.ToLower(h.Value(header.Upgrade))
	case h.Method == "CONNECT":
		kind = "connect"
	default:
		return filter.Continue
	}
	allowed, known := m.c.upgrades[kind]
	if s.Route != nil {
		if on, ok := s.Route.UpgradeEnabled(kind); ok {
			allowed, known = on, true
		}
	}
	if known && allowed {
		s.Upgrade = kind
		return filter.Continue
	}
	if kind == "connect" && s.Route == nil {
		return filter.Continue // no route: 404, as any other
	}
	m.stats.RqWSOnNonWSRoute.Inc(s.Worker)
	return m.reject(s, 403, "", streaminfo.DetailUpgradeFailed, "upgrade "+kind+" is not allowed")
}

// codecType is what a connection speaks.
type codecType uint8

const (
	codecNone codecType = iota
	codecHTTP1
	codecHTTP2
)

var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// codec finds out what the connection speaks: what the configuration or ALPN says, else whether it
// begins with the HTTP/2 preface (RFC 9113 section 3.4).
func (m *manager) codec(c *network.Conn) codecType {
	if m.c.codec != codecNone {
		return m.c.codec
	}
	if t := c.Info.TLS; t != nil && t.ALPN != "" {
		if t.ALPN == "h2" || strings.HasSuffix(t.ALPN, "-h2") {
			return codecHTTP2
		}
		return codecHTTP1
	}
	_ = c.SetReadDeadline(m.c.firstByteDeadline())
	for n := 1; ; n++ {
		b, err := c.Peek(n)
		if len(b) == 0 && err != nil {
			m.stats.CxDestroyRemote.Inc(c.Worker)
			return codecNone
		}
		k := min(len(b), len(preface))
		if !bytes.Equal(b[:k], preface[:k]) {
			return codecHTTP1
		}
		if k == len(preface) {
			return codecHTTP2
		}
		if err != nil {
			return codecHTTP1
		}
		n = len(b)
	}
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }
