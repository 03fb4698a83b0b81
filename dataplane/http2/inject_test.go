package http2

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// with is a good GET, with some fields changed ("name", "value"), left out ("-name") or added behind the
// rest ("+name", "value").
func with(changes ...string) []string {
	f := []string{":method", "GET", ":scheme", "http", ":authority", "a.example", ":path", "/x"}
	for i := 0; i < len(changes); i++ {
		name := changes[i]
		if strings.HasPrefix(name, "-") {
			at := slices.Index(f, name[1:])
			f = slices.Delete(f, at, at+2)
			continue
		}
		i++
		if add, ok := strings.CutPrefix(name, "+"); ok {
			f = append(f, add, changes[i])
			continue
		}
		f[slices.Index(f, name)+1] = changes[i]
	}
	return f
}

func post(changes ...string) []string { return with(append([]string{":method", "POST"}, changes...)...) }

type injection struct {
	id string
	// safe is what may become of it: R refused, F served, RF either. served is what the handler then sees.
	safe, served string
	send         func(c *wire)
}

func head(f []string) func(*wire) { return func(c *wire) { c.headers(1, true, f...) } }

// body sends a head and then DATA frames, the last of which ends the stream.
func body(f []string, pieces ...string) func(*wire) {
	return func(c *wire) {
		c.headers(1, false, f...)
		for i, p := range pieces {
			c.data(1, i == len(pieces)-1, p)
		}
	}
}

// trailed sends a POST with a body and trailers.
func trailed(f []string, end bool, trailers ...string) func(*wire) {
	return func(c *wire) {
		c.headers(1, false, f...)
		c.data(1, false, "abc")
		c.headers(1, end, trailers...)
	}
}

// many is n fields; a # in the name is their number.
func many(n int, name, value string) (f []string) {
	for i := range n {
		f = append(f, "+"+strings.Replace(name, "#", fmt.Sprint(i), 1), value)
	}
	return f
}

const plain = "GET /x a.example"

// injections are the cases of reference/reliability.md section 10.2, by its ids, and a few of our own.
var injections = []injection{
	{"ok-get", "F", plain, head(with())},
	{"ok-post", "F", "POST /x a.example content-length=3 [abc]", body(post("+content-length", "3"), "abc")},
	{"ok-post-nocl", "F", "POST /x a.example [abc]", body(post(), "abc")},
	{"ok-trailers", "F", "POST /x a.example [abc] +t=v", trailed(post(), true, "t", "v")},
	{"ok-cookie-crumbs", "F", plain + " x=y cookie=a=b; c=d; e=f", head(with("+cookie", "a=b", "+cookie", "c=d", "+x", "y", "+cookie", "e=f"))},
	{"val-crlf", "R", "", head(with("+x", "a\r\nb: c"))},
	{"val-crlf-req", "R", "", head(with("+x", "a\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"))},
	{"val-lf", "R", "", head(with("+x", "a\nb"))},
	{"val-cr", "R", "", head(with("+x", "a\rb"))},
	{"val-nul", "R", "", head(with("+x", "a\x00b"))},
	{"val-ctl", "R", "", head(with("+x", "a\x01b"))},
	{"val-del", "R", "", head(with("+x", "a\x7fb"))},
	{"val-high", "F", plain + " x=a\xffb", head(with("+x", "a\xffb"))},
	{"val-lead-sp", "F", plain + " x=a", head(with("+x", " a"))},
	{"val-trail-sp", "F", plain + " x=a", head(with("+x", "a\t "))},
	{"name-crlf", "R", "", head(with("+x\r\ny", "a"))},
	{"name-crlf-te", "R", "", body(post("+x: y\r\ntransfer-encoding", "chunked"), "0\r\n\r\n")},
	{"name-colon", "R", "", head(with("+x:y", "a"))},
	{"name-upper", "R", "", head(with("+Xy", "a"))},
	{"name-space", "R", "", head(with("+x y", "a"))},
	{"name-empty", "R", "", head(with("+", "a"))},
	{"name-nul", "R", "", head(with("+x\x00y", "a"))},
	{"name-high", "R", "", head(with("+x\xffy", "a"))},
	{"name-te-colon", "R", "", body(post("+transfer-encoding:chunked", "a"), "0\r\n\r\n")},
	{"path-space", "R", "", head(with(":path", "/a b"))},
	{"path-sp", "R", "", head(with(":path", "/x HTTP/1.1"))},
	{"path-crlf", "R", "", head(with(":path", "/x\r\nb: c"))},
	{"path-tab", "R", "", head(with(":path", "/a\tb"))},
	{"path-nul", "R", "", head(with(":path", "/a\x00b"))},
	{"path-high", "R", "", head(with(":path", "/a\xffb"))},
	{"path-empty", "R", "", head(with(":path", ""))},
	{"path-noslash", "R", "", head(with(":path", "x"))},
	{"path-star", "R", "", head(with(":path", "*"))},
	{"path-abs", "R", "", head(with(":path", "http://b.example/x"))},
	{"path-frag", "F", "GET /x#f a.example", head(with(":path", "/x#f"))},
	{"path-dup", "R", "", head(append(with()[:8:8], ":path", "/y"))},
	{"path-missing", "R", "", head(with("-:path"))},
	{"path-at-host", "R", "", head(with(":path", "@b.example/x"))},
	{"path-dslash", "F", "GET //x a.example", head(with(":path", "//x"))},
	{"path-bslash", "F", `GET /\x a.example`, head(with(":path", `/\x`))},
	{"path-enc-slash", "F", "GET /a%2fb a.example", head(with(":path", "/a%2fb"))},
	{"method-sp", "R", "", head(with(":method", "GET /y"))},
	{"method-crlf", "R", "", head(with(":method", "GET\r\n"))},
	{"method-empty", "R", "", head(with(":method", ""))},
	{"method-lower", "F", "get /x a.example", head(with(":method", "get"))},
	{"method-custom", "F", "FOO /x a.example", head(with(":method", "FOO"))},
	{"method-missing", "R", "", head(with("-:method"))},
	{"method-dup", "R", "", head(append([]string{":method", "POST"}, with()...))},
	{"auth-crlf", "R", "", head(with(":authority", "a\r\nb: c"))},
	{"auth-sp", "R", "", head(with(":authority", "a b"))},
	{"auth-slash", "R", "", head(with(":authority", "a/b"))},
	{"auth-at", "R", "", head(with(":authority", "u@a"))},
	{"auth-comma", "R", "", head(with(":authority", "a,b"))},
	{"auth-dup", "R", "", head(append([]string{":authority", "b"}, with()...))},
	{"auth-empty", "R", "", head(with(":authority", ""))},
	{"auth-badport", "R", "", head(with(":authority", "a:b"))},
	{"auth-quest", "R", "", head(with(":authority", "a?b"))},
	{"host-mismatch", "F", plain, head(with("+host", "b.example"))},
	{"host-only", "F", "GET /x b.example", head(with("-:authority", "+host", "b.example"))},
	{"host-two", "R", "", head(with("+host", "a.example", "+host", "b.example"))},
	{"no-auth-no-host", "R", "", head(with("-:authority"))},
	{"scheme-bad", "R", "", head(with(":scheme", "ht tp"))},
	{"scheme-crlf", "R", "", head(with(":scheme", "http\r\nx"))},
	{"scheme-https-clear", "F", plain, head(with(":scheme", "https"))},
	{"scheme-empty", "R", "", head(with(":scheme", ""))},
	{"scheme-ftp", "F", plain, head(with(":scheme", "ftp"))},
	{"scheme-missing", "R", "", head(with("-:scheme"))},
	{"scheme-upper", "F", plain, head(with(":scheme", "HTTP"))},
	{"te-chunked", "R", "", body(post("+transfer-encoding", "chunked"), "0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n")},
	{"te-chunked-cl", "R", "", body(post("+transfer-encoding", "chunked", "+content-length", "5"), "0\r\n\r\n")},
	{"conn-hdr", "R", "", head(with("+connection", "close"))},
	{"conn-te", "R", "", head(with("+connection", "te", "+te", "trailers"))},
	{"keep-alive", "R", "", head(with("+keep-alive", "timeout=5"))},
	{"upgrade", "R", "", head(with("+upgrade", "websocket"))},
	{"proxy-conn", "R", "", head(with("+proxy-connection", "keep-alive"))},
	{"te-gzip", "R", "", head(with("+te", "gzip"))},
	{"te-trailers", "F", plain + " te=trailers", head(with("+te", "trailers"))},
	{"cl-big", "R", "", body(post("+content-length", "10"), "abc")},
	{"cl-small", "R", "", body(post("+content-length", "2"), "abc")},
	{"cl-zero-body", "R", "", body(post("+content-length", "0"), "GET /admin HTTP/1.1\r\n\r\n")},
	{"cl-dup-diff", "R", "", body(post("+content-length", "3", "+content-length", "4"), "abc")},
	{"cl-dup-same", "R", "", body(post("+content-length", "3", "+content-length", "3"), "abc")},
	{"cl-nan", "R", "", body(post("+content-length", "abc"), "abc")},
	{"cl-neg", "R", "", body(post("+content-length", "-3"), "abc")},
	{"cl-plus", "R", "", body(post("+content-length", "+3"), "abc")},
	{"cl-list", "R", "", body(post("+content-length", "3,3"), "abc")},
	{"cl-get-es", "R", "", head(with("+content-length", "5"))},
	{"cl-ovf", "R", "", body(post("+content-length", "18446744073709551619"), "abc")},
	{"pseudo-late", "R", "", head(append([]string{":method", "GET", "x", "y"}, with("-:method")...))},
	{"pseudo-unknown", "R", "", head(append([]string{":foo", "bar"}, with()...))},
	{"pseudo-status", "R", "", head(append([]string{":status", "200"}, with()...))},
	{"protocol-get", "R", "", head(append([]string{":protocol", "websocket"}, with()...))},
	{"connect", "F", "CONNECT  a.example", body(with(":method", "CONNECT", "-:path", "-:scheme"), "")},
	{"connect-path", "R", "", body(with(":method", "CONNECT"), "x")},
	{"connect-ext", "R", "", body(append([]string{":protocol", "websocket"}, with(":method", "CONNECT")...), "x")},
	{"tr-pseudo", "R", "", trailed(post(), true, ":path", "/y")},
	{"tr-te", "R", "", trailed(post(), true, "transfer-encoding", "chunked")},
	{"tr-cl", "F", "POST /x a.example [abc]", trailed(post(), true, "content-length", "5")},
	{"tr-crlf", "R", "", trailed(post(), true, "t", "a\r\nb")},
	{"tr-noes", "R", "", trailed(post(), false, "t", "v")},
	{"tr-host", "F", "POST /x a.example [abc]", trailed(post(), true, "host", "b.example")},
	{"hdr-70k", "R", "", head(with("+x", strings.Repeat("a", 70_000)))},
	{"hdr-101", "R", "", head(with(many(101, "x#", "a")...))},
	{"expect-100", "F", "POST /x a.example expect=100-continue [abc]", body(post("+expect", "100-continue"), "abc")},
	{"xenvoy-spoof", "F", plain + " x-envoy-internal=true", head(with("+x-envoy-internal", "true"))},
	{"h2c-upgrade-in-h2", "F", plain + " http2-settings=AAMAAABkAAQAAP__", head(with("+http2-settings", "AAMAAABkAAQAAP__"))},

	// Ours.
	{"inline headers are joined", "F", plain + " accept=a,b x=1 x=2 x-forwarded-for=1,2", head(with("+accept", "a", "+x", "1", "+accept", "b", "+x", "2", "+x-forwarded-for", "1", "+x-forwarded-for", "2"))},
	{"alias of transfer-encoding", "R", "", body(post("+transfer_encoding", "chunked"), "abc")},
	{"alias of content-length", "R", "", body(post("+content_length", "3"), "abc")},
	{"headers over 60 KiB in all", "R", "", head(with(many(7, "x#", strings.Repeat("a", 9000))...))},
	{"96 headers fit", "F", plain + strings.Repeat(" x=a", 96), head(with(many(96, "x", "a")...))},
	{"97 do not", "R", "", head(with(many(97, "x", "a")...))},
	{"101 cookie crumbs", "R", "", head(with(many(101, "cookie", "a")...))},
	{"options *", "F", "OPTIONS * a.example", head(with(":method", "OPTIONS", ":path", "*"))},
	{"ipv6 authority", "F", "GET /x [::1]:80", head(with(":authority", "[::1]:80"))},
	{"bad ipv6 authority", "R", "", head(with(":authority", "[::1]x"))},
	{"trailers shorter than content-length", "R", "", trailed(post("+content-length", "5"), true, "t", "v")},
	{"third header block", "R", "", func(c *wire) {
		c.headers(1, false, post()...)
		c.headers(1, false, "t", "v")
		c.headers(1, true, "t", "v")
	}},
}

// TestInjections sends each case on a connection of its own, in both settings of
// stream_error_on_invalid_http_messaging, while another client is served.
func TestInjections(t *testing.T) {
	for _, streamErrors := range []bool{false, true} {
		o := serverOptions()
		o.StreamErrorOnInvalidHTTPMessaging = streamErrors
		came := make(chan string, 100)
		s := listen(t, o, serveFunc(func(st *ServerStream, h *header.Map) {
			if st.Err() != nil {
				return
			}
			if h.Path == "/live" {
				hello(st, h)
				return
			}
			came <- seen(st, h)
			hello(st, h)
		}))
		other := connect(t, s.addr)
		live := uint32(1)
		for _, tt := range injections {
			t.Run(fmt.Sprintf("%v/%s", streamErrors, tt.id), func(t *testing.T) {
				c := connect(t, s.addr)
				tt.send(c)
				got := c.outcome(1)
				tt.check(t, c, got, streamErrors, came)
				other.headers(live, true, with(":path", "/live")...)
				if got := other.outcome(live); got != "200 hello, world" {
					t.Errorf("another client gets %q", got)
				}
				live += 2
				c.nc.Close()
			})
		}
	}
}

func (tt *injection) check(t *testing.T, c *wire, got string, streamErrors bool, came chan string) {
	t.Helper()
	complete := ""
	select {
	case complete = <-came:
	default:
	}
	if tt.safe == "F" {
		if complete == "" {
			select {
			case complete = <-came:
			case <-time.After(time.Second):
			}
		}
		if got != "200 hello, world" || complete != tt.served {
			t.Errorf("got %q, the handler saw %q, want %q", got, complete, tt.served)
		}
		return
	}
	if complete != "" && !strings.Contains(complete, " !") {
		t.Errorf("the handler saw %q", complete)
	}
	overSize := strings.HasPrefix(tt.id, "hdr-70k")
	over := strings.Contains(got, "INTERNAL_ERROR")
	body := strings.HasPrefix(tt.id, "cl-") && !strings.Contains(got, "GOAWAY") || tt.id == "trailers shorter than content-length"
	switch {
	case overSize && got == "GOAWAY COMPRESSION_ERROR":
	case over && got == "RST INTERNAL_ERROR", body && got == "RST PROTOCOL_ERROR":
		c.survives(t)
	case streamErrors && got == "RST PROTOCOL_ERROR":
		c.survives(t)
	case !streamErrors && got == "GOAWAY PROTOCOL_ERROR":
	default:
		t.Errorf("got %q", got)
	}
}

// survives tells whether the connection still serves.
func (c *wire) survives(t *testing.T) {
	t.Helper()
	c.headers(3, true, with(":path", "/live")...)
	if got := c.outcome(3); got != "200 hello, world" {
		t.Errorf("a later stream gets %q", got)
	}
}

func TestExtendedConnectIsAnUpgrade(t *testing.T) {
	o := serverOptions()
	o.AllowConnect = true
	came := make(chan string, 1)
	s := listen(t, o, serveFunc(func(st *ServerStream, h *header.Map) {
		came <- fmt.Sprintf("%s %s %s %s", h.Method, h.Value(header.Upgrade), h.Value(header.Connection), h.Protocol)
		var resp header.Map
		resp.Reset()
		resp.Status = 101
		resp.Add("upgrade", "websocket")
		resp.Add("connection", "upgrade")
		st.WriteHeaders(&resp, false)
		st.Flush()
		p, _, _, _ := st.NextBody(true)
		st.WriteData(append([]byte("echo "), p...), true)
		st.NextBody(true)
	}))
	c := connect(t, s.addr)
	c.headers(1, false, append([]string{":protocol", "websocket"}, with(":method", "CONNECT")...)...)
	c.data(1, false, "ping")
	if got := c.outcome(1); got != "200 echo ping" || c.got["upgrade"] != "" || c.got["connection"] != "" {
		t.Errorf("got %q, %v", got, c.got)
	}
	if got := <-came; got != "GET websocket upgrade " {
		t.Errorf("the handler saw %q", got)
	}
}
