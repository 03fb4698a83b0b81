package http1

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// answer runs one request against an upstream that answers wire and closes, and tells what became of it.
func answer(t *testing.T, method, wire string, upgrade bool) (string, *ClientConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	up, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); up.Close() })
	go func() {
		up.Read(make([]byte, 4096))
		io.WriteString(up, wire)
		up.(*net.TCPConn).CloseWrite()
	}()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	sock := new(network.Sock)
	sock.Init(conn)
	c := new(ClientConn)
	c.Init(sock, &ClientOptions{EnableTrailers: true})
	var req, h header.Map
	req.Reset()
	req.Method, req.Path, req.Authority = method, "/", "a"
	if upgrade {
		req.Add("upgrade", "websocket")
	}
	if err := c.WriteHeaders(&req, true); err != nil {
		t.Fatal(err)
	}
	return response(c, &h), c
}

func response(c *ClientConn, h *header.Map) (out string) {
	for {
		h.Reset()
		end, err := c.ReadHeaders(h)
		if err != nil {
			return out + kind(err)
		}
		out += header.StatusString(h.Status)
		if h.Status < 200 && h.Status != 101 {
			out += " "
			continue
		}
		if end {
			return out
		}
		out += " "
		for {
			p, end, _, err := c.NextBody(true)
			if err != nil {
				return out + " " + kind(err)
			}
			if end {
				break
			}
			out += string(p)
		}
		if tr := c.Trailers(); tr != nil {
			out += " +" + tr.Fields()[0].Name
		}
		return out
	}
}

func kind(err error) string {
	var refused *Error
	if errors.As(err, &refused) || errors.Is(err, errInformationalFlood) {
		return "invalid"
	}
	return err.Error()
}

func TestResponsesOfUpstreams(t *testing.T) {
	long := strings.Repeat("a", 70_000)
	tests := []struct{ name, wire, want string }{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok"},
		{"chunked with trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n", "200 ok +x-t"},
		{"until close", "HTTP/1.1 200 OK\r\n\r\nok", "200 ok"},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok"},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "200 ok"},
		{"204 with a body that is none", "HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok", "204"},
		{"304", "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n", "304"},
		{"continue first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "100 200 ok"},
		{"LF throughout", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "200 ok"},
		{"status 999", "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n", "999"},

		{"closed at once", "", "EOF"},
		{"half a head", "HTTP/1.1 200 OK\r\nX", "unexpected EOF"},
		{"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "200 ok unexpected EOF"},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "200 ok unexpected EOF"},
		{"101 unasked", "HTTP/1.1 101 Switching\r\n\r\n", "invalid"},
		{"both", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "invalid"},
		{"lengths differ", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "invalid"},
		{"gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", "invalid"},
		{"garbage", "hello there, this is no HTTP\r\n\r\n", "invalid"},
		{"status 99", "HTTP/1.1 99 OK\r\n\r\n", "invalid"},
		{"status 099", "HTTP/1.1 099 OK\r\n\r\n", "invalid"},
		{"status 2000", "HTTP/1.1 2000 OK\r\n\r\n", "invalid"},
		{"HTTP/2", "HTTP/2 200 OK\r\n\r\n", "invalid"},
		{"bare CR", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok", "invalid"},
		{"bare LF", "HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", "invalid"},
		{"head too large", "HTTP/1.1 200 OK\r\nX: " + long + "\r\n\r\n", "invalid"},
		{"leading empty line", "\r\nHTTP/1.1 200 OK\r\n\r\n", "invalid"},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", "200  invalid"},
		{"1xx without end", strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", maxInformational+1), strings.Repeat("103 ", maxInformational) + "invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := answer(t, "GET", tt.wire, false); got != tt.want {
				t.Errorf("got %.200q, want %.200q", got, tt.want)
			}
		})
	}
	if got, _ := answer(t, "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false); got != "200" {
		t.Errorf("HEAD: %q", got)
	}
	if got, _ := answer(t, "GET", "HTTP/1.1 101 Switching\r\n\r\nbytes", true); got != "101 bytes" {
		t.Errorf("upgrade: %q", got)
	}
}

func TestReuse(t *testing.T) {
	tests := []struct {
		wire string
		want bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", false},
		{"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok", false},
		{"HTTP/1.1 200 OK\r\n\r\nok", false},
	}
	for _, tt := range tests {
		if got, c := answer(t, "GET", tt.wire, false); c.Reusable() != tt.want {
			t.Errorf("%q (%s): reusable is %v", tt.wire, got, !tt.want)
		}
	}
}
