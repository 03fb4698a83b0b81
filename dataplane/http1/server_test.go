package http1

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/dptest/race"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// serve gives wire to a ServerConn over a real socket, in two segments if cut is inside it, and closes.
func serve(t *testing.T, wire string, cut int, o *ServerOptions) (*ServerConn, func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	server.SetReadDeadline(time.Now().Add(5 * time.Second))
	go func() {
		if cut > 0 && cut < len(wire) {
			io.WriteString(client, wire[:cut])
			time.Sleep(2 * time.Millisecond)
			io.WriteString(client, wire[cut:])
		} else {
			io.WriteString(client, wire)
		}
		client.(*net.TCPConn).CloseWrite()
	}()
	sock := new(network.Sock)
	sock.Init(server)
	c := new(ServerConn)
	c.Init(sock, o)
	return c, func() string {
		server.Close()
		b, _ := io.ReadAll(client)
		return string(b)
	}
}

// outcome runs all requests of a connection and tells of each "METHOD path host body" or its status.
func outcome(c *ServerConn) string {
	var out []string
	for {
		if err := c.Wait(); err != nil {
			return strings.Join(out, " | ")
		}
		var h header.Map
		h.Reset()
		err := c.ReadRequest(&h)
		var refused *Error
		if errors.As(err, &refused) {
			return strings.Join(append(out, header.StatusString(refused.Status)), " | ")
		}
		if err != nil {
			return strings.Join(append(out, err.Error()), " | ")
		}
		text := h.Method + " " + h.Path + " " + h.Authority
		for _, f := range h.Fields() {
			if f.ID != header.ContentLength && f.ID != header.TransferEncoding {
				text += " " + f.Name + "=" + f.Value
			}
		}
		body := ""
		for {
			p, end, err := c.NextBody()
			if err != nil {
				if errors.As(err, &refused) {
					err = errors.New(header.StatusString(refused.Status))
				}
				return strings.Join(append(out, text+" "+err.Error()), " | ")
			}
			if end {
				break
			}
			body += string(p)
		}
		if body != "" {
			text += " [" + body + "]"
		}
		if tr := c.Trailers(); tr != nil {
			for _, f := range tr.Fields() {
				text += " +" + f.Name + "=" + f.Value
			}
		}
		out = append(out, text)
	}
}

func TestRequests(t *testing.T) {
	const host = "Host: a\r\n"
	long := strings.Repeat("a", 70_000)
	tests := []struct{ name, wire, want string }{
		{"get", "GET /x?y HTTP/1.1\r\n" + host + "\r\n", "GET /x?y a"},
		{"pipelined", "GET /1 HTTP/1.1\r\n" + host + "\r\nGET /2 HTTP/1.1\r\n" + host + "\r\n", "GET /1 a | GET /2 a"},
		{"length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\n" + host + "\r\n", "POST / a [hello] | GET /2 a"},
		{"chunked with trailers", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3 \r\n wo\r\n0\r\nX-T: 1\r\n\r\nGET /2 HTTP/1.1\r\n" + host + "\r\n", "POST / a [hello wo] +x-t=1 | GET /2 a"},
		{"names are lowered, values trimmed", "GET / HTTP/1.1\r\n" + host + "X-Some-NAME: \t v w \r\n\r\n", "GET / a x-some-name=v w"},
		{"leading empty lines", "\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n", "GET / a"},
		{"folding", "GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\tc\r\n\r\n", "GET / a x=a b c"},
		{"bare LF throughout", "GET / HTTP/1.1\nHost: a\n\n", "GET / a"},
		{"repeated inline header", "GET / HTTP/1.1\r\n" + host + "X-Forwarded-For: 1\r\nX-Forwarded-For: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\n", "GET / a x-forwarded-for=1,2 x-a=1 x-a=2"},
		{"absolute form", "GET http://b/p HTTP/1.1\r\n" + host + "\r\n", "GET /p b"},
		{"absolute form without path", "GET http://b?q HTTP/1.1\r\n" + host + "\r\n", "GET /?q b"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "GET / "},
		{"nominated headers go", "GET / HTTP/1.1\r\n" + host + "Connection: X-Secret, close\r\nX-Secret: 1\r\n\r\n", "GET / a connection=close"},
		{"te is reduced", "GET / HTTP/1.1\r\n" + host + "Connection: TE\r\nTE: trailers, deflate\r\n\r\n", "GET / a te=trailers"},
		{"h2c upgrade is no upgrade", "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", "GET / a"},
		{"half a head", "GET / HT", "unexpected EOF"},
		{"half a body", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhel", "POST / a unexpected EOF"},

		{"nominated x-forwarded-for", "GET / HTTP/1.1\r\n" + host + "Connection: X-Forwarded-For\r\n\r\n", "400"},
		{"length and chunked", "POST / HTTP/1.1\r\n" + host + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", "400"},
		{"gzip, chunked", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", "501"},
		{"chunked twice", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "501"},
		{"underscore alias", "POST / HTTP/1.1\r\n" + host + "Transfer_Encoding: chunked\r\n\r\n", "400"},
		{"length twice", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400"},
		{"length +5", "POST / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n\r\nhello", "400"},
		{"length over int64", "POST / HTTP/1.1\r\n" + host + "Content-Length: 9223372036854775808\r\n\r\nhello", "400"},
		{"two hosts", "GET / HTTP/1.1\r\n" + host + "Host: b\r\n\r\n", "400"},
		{"userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"},
		{"port is no number", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400"},
		{"two spaces", "GET  / HTTP/1.1\r\n" + host + "\r\n", "400"},
		{"space after version", "GET / HTTP/1.1 \r\n" + host + "\r\n", "400"},
		{"tab in request line", "GET\t/\tHTTP/1.1\r\n" + host + "\r\n", "400"},
		{"space in path", "GET /a b HTTP/1.1\r\n" + host + "\r\n", "400"},
		{"unknown method", "FOO / HTTP/1.1\r\n" + host + "\r\n", "400"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n" + host + "\r\n", "426"},
		{"HTTP/0.9", "GET /\r\n\r\n", "426"},
		{"HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", "426"},
		{"HTTP/1.11", "GET / HTTP/1.11\r\n" + host + "\r\n", "400"},
		{"space before colon", "GET / HTTP/1.1\r\n" + host + "X : y\r\n\r\n", "400"},
		{"no colon", "GET / HTTP/1.1\r\n" + host + "Just text\r\n\r\n", "400"},
		{"first line folded", "GET / HTTP/1.1\r\n X: y\r\n\r\n", "400"},
		{"bare CR in value", "GET / HTTP/1.1\r\n" + host + "X: a\rb\r\n\r\n", "400"},
		{"NUL in value", "GET / HTTP/1.1\r\n" + host + "X: a\x00b, and some more\r\n\r\n", "400"},
		{"DEL in value", "GET / HTTP/1.1\r\n" + host + "X: aaaaaaaaa\x7f\r\n\r\n", "400"},
		{"mixed line ends", "GET / HTTP/1.1\r\n" + host + "X: a\nY: b\r\n\r\n", "400"},
		{"head too large", "GET / HTTP/1.1\r\n" + host + "X: " + long + "\r\n\r\n", "431"},
		{"too many headers", "GET / HTTP/1.1\r\n" + host + strings.Repeat("X: a\r\n", 100) + "\r\n", "431"},
		{"star for GET", "GET * HTTP/1.1\r\n" + host + "\r\n", "400"},
		{"CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\n" + host + "Content-Length: 1\r\n\r\nx", "400"},

		{"chunk ends with LF", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "POST / a 400"},
		{"chunk data ends with LF", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", "POST / a 400"},
		{"junk after chunk data", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n", "POST / a 400"},
		{"chunk size 0x5", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "POST / a 400"},
		{"chunk size overflow", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", "POST / a 400"},
		{"long chunk extension", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5;" + long + "\r\nhello\r\n0\r\n\r\n", "POST / a 400"},
		{"bare CR in chunk extension", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n", "POST / a 400"},
		{"huge trailers", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + long + "\r\n\r\n", "POST / a 431"},
	}
	o := &ServerOptions{EnableTrailers: true}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, cut := range []int{0, 1, len(tt.wire) / 2, len(tt.wire) - 1} {
				c, _ := serve(t, tt.wire, cut, o)
				if got := outcome(c); got != tt.want {
					t.Fatalf("cut at %d:\n got %q\nwant %q", cut, got, tt.want)
				}
			}
		})
	}
}

func TestResponses(t *testing.T) {
	c, read := serve(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, &ServerOptions{})
	var h header.Map
	h.Reset()
	if err := c.ReadRequest(&h); err != nil {
		t.Fatal(err)
	}
	respond := func(status int, body string, end bool, fields ...string) {
		t.Helper()
		h.Reset()
		h.Status = status
		for _, f := range fields {
			n, v, _ := strings.Cut(f, ":")
			h.Add(n, v)
		}
		if err := errors.Join(c.WriteHeaders(&h, end), c.WriteData([]byte(body)), c.WriteEnd(nil)); err != nil {
			t.Fatal(err)
		}
	}
	respond(200, "", true, "x-a:1")
	respond(200, "hello", false)
	respond(404, "hello", false, "content-length:5")
	respond(204, "", true, "content-length:0")
	respond(304, "", true)
	big := strings.Repeat("x", 100_000)
	respond(200, big, false)
	want := "HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n" +
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" +
		"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello" +
		"HTTP/1.1 204 No Content\r\n\r\n" +
		"HTTP/1.1 304 Not Modified\r\n\r\n" +
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n186a0\r\n" + big + "\r\n0\r\n\r\n"
	if got := read(); got != want {
		t.Errorf("got %.600q", got)
	}
}

func TestReadingARequestDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools forget")
	}
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	defer l.Close()
	client, _ := net.Dial("tcp", l.Addr().String())
	server, _ := l.Accept()
	defer client.Close()
	defer server.Close()
	var sock network.Sock
	sock.Init(server)
	var c ServerConn
	c.Init(&sock, &ServerOptions{})
	var h, r header.Map
	wire := []byte("GET /some/path HTTP/1.1\r\nHost: reviews:9080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nX-Request-Id: 0000\r\n\r\n")
	drop, ok := make([]byte, 4096), []byte("ok")
	if n := testing.AllocsPerRun(100, func() {
		client.Write(wire)
		h.Reset()
		r.Reset()
		if c.Wait() != nil || c.ReadRequest(&h) != nil || h.Len() != 3 {
			t.Fatal("not read")
		}
		r.Status = 200
		r.Add("content-length", "2")
		c.WriteHeaders(&r, false)
		c.WriteData(ok)
		c.WriteEnd(nil)
		client.Read(drop)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzServer(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"))
	f.Add([]byte("GET http://b/p HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"))
	o := &ServerOptions{EnableTrailers: true}
	f.Fuzz(func(t *testing.T, wire []byte) {
		client, server := net.Pipe()
		go func() { client.Write(wire); client.Close() }()
		var sock network.Sock
		sock.Init(server)
		var c ServerConn
		c.Init(&sock, o)
		outcome(&c)
		server.Close()
	})
}
