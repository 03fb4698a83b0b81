// Package tlsinspector is envoy.filters.listener.tls_inspector: it tells TLS from plaintext, and reads
// server name and ALPN from the ClientHello.
package tlsinspector

import (
	"strings"
	"sync"

	inspectorpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/transport/clienthello"
)

// Extension is the filter.
var Extension = filter.NewListener("envoy.filters.listener.tls_inspector", parse)

type config struct {
	ja3, ja4       bool
	closeOnInvalid bool
	max            int
}

// defaultMax is how long a ClientHello may be (max_client_hello_size), as BoringSSL has it.
const defaultMax = 16 << 10

func parse(p *inspectorpb.TlsInspector) (filter.ListenerConfig, error) {
	c := &config{ja3: p.GetEnableJa3Fingerprinting().GetValue(), ja4: p.GetEnableJa4Fingerprinting().GetValue(), closeOnInvalid: p.GetCloseConnectionOnClientHelloParsingErrors(), max: defaultMax}
	if n := p.GetMaxClientHelloSize(); n != nil {
		c.max = int(n.GetValue())
	}
	// initial_read_buffer_size sizes a buffer that is not there here.
	return c, nil
}

// Stats are below "tls_inspector."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/listeners/listener_filters/tls_inspector#statistics).
type Stats struct {
	ALPNFound           stats.Counter   `stat:"alpn_found"`
	ALPNNotFound        stats.Counter   `stat:"alpn_not_found"`
	BytesProcessed      stats.Histogram `stat:"bytes_processed"`
	ClientHelloTooLarge stats.Counter   `stat:"client_hello_too_large"`
	SNIFound            stats.Counter   `stat:"sni_found"`
	SNINotFound         stats.Counter   `stat:"sni_not_found"`
	TLSFound            stats.Counter   `stat:"tls_found"`
	TLSNotFound         stats.Counter   `stat:"tls_not_found"`
}

type inspector struct {
	*config
	stats Stats
}

// Build returns the one filter that all connections share.
func (c *config) Build(ctx *filter.Context) (filter.ListenerFactory, error) {
	f := &inspector{config: c}
	stats.Bind(ctx.RootScope("tls_inspector"), &f.stats)
	return func(*network.Conn) network.ListenerFilter { return f }, nil
}

// hellos are reused: parsing one leaves behind what it allocated.
var hellos = sync.Pool{New: func() any { return new(clienthello.Hello) }}

// OnAccept reads the ClientHello, which may come in several segments and records.
func (f *inspector) OnAccept(c *network.Conn) network.Status {
	h := hellos.Get().(*clienthello.Hello)
	defer hellos.Put(h)
	for n := 1; ; {
		b, readErr := c.Peek(n)
		need, err := 1, clienthello.ErrMore
		if len(b) > 0 {
			need, err = h.Parse(b, f.max)
		}
		switch err {
		case nil:
			f.found(c, h, len(b))
			return network.Continue
		case clienthello.ErrTooLarge:
			f.stats.ClientHelloTooLarge.Inc(c.Worker)
			return network.Stop
		case clienthello.ErrMore:
		default:
			f.stats.TLSNotFound.Inc(c.Worker)
			if f.closeOnInvalid {
				c.Info.TransportFailureReason = clienthello.Plaintext(b)
				return network.Stop
			}
			return network.Continue
		}
		if network.IsTimeout(readErr) {
			c.FilterTimedOut = true
			return network.Continue
		}
		if readErr != nil {
			c.FilterClosed = true
			return network.Continue
		}
		n = max(need, len(b)+1)
	}
}

func (f *inspector) found(c *network.Conn, h *clienthello.Hello, n int) {
	w := c.Worker
	f.stats.TLSFound.Inc(w)
	f.stats.BytesProcessed.Record(w, uint64(n))
	c.Info.TransportProtocol = "tls"
	if h.ServerName != "" {
		f.stats.SNIFound.Inc(w)
		c.Info.RequestedServerName = strings.ToLower(h.ServerName)
	} else {
		f.stats.SNINotFound.Inc(w)
	}
	if len(h.ALPN) > 0 {
		f.stats.ALPNFound.Inc(w)
		c.Info.ApplicationProtocols = append([]string(nil), h.ALPN...)
	} else {
		f.stats.ALPNNotFound.Inc(w)
	}
	if f.ja3 {
		c.Info.JA3 = h.JA3()
	}
	if f.ja4 {
		c.Info.JA4 = h.JA4()
	}
}

var _ network.ListenerFilter = (*inspector)(nil)
