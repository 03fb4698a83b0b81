package http1

import (
	"encoding/binary"
	"strings"
)

// lower maps the characters of a header name to lower case, and all others to 0: RFC 9110 section
// 5.6.2, token.
var lower = func() (t [256]byte) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
		t[c] = c
	}
	for c := byte('A'); c <= 'Z'; c++ {
		t[c] = c + 'a' - 'A'
	}
	return t
}()

// authority holds the characters of a host and port: RFC 3986's reg-name, IP literals and the colon.
// Userinfo ("@") and the comma that joins two hosts are left out.
var authority = func() (t [256]bool) {
	for _, c := range []byte("-._~%!$&'()*+;=:[]0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

// ValidAuthority tells whether s may be a Host or :authority: no userinfo, no list, a numeric port.
// The empty one is valid (RFC 9112 section 3.2).
func ValidAuthority(s string) bool {
	colon := -1
	for i := range len(s) {
		c := s[i]
		if !authority[c] {
			return false
		}
		switch c {
		case ':':
			if s[0] != '[' && colon >= 0 {
				return false
			}
			colon = i
		case ']':
			colon = -1
		}
	}
	if s != "" && s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 < len(s) && s[end+1] != ':' {
			return false
		}
	}
	if colon < 0 {
		return true
	}
	port := s[colon+1:]
	if len(port) > 5 {
		return false
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
		n = n*10 + int(port[i]-'0')
	}
	return n <= 65535
}

// validValue tells whether b has no control characters but the tab: RFC 9110 section 5.5. Bytes over
// 0x7f are allowed, as obs-text. Eight bytes are looked at in one step.
func validValue(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		// A byte below 0x20, or 0x7f: the classic "has less than n" and "has zero byte" tests.
		less := (w - ones*0x20) & ^w & highs
		del := w ^ ones*0x7f
		del = (del - ones) & ^del & highs
		if less|del != 0 && !validBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return validBytes(b)
}

func validBytes(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// parseLength parses a Content-Length: digits alone (RFC 9110 section 8.6). It reports false for
// anything else and for more than an int64 holds.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		s = strings.TrimLeft(s, "0")
		if s == "" || len(s) > 19 {
			return 0, false
		}
	}
	var n uint64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return int64(n), n < 1<<63-1
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

// eachToken calls f for every element of a comma-separated list, trimmed, until f says no.
func eachToken(list string, f func(token string) bool) {
	for list != "" {
		token := list
		if i := strings.IndexByte(list, ','); i >= 0 {
			token, list = list[:i], list[i+1:]
		} else {
			list = ""
		}
		if !f(strings.Trim(token, " \t")) {
			return
		}
	}
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
		if equalFold(strings.Trim(token, " \t"), word) {
			return true
		}
	}
	return false
}
