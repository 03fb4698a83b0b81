package http2

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// wire is a peer that writes what it is told, byte by byte, and reads what comes through x/net's Framer.
type wire struct {
	t   testing.TB
	nc  net.Conn
	fr  *http2.Framer
	dec *hpack.Decoder
	got map[string]string // of the last header block
}

// connect opens a connection to a server of ours, preface and SETTINGS sent.
func connect(t testing.TB, addr string, set ...http2.Setting) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := newWire(t, nc)
	io.WriteString(nc, http2.ClientPreface)
	c.fr.WriteSettings(set...)
	return c
}

func newWire(t testing.TB, nc net.Conn) *wire {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	c := &wire{t: t, nc: nc, fr: http2.NewFramer(nc, nc), got: map[string]string{}}
	c.fr.AllowIllegalWrites, c.fr.AllowIllegalReads = true, true
	c.dec = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if old, ok := c.got[f.Name]; ok {
			f.Value = old + "|" + f.Value
		}
		c.got[f.Name] = f.Value
	})
	return c
}

// frame writes any frame.
func (c *wire) frame(kind http2.FrameType, flags http2.Flags, id uint32, p []byte) {
	c.fr.WriteRawFrame(kind, flags, id, p)
}

// u32 is a payload.
func u32(n ...uint32) (p []byte) {
	for _, n := range n {
		p = binary.BigEndian.AppendUint32(p, n)
	}
	return p
}

// block is a header block of literals that no table learns, whatever is in them.
func literals(fields ...string) (b []byte) {
	if len(fields)%2 != 0 {
		panic("odd")
	}
	for i := 0; i < len(fields); i += 2 {
		b = append(b, 0)
		b = append(appendInt(b, 0, 7, uint64(len(fields[i]))), fields[i]...)
		b = append(appendInt(b, 0, 7, uint64(len(fields[i+1]))), fields[i+1]...)
	}
	return b
}

const (
	endStream  = http2.FlagHeadersEndStream
	endHeaders = http2.FlagHeadersEndHeaders
)

// headers writes a block, in CONTINUATION frames if it is long.
func (c *wire) headers(id uint32, end bool, fields ...string) {
	c.rawHeaders(id, end, literals(fields...))
}

func (c *wire) rawHeaders(id uint32, end bool, b []byte) {
	flags := http2.Flags(0)
	if end {
		flags = endStream
	}
	kind := http2.FrameHeaders
	for len(b) > maxFrameSize {
		c.frame(kind, flags, id, b[:maxFrameSize])
		b, kind, flags = b[maxFrameSize:], http2.FrameContinuation, 0
	}
	c.frame(kind, flags|endHeaders, id, b)
}

func (c *wire) data(id uint32, end bool, s string) {
	flags := http2.Flags(0)
	if end {
		flags = http2.FlagDataEndStream
	}
	c.frame(http2.FrameData, flags, id, []byte(s))
}

// outcome reads until the stream has ended, or the connection: "200 body", "RST PROTOCOL_ERROR",
// "GOAWAY PROTOCOL_ERROR", "close"; an early response before a reset is in it: "200+RST NO_ERROR".
func (c *wire) outcome(id uint32) string {
	status, body := "", ""
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return join(status, "close")
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.fr.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				if len(f.DebugData()) == 0 {
					c.t.Error("GOAWAY has no text")
				}
				return join(status, "GOAWAY "+f.ErrCode.String())
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return join(status, "RST "+f.ErrCode.String())
			}
		case *http2.HeadersFrame:
			clear(c.got)
			if _, err := c.dec.Write(f.HeaderBlockFragment()); err != nil {
				c.t.Error(err)
			}
			if f.StreamID != id {
				continue
			}
			if s := c.got[":status"]; s != "" {
				status = join(status, s)
			} else {
				body += " trailers"
			}
			if f.StreamEnded() {
				return strings.TrimSpace(status + " " + body)
			}
		case *http2.DataFrame:
			if f.StreamID != id {
				continue
			}
			body += string(f.Data())
			if f.StreamEnded() {
				return strings.TrimSpace(status + " " + body)
			}
		}
	}
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "+" + b
}

// seen is what a request came as: "GET /x a.example name=value … [body] +trailer=value".
func seen(st *ServerStream, h *header.Map) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", h.Method, h.Path, h.Authority)
	for _, f := range h.Fields() {
		fmt.Fprintf(&b, " %s=%s", f.Name, f.Value)
	}
	for end := st.EndStream(); !end; {
		var p []byte
		var err *Error
		if p, end, _, err = st.NextBody(true); err != nil {
			fmt.Fprintf(&b, " !%s", err.Kind)
			return b.String()
		}
		if len(p) > 0 {
			fmt.Fprintf(&b, " [%s]", p)
		}
	}
	if tr := st.Trailers(); tr != nil {
		for _, f := range tr.Fields() {
			fmt.Fprintf(&b, " +%s=%s", f.Name, f.Value)
		}
	}
	return b.String()
}
