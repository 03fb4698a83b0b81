// Package logging writes the application log as Envoy does: one logger a component, each with a level
// that may be changed while the proxy runs, and lines in spdlog's patterns. Loggers are slog's.
package logging

import (
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
)

// DefaultFormat is --log-format's default.
const DefaultFormat = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v"

// Options are the command line's share. The zero Options logs at info to stderr in DefaultFormat.
type Options struct {
	// Level is --log-level, Components --component-log-level.
	Level      slog.Level
	Components []ComponentLevel
	// Format is --log-format; "" is DefaultFormat. Escaped is --log-format-escaped.
	Format  string
	Escaped bool
	// Path is --log-path; "" is stderr.
	Path string
	// Output takes the place of stderr, for tests.
	Output io.Writer
}

// ComponentLevel is one component's level.
type ComponentLevel struct {
	Component string
	Level     slog.Level
}

// Logs are the loggers of one process. It may be used by many goroutines.
type Logs struct {
	components []component    // immutable but for the levels in it
	index      map[string]int // immutable
	escaped    bool           // immutable
	out        *sink

	format atomic.Pointer[pattern]
	// last is when the last line was written, for the patterns that print what passed since: Unix ns.
	last atomic.Int64
}

type component struct {
	name  string
	level atomic.Int64
}

// New opens the log.
func New(o Options) (*Logs, error) {
	l := &Logs{components: make([]component, len(names)), index: make(map[string]int, len(names)), escaped: o.Escaped}
	for i, name := range names {
		l.components[i].name = name
		l.components[i].level.Store(int64(o.Level))
		l.index[name] = i
	}
	for _, c := range o.Components {
		l.SetLevel(c.Component, c.Level)
	}
	if o.Format == "" {
		o.Format = DefaultFormat
	}
	l.SetFormat(o.Format)
	l.last.Store(time.Now().UnixNano())
	var err error
	if l.out, err = newSink(o); err != nil {
		return nil, err
	}
	return l, nil
}

// For returns the logger of a component: one of Components, or a name of ours that stands for one. The
// attribute "component" does the same (log.With("component", "upstream")).
func (l *Logs) For(name string) *slog.Logger {
	return slog.New(&handler{logs: l, component: l.component(name)})
}

// component finds the component of a name.
func (l *Logs) component(name string) *component {
	i, ok := l.index[name]
	if !ok {
		if i, ok = l.index[aliases[name]]; !ok {
			i = l.index[fallback]
		}
	}
	return &l.components[i]
}

// SetFormat sets the pattern of all lines from now on.
func (l *Logs) SetFormat(format string) { l.format.Store(compilePattern(format)) }

// Configure is the bootstrap's application_log_config, which takes the place of --log-format.
func (l *Logs) Configure(f *bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat) error {
	switch t := f.GetLogFormat().(type) {
	case *bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat_TextFormat:
		l.SetFormat(t.TextFormat)
	case *bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat_JsonFormat:
		format, err := jsonFormat(t.JsonFormat)
		if err != nil {
			return err
		}
		l.SetFormat(format)
	}
	return nil
}

// Reopen opens the file of --log-path anew, after it was rotated (SIGUSR1). If that fails the old one
// goes on to be written to.
func (l *Logs) Reopen() error { return l.out.reopen() }

// Close closes the file of --log-path. Lines after that go to stderr.
func (l *Logs) Close() error { return l.out.close() }

// stderr is where logs go by default; it is a function so that no variable is shared.
func stderr() io.Writer { return os.Stderr }
