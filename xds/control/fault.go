package control

import (
	"sync"
	"time"
)

// Faults, for tests: a type that is not answered, or late, and streams that break. A bad resource is
// served by Update with Change.Raw, or a valid message that makes no sense.

// Hold keeps back everything of a type, for every node, until release is called.
func (s *Server) Hold(typeURL string) (release func()) {
	return s.gate(typeURL).hold()
}

// Delay keeps back everything of a type for d from when there is something; 0 ends that.
func (s *Server) Delay(typeURL string, d time.Duration) {
	g := s.gate(typeURL)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = d
}

// Drop breaks every stream that match is true of, all if it is nil, and tells how many those were.
func (s *Server) Drop(match func(Client) bool) int {
	return s.tracker.drop(match)
}

// gate is what everything of one type passes through, in order.
type gate struct {
	mu sync.Mutex
	// holds counts who keeps it closed, waiting is what came meanwhile. Guarded by mu, as delay.
	holds   int
	waiting []func()
	delay   time.Duration
	// passing keeps the steps in order. It is taken before mu.
	passing sync.Mutex
}

func (s *Server) gate(typeURL string) *gate {
	s.gatesMu.Lock()
	defer s.gatesMu.Unlock()
	g := s.gates[typeURL]
	if g == nil {
		g = &gate{}
		s.gates[typeURL] = g
	}
	return g
}

func (g *gate) hold() func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds++
	return sync.OnceFunc(g.release)
}

func (g *gate) release() {
	g.passing.Lock()
	defer g.passing.Unlock()
	g.mu.Lock()
	g.holds--
	var due []func()
	if g.holds == 0 {
		due, g.waiting = g.waiting, nil
	}
	g.mu.Unlock()
	for _, step := range due {
		step()
	}
}

// pass takes a step now, or once the gate is open.
func (g *gate) pass(step func()) {
	g.passing.Lock()
	defer g.passing.Unlock()
	g.mu.Lock()
	if g.holds == 0 && g.delay > 0 {
		g.holds++
		// Owned by the gate: it runs once and ends by itself.
		time.AfterFunc(g.delay, g.release)
	}
	if g.holds > 0 {
		g.waiting = append(g.waiting, step)
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	step()
}
