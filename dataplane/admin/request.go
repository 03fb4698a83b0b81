package admin

import (
	"io"
	"net/http"
	"strings"
)

// request is a request as endpoints see it.
type request struct {
	method string
	// path is the normalised path without its query, target the same with it.
	path, target string
	header       http.Header
	query        []param

	close <-chan struct{} // closed when the client has gone, as far as that is noticed; nil: never
}

// param is one query parameter.
type param struct{ name, value string }

// get returns the first value of a parameter and tells whether it is there.
func (q *request) get(name string) (string, bool) {
	for _, p := range q.query {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// value is get for a parameter that counts only if it is not empty.
func (q *request) value(name string) string {
	v, _ := q.get(name)
	return v
}

// has tells whether a parameter is there: a boolean one has no value.
func (q *request) has(name string) bool {
	_, ok := q.get(name)
	return ok
}

// maxForm bounds the form that a request may bring.
const maxForm = 1 << 20

// readQuery reads the parameters: those of the query, or, where there are none, those of a form.
func (q *request) readQuery(r *http.Request) {
	_, query, _ := strings.Cut(q.target, "?")
	q.query = parseQuery(query)
	if len(q.query) > 0 || r.Body == nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return
	}
	if b, err := io.ReadAll(io.LimitReader(r.Body, maxForm)); err == nil {
		q.query = parseQuery(string(b))
	}
}

// parseQuery splits a query. Escapes are decoded, and a plus stays one: it is for regular expressions.
func parseQuery(s string) (out []param) {
	for each := range strings.SplitSeq(s, "&") {
		if each == "" {
			continue
		}
		name, value, _ := strings.Cut(each, "=")
		out = append(out, param{unescape(name, anyByte), unescape(value, anyByte)})
	}
	return out
}

// unescape decodes the escapes of the bytes that which allows; what is no escape stays.
func unescape(s string, which func(byte) bool) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high < 16 && low < 16 && which(high<<4|low) {
				b = append(b, high<<4|low)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func anyByte(byte) bool { return true }

// unreserved are the bytes that need no escape (RFC 3986, 2.3).
func unreserved(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// normalise is the path normalisation that Envoy's admin has switched on: needless escapes are decoded,
// dot segments resolved, slashes merged. The query stays as it is.
func normalise(target string) (path, whole string) {
	path, query, has := strings.Cut(target, "?")
	path = unescape(path, unreserved)
	var kept []string
	segments := strings.Split(strings.ReplaceAll(path, `\`, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "." || s == "" && !last:
		case s == "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	path = "/" + strings.Join(kept, "/")
	if has {
		return path, path + "?" + query
	}
	return path, path
}
