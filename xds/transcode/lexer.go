package transcode

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// peek passes white space and returns the next byte, or 0 at the end. A NUL byte in the document is an
// error for whoever looks at it.
func (e *encoder) peek() byte {
	for ; e.pos < len(e.src); e.pos++ {
		switch c := e.src[e.pos]; c {
		case ' ', '\t', '\r', '\n':
		case 0:
			return 1
		default:
			return c
		}
	}
	return 0
}

// take passes c if it is next.
func (e *encoder) take(c byte) bool {
	if e.peek() == c {
		e.pos++
		return true
	}
	return false
}

// expect passes c or fails.
func (e *encoder) expect(c byte) error {
	if e.take(c) {
		return nil
	}
	if e.pos >= len(e.src) {
		return e.errorf("unexpected EOF")
	}
	return e.errorf("unexpected character: '%c'; expected '%c'", e.rune(), c)
}

func (e *encoder) rune() rune {
	r, _ := utf8.DecodeRune(e.src[e.pos:])
	return r
}

// word passes a bare word such as true, null or an unquoted key; empty: there is none.
func (e *encoder) word() []byte {
	e.peek()
	from := e.pos
	for e.pos < len(e.src) {
		c := e.src[e.pos]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9' || e.pos == from) {
			break
		}
		e.pos++
	}
	return e.src[from:e.pos]
}

// null passes a null if that is next.
func (e *encoder) null() bool {
	if e.peek() != 'n' {
		return false
	}
	from := e.pos
	if string(e.word()) == "null" {
		return true
	}
	e.pos = from
	return false
}

// key passes an object's key, quoted or bare, and its colon. It is valid until the next string.
func (e *encoder) key() (k []byte, err error) {
	switch e.peek() {
	case '"', '\'':
		k, err = e.str()
	default:
		if k = e.word(); len(k) == 0 {
			return nil, e.errorf("expected bare word")
		}
	}
	if err == nil {
		err = e.expect(':')
	}
	return k, err
}

// next tells whether an object or list has another member after the one just read, and passes the
// comma. A comma before the end is allowed.
func (e *encoder) next(end byte) (bool, error) {
	if e.take(',') {
		return !e.take(end), nil
	}
	if e.take(end) {
		return false, nil
	}
	return false, e.errorf("expected ','")
}

// str passes a string in either quotes. It is valid until the next string.
func (e *encoder) str() ([]byte, error) {
	quote := e.peek()
	if quote != '"' && quote != '\'' {
		return nil, e.expect('"')
	}
	e.pos++
	from := e.pos
	for ; e.pos < len(e.src); e.pos++ {
		switch c := e.src[e.pos]; c {
		case quote:
			s := e.src[from:e.pos]
			if !utf8.Valid(s) {
				return nil, e.errorf("Invalid UTF-8 string")
			}
			e.pos++
			return s, nil
		case '\\':
			e.text = append(e.text[:0], e.src[from:e.pos]...)
			return e.escaped(quote)
		}
	}
	return nil, e.errorf("unexpected EOF")
}

// escaped is str from the first escape on.
func (e *encoder) escaped(quote byte) ([]byte, error) {
	for e.pos < len(e.src) {
		c := e.src[e.pos]
		e.pos++
		switch c {
		case quote:
			if !utf8.Valid(e.text) {
				return nil, e.errorf("Invalid UTF-8 string")
			}
			return e.text, nil
		case '\\':
			if err := e.escape(); err != nil {
				return nil, err
			}
		default:
			e.text = append(e.text, c)
		}
	}
	return nil, e.errorf("unexpected EOF")
}

func (e *encoder) escape() error {
	if e.pos >= len(e.src) {
		return e.errorf("unexpected EOF")
	}
	c := e.src[e.pos]
	e.pos++
	const letters, mean = `"'\/bfnrt`, "\"'\\/\b\f\n\r\t"
	if i := strings.IndexByte(letters, c); i >= 0 {
		e.text = append(e.text, mean[i])
		return nil
	}
	if c != 'u' {
		e.pos--
		return e.errorf("invalid escape char: '%c'", e.rune())
	}
	r, err := e.hex4()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		if e.pos+1 >= len(e.src) || e.src[e.pos] != '\\' || e.src[e.pos+1] != 'u' {
			return e.errorf("unexpected character; expected '\\u'")
		}
		e.pos += 2
		low, err := e.hex4()
		if err != nil {
			return err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return e.errorf("invalid low surrogate")
		}
	}
	e.text = utf8.AppendRune(e.text, r)
	return nil
}

func (e *encoder) hex4() (rune, error) {
	if e.pos+4 > len(e.src) {
		return 0, e.errorf("unexpected EOF")
	}
	var r rune
	for _, c := range e.src[e.pos : e.pos+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, e.errorf("invalid Unicode escape")
		}
		r = r<<4 | rune(c)
	}
	e.pos += 4
	return r, nil
}

// number passes a JSON number and returns its text.
func (e *encoder) number() ([]byte, error) {
	e.peek()
	from := e.pos
	if e.at('-') {
		e.pos++
	}
	whole := e.digits()
	switch {
	case whole == 0:
		if e.pos >= len(e.src) {
			return nil, e.errorf("unexpected EOF")
		}
		return nil, e.errorf("unexpected character: '%c'", e.rune())
	case whole > 1 && e.src[e.pos-whole] == '0':
		return nil, e.errorf("number cannot have extraneous leading zero")
	}
	if e.at('.') {
		if e.pos++; e.digits() == 0 {
			return nil, e.errorf("number cannot have trailing period")
		}
	}
	if e.at('e') || e.at('E') {
		if e.pos++; e.at('+') || e.at('-') {
			e.pos++
		}
		if e.digits() == 0 {
			return nil, e.errorf("missing exponent")
		}
	}
	return e.src[from:e.pos], nil
}

func (e *encoder) at(c byte) bool { return e.pos < len(e.src) && e.src[e.pos] == c }

func (e *encoder) digits() (n int) {
	for ; e.pos < len(e.src) && e.src[e.pos] >= '0' && e.src[e.pos] <= '9'; n++ {
		e.pos++
	}
	return n
}

// skip passes one value, whatever it is.
func (e *encoder) skip() error {
	var err error
	switch c := e.peek(); c {
	case '{', '[':
		return e.skipMembers(c)
	case '"', '\'':
		_, err = e.str()
	case 't', 'f', 'n':
		switch string(e.word()) {
		case "true", "false", "null":
		default:
			err = e.errorf("expected 'true', 'false' or 'null'")
		}
	default:
		_, err = e.number()
	}
	return err
}

func (e *encoder) skipMembers(open byte) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	e.pos++
	end := open + 2 // in ASCII, for both kinds
	more, err := !e.take(end), error(nil)
	for ; more && err == nil; more, err = e.next(end) {
		if open == '{' {
			if _, err = e.key(); err != nil {
				return err
			}
		}
		if err = e.skip(); err != nil {
			return err
		}
	}
	return err
}
