// Package httpinspector is envoy.filters.listener.http_inspector: it tells HTTP/1 and HTTP/2 from other
// protocols by a connection's first bytes.
package httpinspector

import (
	"bytes"

	inspectorpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// Extension is the filter.
var Extension = filter.NewListener("envoy.filters.listener.http_inspector", func(*inspectorpb.HttpInspector) (filter.ListenerConfig, error) { return config{}, nil })

type config struct{}

// Stats are below "http_inspector."
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/listeners/listener_filters/http_inspector#statistics).
type Stats struct {
	HTTP10   stats.Counter `stat:"http10_found"`
	HTTP11   stats.Counter `stat:"http11_found"`
	HTTP2    stats.Counter `stat:"http2_found"`
	NotFound stats.Counter `stat:"http_not_found"`
}

// Build returns the one filter that all connections share.
func (config) Build(c *filter.Context) (filter.ListenerFactory, error) {
	f := &inspector{}
	stats.Bind(c.RootScope("http_inspector"), &f.stats)
	return func(*network.Conn) network.ListenerFilter { return f }, nil
}

type inspector struct{ stats Stats }

// preface is what an HTTP/2 client begins with (RFC 9113 section 3.4).
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// OnAccept looks at the first line. What tls_inspector has found to be TLS is left alone.
func (f *inspector) OnAccept(c *network.Conn) network.Status {
	if c.Info.TransportProtocol != "" && c.Info.TransportProtocol != "raw_buffer" {
		return network.Continue
	}
	for n := 1; ; {
		b, err := c.Peek(n)
		protocol, more := detect(b)
		switch {
		case !more:
			f.found(c, protocol)
			return network.Continue
		case network.IsTimeout(err):
			c.FilterTimedOut = true
			return network.Continue
		case err != nil:
			if len(b) == 0 {
				c.FilterClosed = true
				return network.Continue
			}
			f.found(c, "")
			return network.Continue
		}
		n = len(b) + 1
	}
}

func (f *inspector) found(c *network.Conn, protocol string) {
	w := c.Worker
	switch protocol {
	case "h2c":
		f.stats.HTTP2.Inc(w)
	case "http/1.1":
		f.stats.HTTP11.Inc(w)
	case "http/1.0":
		f.stats.HTTP10.Inc(w)
	default:
		f.stats.NotFound.Inc(w)
		return
	}
	c.Info.ApplicationProtocols = []string{protocol}
}

// maxLine bounds how far the end of the request line is looked for.
const maxLine = 64 << 10

// detect tells the protocol of what begins with b; more asks for more bytes.
func detect(b []byte) (protocol string, more bool) {
	if len(b) < len(preface) && bytes.HasPrefix(preface, b) {
		return "", true
	}
	if bytes.HasPrefix(b, preface) {
		return "h2c", false
	}
	sp := bytes.IndexByte(b, ' ')
	if sp < 0 {
		return "", len(b) < maxMethod && isMethodPrefix(b)
	}
	if !methods[string(b[:sp])] {
		return "", false
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return "", len(b) < maxLine
	}
	line := bytes.TrimSuffix(b[:end], []byte("\r"))
	switch version := line[bytes.LastIndexByte(line, ' ')+1:]; string(version) {
	case "HTTP/1.1":
		return "http/1.1", false
	case "HTTP/1.0":
		return "http/1.0", false
	}
	return "", false
}

const maxMethod = 16

func isMethodPrefix(b []byte) bool {
	for m := range methods {
		if len(b) <= len(m) && m[:len(b)] == string(b) {
			return true
		}
	}
	return false
}

var methods = func() map[string]bool {
	m := map[string]bool{}
	for _, s := range [...]string{
		"ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "MSEARCH",
		"NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND",
		"UNLINK", "UNLOCK", "UNSUBSCRIBE",
	} {
		m[s] = true
	}
	return m
}()

var _ network.ListenerFilter = (*inspector)(nil)
