package network

import (
	"testing"
	"time"
)

func TestProgressCallsWhatIsDue(t *testing.T) {
	c := &Conn{}
	if next := c.Progress(time.Now()); !next.IsZero() {
		t.Errorf("nobody asked, and it wants to be called at %v", next)
	}
	fast, slow := 0, 0
	start := time.Now()
	c.OnProgress(time.Second, func() { fast++ })
	c.OnProgress(time.Minute, func() { slow++ })
	next := c.Progress(start)
	if fast != 0 || slow != 0 || next.Before(start.Add(time.Second)) || next.After(start.Add(2*time.Second)) {
		t.Errorf("at first: %d, %d, next in %v", fast, slow, next.Sub(start))
	}
	if next = c.Progress(next); fast != 1 || slow != 0 {
		t.Errorf("after a second: %d, %d", fast, slow)
	}
	c.Progress(start.Add(2 * time.Minute))
	if fast != 2 || slow != 1 {
		t.Errorf("after two minutes: %d, %d", fast, slow)
	}
}
