package formatter

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// source picks one of the header maps; nil if there is none.
type source func(c *Context) *header.Map

func requestHeaders(c *Context) *header.Map   { return c.Request }
func responseHeaders(c *Context) *header.Map  { return c.Response }
func responseTrailers(c *Context) *header.Map { return c.Trailers }

// headerOf compiles %REQ(X?Y)% and its kin: the first value of X, or of Y if there is no X.
func headerOf(from source) func(param string) (Operator, error) {
	return func(param string) (Operator, error) {
		name, other, err := parseHeaderNames(param)
		if err != nil {
			return nil, err
		}
		first, second := lookup(name), lookup(other)
		return func(dst []byte, c *Context) ([]byte, Kind) {
			m := from(c)
			if m == nil {
				return dst, Missing
			}
			v, ok := first(m)
			if !ok {
				v, ok = second(m)
			}
			if !ok {
				return dst, Missing
			}
			return append(dst, v...), String
		}, nil
	}
}

// lookup makes the look-up of a header, by its number if it is a well-known one.
func lookup(name string) func(m *header.Map) (string, bool) {
	if name == "" {
		return func(*header.Map) (string, bool) { return "", false }
	}
	if id := header.IDOf(name); id > header.Host {
		return func(m *header.Map) (string, bool) { return m.Lookup(id) }
	}
	return func(m *header.Map) (string, bool) { return m.Get(name) }
}

func cutAlternative(param string) (name, other string, found bool) { return strings.Cut(param, "?") }

func alternatives(param string) int { return strings.Count(param, "?") }

func lower(s string) string { return strings.ToLower(s) }

// validHeaderName tells whether name may be a header's, pseudo headers included; "" may.
func validHeaderName(name string) bool {
	for i := range len(name) {
		b := name[i]
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0:
		case b == ':' && i == 0:
		default:
			return false
		}
	}
	return true
}

// requestWithoutQuery compiles %REQ_WITHOUT_QUERY(X?Y)%, which exists where a format lists the formatter
// envoy.formatter.req_without_query.
func requestWithoutQuery(param string, _ int) (Operator, error) {
	op, err := headerOf(requestHeaders)(param)
	if err != nil {
		return nil, err
	}
	return func(dst []byte, c *Context) ([]byte, Kind) {
		mark := len(dst)
		dst, kind := op(dst, c)
		for i := mark; i < len(dst); i++ {
			if dst[i] == '?' {
				return dst[:i], kind
			}
		}
		return dst, kind
	}, nil
}

// compilePath compiles %PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)%: with or without the query, from
// x-envoy-original-path, :path, or the first of the two that is there.
func compilePath(param string) (Operator, error) {
	query, rest, _ := strings.Cut(param, ":")
	which, _, _ := strings.Cut(rest, ":")
	if query != "" && query != "WQ" && query != "NQ" {
		return nil, fmt.Errorf("Invalid PATH option: '%s', only 'WQ'/'NQ' are allowed", query)
	}
	names := "x-envoy-original-path?:path"
	switch which {
	case "", "ORIG_OR_PATH":
	case "ORIG":
		names = "x-envoy-original-path"
	case "PATH":
		names = ":path"
	default:
		return nil, fmt.Errorf("Invalid PATH option: '%s', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed", which)
	}
	if query == "NQ" {
		return requestWithoutQuery(names, -1)
	}
	return headerOf(requestHeaders)(names)
}

func protocol(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.Protocol.String())
}

func requestHeadersBytes(dst []byte, c *Context) ([]byte, Kind) {
	switch {
	case c.Request != nil:
		return number(dst, c.Request.ByteSize())
	case c.Info != nil:
		return number(dst, c.Info.RequestHeaderBytes)
	}
	return zero(dst, c)
}

func bytesReceived(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.BytesReceived)
}

// streamID is x-request-id, or for a TCP connection a UUID made of what is its own.
func streamID(dst []byte, c *Context) ([]byte, Kind) {
	switch i := c.Info; {
	case i == nil:
		return dst, Missing
	case i.StreamID == "" && i.Protocol == streaminfo.ProtocolNone && i.Conn != nil:
		seed := uint64(i.Start.UnixNano())
		return appendUUID(dst, mix(seed), mix(seed^i.Conn.ID<<32)), String
	default:
		return str(dst, i.StreamID)
	}
}

// uniqueID is another UUID each time.
func uniqueID(dst []byte, _ *Context) ([]byte, Kind) {
	return appendUUID(dst, rand.Uint64(), rand.Uint64()), String
}

func traceID(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.TraceID)
}

func spanID(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.SpanID)
}

// mix is the finaliser of splitmix64: it spreads a counter over all bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// appendUUID appends a version 4 UUID (RFC 9562 section 5.4) of 122 of the bits given.
func appendUUID(dst []byte, high, low uint64) []byte {
	high = high&^0xf000 | 0x4000
	low = low&^(3<<62) | 2<<62
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			dst = append(dst, '-')
		}
		from := high
		if i >= 16 {
			from = low
		}
		dst = append(dst, hexDigits[from>>(60-4*(i%16))&15])
	}
	return dst
}
