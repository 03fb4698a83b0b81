// Package accesslog holds access logs: loggers that write an entry for a stream, the filters in front of
// them, the files that they share, and the local replies, which the same filters choose.
package accesslog

import (
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// Entry is what is logged: the state of a stream at the moment that its LogType names. It lives in the
// stream; a Logger keeps nothing of it.
type Entry = formatter.Context

// Logger writes entries. Log is called on the stream's goroutine and never blocks on I/O.
type Logger interface{ Log(e *Entry) }

// Filter tells whether an entry is to be logged.
type Filter interface {
	Match(e *Entry, r *runtime.Loader) bool
}

// Logs are the living access logs of one place: of a connection manager, a TCP proxy or a listener.
// It is immutable.
type Logs struct {
	runtime *runtime.Loader
	logs    []filtered
}

type filtered struct {
	filter Filter // nil: all entries
	logger Logger
}

// Log writes e to every log whose filter lets it through. l may be nil, which is no logs.
func (l *Logs) Log(e *Entry) {
	if l == nil {
		return
	}
	for i := range l.logs {
		f := &l.logs[i]
		if f.filter == nil || f.filter.Match(e, l.runtime) {
			f.logger.Log(e)
		}
	}
}

// Empty tells that nothing is ever logged, so that no entry need be made.
func (l *Logs) Empty() bool { return l == nil || len(l.logs) == 0 }

// Close gives the loggers up, once the last stream has been logged. What they hold is written first.
func (l *Logs) Close() {
	if l == nil {
		return
	}
	for _, f := range l.logs {
		if c, ok := f.logger.(closer); ok {
			c.Close()
		}
	}
}

// closer is a Logger with something to give up.
type closer interface{ Close() }
