package logging

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// handler writes records in the log's pattern. It is immutable: With makes another.
type handler struct {
	logs      *Logs
	component *component
	group     string // prefix of keys: "a.b."
	// text and tags are the attributes that were added, rendered: " key=value" for the message, and
	// `,"key":"value"` for %*.
	text, tags []byte
}

// Enabled costs one atomic load.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return int64(level) >= h.component.level.Load()
}

// WithAttrs renders the attributes once and for all.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	to := *h
	to.text, to.tags = slices.Clip(h.text), slices.Clip(h.tags)
	for _, a := range attrs {
		if h.group == "" && isComponent(a) {
			to.component = h.logs.component(a.Value.String())
			continue
		}
		to.text = appendAttr(to.text, h.group, a, appendText)
		to.tags = appendAttr(to.tags, h.group, a, appendTag)
	}
	return &to
}

// WithGroup qualifies the keys of what is added from now on.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	to := *h
	to.group += name + "."
	return &to
}

// line is one record on its way to be written.
type line struct {
	logs      *Logs
	component *component
	time      time.Time
	level     int // index in levels
	text      string
	attrs     []byte // " key=value" of all attributes
	tags      []byte
	pc        uintptr
	frame     runtime.Frame
	resolved  bool
	elapsed   time.Duration

	out, escaped []byte
}

// lines lends what records are written with.
var lines = sync.Pool{New: func() any { return &line{} }}

// maxKept is the capacity above which a buffer is not kept.
const maxKept = 64 << 10

// Handle writes a record.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	l := lines.Get().(*line)
	l.logs, l.component, l.time, l.level, l.text, l.pc, l.resolved = h.logs, h.component, r.Time, levelIndex(r.Level), r.Message, r.PC, false
	l.attrs = append(l.attrs[:0], h.text...)
	l.tags = append(l.tags[:0], h.tags...)
	r.Attrs(func(a slog.Attr) bool {
		l.attrs = appendAttr(l.attrs, h.group, a, appendText)
		l.tags = appendAttr(l.tags, h.group, a, appendTag)
		return true
	})
	now := r.Time.UnixNano()
	l.elapsed = max(time.Duration(now-h.logs.last.Swap(now)), 0)
	l.out = h.logs.format.Load().append(l.out[:0], l)
	out := l.out
	if h.logs.escaped {
		l.escaped = appendC(l.escaped[:0], strings.TrimRight(string(out), "\n"))
		out = l.escaped
	}
	out = append(out, '\n')
	err := h.logs.out.write(out)
	if cap(out) <= maxKept {
		if !h.logs.escaped {
			l.out = out
		}
		lines.Put(l)
	}
	return err
}

// source is where the record was made.
func (l *line) source() *runtime.Frame {
	if !l.resolved {
		l.resolved, l.frame = true, runtime.Frame{}
		if l.pc != 0 {
			l.frame, _ = runtime.CallersFrames([]uintptr{l.pc}).Next()
		}
	}
	return &l.frame
}

// appendAttr renders an attribute, and each of a group, by one.
func appendAttr(dst []byte, group string, a slog.Attr, one func(dst []byte, key, value string) []byte) []byte {
	v := a.Value.Resolve()
	if a.Key == "" && v.Kind() != slog.KindGroup {
		return dst
	}
	if v.Kind() != slog.KindGroup {
		return one(dst, group+a.Key, text(v))
	}
	if a.Key != "" {
		group += a.Key + "."
	}
	for _, m := range v.Group() {
		dst = appendAttr(dst, group, m, one)
	}
	return dst
}

func text(v slog.Value) string {
	if v.Kind() == slog.KindTime {
		return v.Time().Format(time.RFC3339Nano)
	}
	return v.String()
}

func appendText(dst []byte, key, value string) []byte {
	dst = append(append(append(dst, ' '), key...), '=')
	if quotes(value) {
		return strconv.AppendQuote(dst, value)
	}
	return append(dst, value...)
}

func appendTag(dst []byte, key, value string) []byte {
	dst = append(appendJSON(append(dst, `,"`...), key), `":"`...)
	return append(appendJSON(dst, value), '"')
}

// quotes tells whether a value would not be read back as one word.
func quotes(s string) bool {
	if s == "" {
		return true
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == '=' || c == 0x7f {
			return true
		}
	}
	return !utf8.ValidString(s)
}

var _ slog.Handler = (*handler)(nil)
