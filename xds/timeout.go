package xds

import "time"

// deadline has a reference waited for until its initial_fetch_timeout; 0 is for ever.
func (c *Client) deadline(ref Ref, now time.Time) {
	if ref.Timeout > 0 {
		c.deadlines[ref] = now.Add(ref.Timeout)
	}
}

// arm sets the one timer to the first deadline.
func (c *Client) arm() {
	var first time.Time
	for _, at := range c.deadlines {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	if first.IsZero() || c.closed {
		return
	}
	c.timer = time.AfterFunc(time.Until(first), c.expire)
}

// expire gives up what has been waited for long enough.
func (c *Client) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	t := c.transaction()
	for ref, at := range c.deadlines {
		if at.After(t.now) {
			continue
		}
		delete(c.deadlines, ref)
		e := Event{Kind: FetchTimeout, TypeURL: ref.TypeURL, Name: ref.Name, Source: ref.Source, At: t.now}
		if ref.Name == everything {
			e.Name = ""
			t.draft.answered(ref.TypeURL)
		} else {
			t.draft.wait(ref, true)
		}
		c.event(e)
		c.cfg.Log.Warn("gRPC config: initial fetch timed out for "+ref.TypeURL, "name", ref.Name, "source", ref.Source)
	}
	t.finish()
}
