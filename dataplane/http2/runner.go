package http2

import "time"

// runner is a goroutine that serves streams, one after the other.
type runner struct {
	next chan *ServerStream // closed: end
}

// trimEvery is how often goroutines that were not needed are ended.
const trimEvery = time.Second

// run serves st, and then what it is given.
func (c *ServerConn) run(r *runner, st *ServerStream) {
	defer c.goroutines.Done()
	for {
		c.handler.Serve(st)
		if !c.finishStream(st, r) {
			return
		}
		var ok bool
		if st, ok = <-r.next; !ok {
			return
		}
	}
}

// finishStream ends what the handler has left open, and has r wait for another stream. It reports false
// if there will be none.
func (c *ServerConn) finishStream(st *ServerStream, r *runner) bool {
	st.setDeadline(time.Time{}, true, true)
	st.abandon()
	c.mu.Lock()
	c.resetLeft(st)
	st.tx.released = true
	c.reuse(&st.stream)
	c.running--
	more := c.failed == nil
	if more {
		c.idle = append(c.idle, r)
		if c.trim == nil {
			c.trim = time.AfterFunc(trimEvery, c.trimRunners)
		}
	}
	c.flush(true)
	return more
}

// trimRunners ends goroutines that were not needed since the last time, a wrapped socket's writer too.
func (c *ServerConn) trimRunners() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return
	}
	n := min(c.least, len(c.idle))
	for _, r := range c.idle[:n] {
		close(r.next)
	}
	clear(c.idle[copy(c.idle, c.idle[n:]):])
	c.idle = c.idle[:len(c.idle)-n]
	c.least = len(c.idle)
	if c.open == 0 && len(c.idle) == 0 {
		c.q.unpark()
	}
	if len(c.idle) > 0 || c.q.parked {
		c.trim.Reset(trimEvery)
	} else {
		c.trim = nil
	}
}

// stop ends the goroutines that wait; those that serve see that the connection has failed.
func (c *ServerConn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.idle {
		close(r.next)
		c.idle[i] = nil
	}
	c.idle = nil
}
