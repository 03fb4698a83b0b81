package listener

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/network"
)

// DrainOptions are --drain-time-s and --drain-strategy.
type DrainOptions struct {
	Time time.Duration
	// Immediate closes on the first response; else the share of responses that close grows over Time.
	Immediate bool
}

// drainState is whether and since when something drains. It is set by the main goroutine, and read by
// every connection's.
type drainState struct{ since atomic.Int64 } // Unix nanoseconds; 0: it does not

func (d *drainState) start(now time.Time) bool { return d.since.CompareAndSwap(0, now.UnixNano()) }

func (d *drainState) draining() bool { return d.since.Load() != 0 }

// close tells whether a connection should end after its current response.
func (d *drainState) close(o *DrainOptions) bool {
	since := d.since.Load()
	if since == 0 {
		return false
	}
	if o.Immediate || o.Time <= 0 {
		return true
	}
	passed := time.Duration(time.Now().UnixNano() - since)
	return passed >= o.Time || rand.Int64N(int64(o.Time)) < int64(passed)
}

// drainer is what a connection asks whether it should end: its chain, its listener, the server.
type drainer struct {
	chain    *chain
	listener *Listener
}

// DrainClose tells whether the connection should be closed after its current response.
func (d *drainer) DrainClose() bool {
	m := d.listener.manager
	if d.chain.drain.draining() && d.chain.drain.close(&m.drainOptions) {
		return true
	}
	if d.listener.drain.draining() && d.listener.drain.close(&m.drainOptions) {
		return true
	}
	return m.failing.Load() && !d.chain.modifyOnly
}

var _ network.Drainer = (*drainer)(nil)
