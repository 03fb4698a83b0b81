package filter

import "github.com/pillion-proxy/pillion/dataplane/header"

// HTTPFactory makes one stream's filter: nil is none for this stream, and a filter without state may
// give every stream the same value.
type HTTPFactory func(s *Stream) HTTP

// Entry is one filter of a chain.
type Entry struct {
	// Name is the filter's in the configuration: what typed_per_filter_config is found by.
	Name    string
	Factory HTTPFactory
	// Disabled filters are made only where the route's per-filter configuration enables them.
	Disabled bool
}

// HTTPChain is the compiled filter chain of a connection manager. It is immutable.
type HTTPChain struct {
	entries []Entry
}

// NewChain makes a chain; the last filter must be a Terminal.
func NewChain(entries []Entry) *HTTPChain { return &HTTPChain{entries: entries} }

// Run takes s through the filters: down to the terminal one, or to the first that answers, and back up
// through all of them.
func (c *HTTPChain) Run(s *Stream) {
	c.build(s)
	c.decode(s)
	c.encode(s)
}

func (c *HTTPChain) build(s *Stream) {
	for i := range c.entries {
		e := &c.entries[i]
		disabled := e.Disabled
		if s.Route != nil {
			if d, ok := s.Route.FilterDisabled(e.Name); ok {
				disabled = d
			}
		}
		if disabled {
			continue
		}
		if f := e.Factory(s); f != nil {
			s.filters = append(s.filters, f)
		}
	}
}

func (c *HTTPChain) decode(s *Stream) {
	for _, f := range s.filters {
		if f.DecodeHeaders(s) == Stop || s.Aborted() != NotAborted {
			return
		}
		if t, ok := f.(Terminal); ok {
			t.Serve(s)
			return
		}
	}
}

// encode runs the encoder filters, the last one first. One that answers instead ends the upstream's
// response; the reply goes on to the filters before it, as in Envoy.
func (c *HTTPChain) encode(s *Stream) {
	if s.Response.Status == 0 {
		return
	}
	for i := len(s.filters) - 1; i >= 0; i-- {
		s.filters[i].EncodeHeaders(s)
	}
}

// Answer takes a local reply that was made before the filters back up through them.
func (c *HTTPChain) Answer(s *Stream) {
	c.build(s)
	c.encode(s)
}

// Complete tells the filters that the stream is over.
func (c *HTTPChain) Complete(s *Stream) {
	for _, f := range s.filters {
		f.OnStreamComplete(s)
	}
}

// Informational is a helper for filters that send a 1xx response.
func (s *Stream) Informational(h *header.Map) error { return s.Manager.Informational(s, h) }
