package admin

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// methods are those that Envoy knows; others are refused.
var methods = []string{
	"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
	"ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "MSEARCH", "NOTIFY",
	"PROPFIND", "PROPPATCH", "PURGE", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
}

// serveHTTP1 serves requests one after the other, until the client or we have had enough.
func (a *Admin) serveHTTP1(c *conn) {
	for first := true; ; first = false {
		c.limitHead()
		if _, err := c.br.Peek(1); err != nil {
			return // gone, and nothing was under way
		}
		if first {
			a.stats.protocol(c)
			c.spoke = true
		}
		started := time.Now()
		r, err := http.ReadRequest(c.br)
		tooLong := err != nil && c.tooLong()
		c.freeBody()
		if err != nil && !tooLong && gone(err) {
			return
		}
		a.stats.begin(false)
		if refused := refusal(r, err, tooLong); refused != nil {
			a.refuse(c, r, refused, started)
			if refused.close {
				return
			}
			continue
		}
		if !a.exchange(c, r, started) {
			return
		}
	}
}

// gone tells whether an error of reading is the client's leaving, and not what it sent.
func gone(err error) bool {
	var broken *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &broken)
}

// exchange answers one request; false: the connection is over.
func (a *Admin) exchange(c *conn, r *http.Request, started time.Time) bool {
	if r.Body != nil && r.ContentLength != 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		a.stats.respond(http.StatusContinue)
		if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return false
		}
	}
	w := &http1Wire{c: c, head: r.Method == http.MethodHead, close: r.Close, out: bufio.NewWriterSize(c, flushSize)}
	rp := newReply(w)
	a.answer(r, rp)
	// What is left of the body is read, so that the next request is found; of much of it we want no more.
	if r.Body != nil {
		if n, err := io.CopyN(io.Discard, r.Body, maxForm); n == maxForm || err != nil && err != io.EOF {
			w.close = true
		}
	}
	err := rp.end()
	a.stats.finish(rp.code, time.Since(started))
	a.stats.moved(c)
	a.logAccess(c, r, rp, started)
	c.local = w.close
	rp.afterwards()
	return err == nil && !w.close
}

// http1Wire writes a reply in chunks, as Envoy does however short it is.
type http1Wire struct {
	c           *conn
	out         *bufio.Writer
	head, close bool
}

func (w *http1Wire) start(r *reply) {
	b := append(make([]byte, 0, 512), "HTTP/1.1 "...)
	b = append(strconv.AppendInt(b, int64(r.code), 10), ' ')
	b = append(append(b, http.StatusText(r.code)...), "\r\n"...)
	for _, f := range r.headers() {
		b = append(append(append(append(b, f.name...), ": "...), f.value...), "\r\n"...)
	}
	if w.close {
		b = append(b, "connection: close\r\n"...)
	}
	b = append(b, "transfer-encoding: chunked\r\n\r\n"...)
	_, _ = w.out.Write(b) // an error stays, and is that of Flush
}

// write writes a chunk. The answer to HEAD has none: Envoy's has, which breaks the next one.
func (w *http1Wire) write(p []byte) error {
	if w.head {
		return nil
	}
	var size [20]byte
	_, _ = w.out.Write(append(strconv.AppendInt(size[:0], int64(len(p)), 16), "\r\n"...))
	_, _ = w.out.Write(p)
	_, err := w.out.WriteString("\r\n")
	return err
}

func (w *http1Wire) end() error {
	if !w.head {
		_, _ = w.out.WriteString("0\r\n\r\n")
	}
	return w.out.Flush()
}

// refused is an answer that the codec gives: no endpoint sees the request.
type refused struct {
	code  int
	body  string
	close bool
	// path tells that the path was the reason.
	path bool
}

// refusal tells why a request is not served; nil: it is.
func refusal(r *http.Request, err error, tooLong bool) *refused {
	switch {
	case tooLong:
		return &refused{code: http.StatusRequestHeaderFieldsTooLarge, body: "Request Header Fields Too Large", close: true}
	case err != nil || !slices.Contains(methods, r.Method) || r.Method == http.MethodConnect:
		return &refused{code: http.StatusBadRequest, body: "Bad Request", close: true}
	case !r.ProtoAtLeast(1, 1):
		return &refused{code: http.StatusUpgradeRequired, body: "Upgrade Required", close: true}
	case r.Host == "":
		return &refused{code: http.StatusBadRequest, close: true}
	case !strings.HasPrefix(r.RequestURI, "/"):
		return &refused{code: http.StatusNotFound, path: true} // a URL, or the asterisk
	case strings.Contains(r.RequestURI, "#"):
		return &refused{code: http.StatusBadRequest, close: true, path: true}
	}
	return nil
}

// refuse writes a refusal in the form that Envoy's codec, or its connection manager, gives it.
func (a *Admin) refuse(c *conn, r *http.Request, why *refused, started time.Time) {
	head := "HTTP/1.1 " + strconv.Itoa(why.code) + " " + http.StatusText(why.code) + "\r\n"
	if why.body != "" {
		a.stats.http.CxProtocolError.Inc(0)
		head += "content-length: " + strconv.Itoa(len(why.body)) + "\r\ncontent-type: text/plain\r\n"
	}
	head += "date: " + date() + "\r\nserver: envoy\r\n"
	if why.close {
		head += "connection: close\r\n"
	}
	if why.body == "" {
		head += "content-length: 0\r\n"
	}
	switch {
	case why.path && why.close:
		a.stats.http.RqFailedNormalization.Inc(0)
	case why.path:
		a.stats.http.RqNonRelativePath.Inc(0)
	}
	c.local = why.close
	_, err := io.WriteString(c, head+"\r\n"+why.body)
	a.stats.finish(why.code, time.Since(started))
	a.stats.moved(c)
	if r != nil {
		a.logAccess(c, r, &reply{code: why.code, size: uint64(len(why.body))}, started)
	}
	if err == nil && why.close {
		c.linger()
	}
}
