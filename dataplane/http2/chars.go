package http2

import (
	"encoding/binary"
	"strings"
	"unsafe"
)

// Classes of characters.
const (
	charName      = 1 << iota // of a header name in HTTP/2: a token without capitals (RFC 9113 section 8.2.1)
	charToken                 // RFC 9110 section 5.6.2
	charAuthority             // of a host and port: reg-name, IP literals, the colon; no userinfo, no list
	charPath                  // of a path and query: visible ASCII
	charScheme                // RFC 3986 section 3.1, but for the first
)

var chars = func() (t [256]uint8) {
	const alnum = "0123456789abcdefghijklmnopqrstuvwxyz"
	for class, set := range map[uint8]string{
		charName:      "!#$%&'*+-.^_`|~" + alnum,
		charToken:     "!#$%&'*+-.^_`|~" + alnum + strings.ToUpper(alnum),
		charAuthority: "-._~%!$&'()*+;=:[]" + alnum + strings.ToUpper(alnum),
		charScheme:    "+-." + alnum + strings.ToUpper(alnum),
	} {
		for _, c := range []byte(set) {
			t[c] |= class
		}
	}
	for c := byte('!'); c <= '~'; c++ {
		t[c] |= charPath
	}
	return t
}()

// all tells whether every character of s is of the class.
func all(s string, class uint8) bool {
	for i := range len(s) {
		if chars[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

func validName(s string) bool   { return s != "" && all(s, charName) }
func validMethod(s string) bool { return s != "" && all(s, charToken) }

func validScheme(s string) bool {
	return s != "" && all(s, charScheme) && (s[0]|0x20) >= 'a' && (s[0]|0x20) <= 'z'
}

// validPath tells a path that a request may have: it begins with a slash, or is the asterisk of OPTIONS.
func validPath(s, method string) bool {
	if s == "*" {
		return method == "OPTIONS"
	}
	return s != "" && s[0] == '/' && all(s, charPath)
}

// validAuthority tells whether s may be an :authority: no userinfo, no list, a numeric port.
func validAuthority(s string) bool {
	if s == "" || !all(s, charAuthority) {
		return false
	}
	host, port := s, ""
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 < len(s) && s[end+1] != ':' {
			return false
		}
		host, port = s[1:end], s[end+1:]
		if strings.ContainsAny(host, "[]") {
			return false
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i:]
		if strings.ContainsAny(host, "[]") {
			return false
		}
	}
	return host != "" && validPort(port)
}

// validPort tells whether s is nothing, or a colon and perhaps a port.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	s = s[1:]
	if len(s) > 5 {
		return false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n <= 65535
}

// validValue tells whether s has no control characters but the tab: RFC 9110 section 5.5. Bytes over
// 0x7f are obs-text. Eight bytes are looked at in one step.
func validValue(s string, obsText bool) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		// A byte below 0x20, or 0x7f: the classic "has less than n" and "has zero byte" tests.
		less := (w - ones*0x20) & ^w & highs
		del := w ^ ones*0x7f
		del = (del - ones) & ^del & highs
		if (less|del != 0 || !obsText && w&highs != 0) && !validBytes(b[:8], obsText) {
			return false
		}
		b = b[8:]
	}
	return validBytes(b, obsText)
}

func validBytes(b []byte, obsText bool) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f || c > 0x7f && !obsText {
			return false
		}
	}
	return true
}

// trim cuts the white space around a value, which RFC 9113 section 8.2.1 forbids and HTTP/1 would lose.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// parseLength parses a content-length: digits alone (RFC 9110 section 8.6). It reports false for
// anything else and for more than an int64 holds.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return int64(n), n < 1<<63
}

// parseStatus parses a :status: three digits, of which the first is not 0.
func parseStatus(s string) (int, bool) {
	if len(s) != 3 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, n >= 100
}

// equalFold compares a header value with a lower-case ASCII word.
func equalFold(s, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// hasToken tells whether a comma-separated list holds word (lower case), whatever its case.
func hasToken(list, word string) bool {
	for list != "" {
		token := list
		if i := strings.IndexByte(list, ','); i >= 0 {
			token, list = list[:i], list[i+1:]
		} else {
			list = ""
		}
		if equalFold(trim(token), word) {
			return true
		}
	}
	return false
}
