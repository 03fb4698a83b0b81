package network

import "time"

// report is a network filter's wish to report on a connection that lasts.
type report struct {
	every time.Duration
	due   time.Time
	f     func()
}

// OnProgress has f called every so often while a terminal filter that fills Stream carries the
// connection, on the connection's goroutine. Network filters ask for it in OnNewConnection.
func (c *Conn) OnProgress(every time.Duration, f func()) {
	c.reports = append(c.reports, report{every, time.Now().Add(every), f})
}

// Progress calls what is due at this moment, and returns when it wants to be called next; zero is never.
// A terminal filter calls it whenever it wakes up, with the counts of Stream up to date.
func (c *Conn) Progress(now time.Time) (next time.Time) {
	for i := range c.reports {
		r := &c.reports[i]
		if !now.Before(r.due) {
			r.f()
			r.due = now.Add(r.every)
		}
		if next.IsZero() || r.due.Before(next) {
			next = r.due
		}
	}
	return next
}
