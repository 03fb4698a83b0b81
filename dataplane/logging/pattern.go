package logging

import (
	"strconv"
	"strings"
)

// pattern is a compiled spdlog pattern
// (https://github.com/gabime/spdlog/wiki/3.-Custom-formatting), with Envoy's flags %_, %j, %+ and %*.
// It is immutable.
type pattern struct{ items []item }

// item is one flag, or text between two.
type item struct {
	text   string
	flag   byte // 0: text
	append func(dst []byte, l *line) []byte
	pad    padding
}

// padding is what may stand between % and a flag: alignment, width, and ! to cut what is longer.
type padding struct {
	align byte // '-' left, '=' centre, else right
	width int
	cut   bool
}

// maxWidth is the most that spdlog pads to.
const maxWidth = 64

// compilePattern compiles a pattern. There are no bad ones: an unknown flag is text.
func compilePattern(s string) *pattern {
	p := &pattern{}
	for s != "" {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			p.add(s)
			break
		}
		p.add(s[:i])
		var pad padding
		pad, s = parsePadding(s[i+1:])
		if s == "" {
			break // a lone % at the end is nothing
		}
		p.flag(s[0], pad)
		s = s[1:]
	}
	return p
}

func parsePadding(s string) (p padding, rest string) {
	if s != "" && (s[0] == '-' || s[0] == '=') {
		p.align, s = s[0], s[1:]
	}
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		p.width = min(p.width*10+int(s[digits]-'0'), maxWidth)
		digits++
	}
	if digits == 0 {
		return padding{}, s
	}
	s = s[digits:]
	if s != "" && s[0] == '!' {
		p.cut, s = true, s[1:]
	}
	return p, s
}

func (p *pattern) add(text string) {
	if text == "" {
		return
	}
	if n := len(p.items); n > 0 && p.items[n-1].flag == 0 {
		p.items[n-1].text += text
		return
	}
	p.items = append(p.items, item{text: text})
}

func (p *pattern) flag(c byte, pad padding) {
	if c == '%' {
		p.add("%")
		return
	}
	f := flagOf(c)
	switch {
	case f != nil && (c == '^' || c == '$'): // where colour begins and ends: there is none
	case f != nil:
		p.items = append(p.items, item{flag: c, append: f, pad: pad})
	case pad.cut:
		// "%10!]" is the function's name and then "]".
		pad.cut = false
		p.items = append(p.items, item{flag: '!', append: flagOf('!'), pad: pad})
		p.add(string([]byte{c}))
	default:
		p.add(string([]byte{'%', c}))
	}
}

// has tells whether the pattern has a flag.
func (p *pattern) has(flag byte) bool {
	for i := range p.items {
		if p.items[i].flag == flag {
			return true
		}
	}
	return false
}

func (p *pattern) append(dst []byte, l *line) []byte {
	for i := range p.items {
		it := &p.items[i]
		if it.flag == 0 {
			dst = append(dst, it.text...)
			continue
		}
		from := len(dst)
		dst = it.append(dst, l)
		if it.pad.width > 0 {
			dst = it.pad.apply(dst, from)
		}
	}
	return dst
}

// apply pads or cuts what stands in dst after from.
func (p padding) apply(dst []byte, from int) []byte {
	n := len(dst) - from
	if n >= p.width {
		if p.cut {
			dst = dst[:from+p.width]
		}
		return dst
	}
	before := p.width - n
	switch p.align {
	case '-':
		before = 0
	case '=':
		before /= 2
	}
	for range p.width - n {
		dst = append(dst, ' ')
	}
	copy(dst[from+before:], dst[from:from+n])
	for i := range before {
		dst[from+i] = ' '
	}
	for i := from + before + n; i < len(dst); i++ {
		dst[i] = ' '
	}
	return dst
}

// appendPadded appends n with at least width digits.
func appendPadded(dst []byte, n, width int) []byte {
	s := strconv.Itoa(n)
	for range width - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}
