package xds

import (
	"fmt"
	"os"
)

// handle is an open stream, and where it delivers. It is guarded by the client's mu.
type handle struct {
	c      *Client
	source string
	name   string // the one it brings; "" is all, or whatever is subscribed to
	url    string // "": ADS
	stream Stream
	up     bool
	by     string // the control plane's identifier
	closed bool
}

// subscribe passes a change of names on: to the ADS stream, or to a stream for each, as Envoy has one
// for each subscription.
func (c *Client) subscribe(f *feed, add, remove []string) {
	if len(add)+len(remove) == 0 || !c.begun || c.closed {
		return
	}
	if f.source == SchemeADS {
		if h := c.stream(f, ""); h != nil {
			h.stream.Subscribe(f.url, add, remove)
		}
		return
	}
	for _, name := range remove {
		if h := f.streams[name]; h != nil {
			delete(f.streams, name)
			c.end(h)
		}
	}
	for _, name := range add {
		if h := c.stream(f, name); h != nil {
			h.stream.Subscribe(f.url, []string{name}, nil)
		}
	}
}

// stream finds or opens the stream of a subscription; nil: it cannot be opened.
func (c *Client) stream(f *feed, name string) *handle {
	h := f.streams[name]
	if f.source == SchemeADS {
		h = c.ads
	}
	if h != nil {
		return h
	}
	h = &handle{c: c, source: f.source, name: name}
	ref := Ref{Source: f.source}
	if f.source != SchemeADS {
		h.url = f.url
		ref.TypeURL, ref.Name = f.url, name
	}
	var err error
	p, err := c.parse(f.source)
	if err == nil {
		open := c.cfg.Open[p.Scheme]
		if open == nil {
			err = fmt.Errorf("no stream is configured for source %q", f.source)
		} else {
			h.stream, err = open(ref, h)
		}
	}
	if err != nil {
		c.cfg.Log.Warn("cannot open a config stream", "source", f.source, "type", f.url, "name", name, "error", err)
		return nil
	}
	if f.source == SchemeADS {
		c.ads = h
	} else {
		f.streams[name] = h
	}
	return h
}

// end closes a stream; the client's Close waits for its goroutines.
func (c *Client) end(h *handle) {
	h.closed = true
	h.stream.Close()
	c.streams.Go(h.stream.Wait) // ends with the stream
}

func (c *Client) parse(source string) (ParsedSource, error) {
	p, ok := c.parsed[source]
	if ok {
		return p, nil
	}
	p, err := ParseSource(source)
	if err == nil {
		c.parsed[source] = p
	}
	return p, err
}

// backed refuses references to sources that cannot be: Envoy refuses the resource then, too.
func (c *Client) backed(s *Snapshot, refs []Ref) error {
	for _, ref := range refs {
		if ref.Source == SchemeADS {
			continue
		}
		p, err := c.parse(ref.Source)
		if err != nil {
			return err
		}
		if p.Scheme == SchemePath {
			if _, err := os.Stat(p.Target); err != nil {
				return fmt.Errorf("paths must refer to an existing path in the system: '%s' does not exist", p.Target)
			}
			continue
		}
		r := s.Resource(ClusterURL, p.Target)
		if r == nil || !r.Static || fromEDS(r) {
			return fmt.Errorf("envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: '%s' does not exist, was added via api, or is an EDS cluster", p.Target)
		}
	}
	return nil
}

func fromEDS(cluster *Resource) bool {
	for _, ref := range cluster.Refs {
		if ref.TypeURL == EndpointURL {
			return true
		}
	}
	return false
}

// Connected is called by the stream.
func (h *handle) Connected(err error) {
	c := h.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.closed {
		return
	}
	h.up = err == nil
	e := Event{Kind: Connected, TypeURL: h.url, Name: h.name, Source: h.source}
	if err == nil {
		c.event(e)
		return
	}
	e.Kind, e.Details = Disconnected, err.Error()
	c.event(e)
	for key, f := range c.feeds {
		if key.source == h.source && (h.url == "" || h.url == key.url) {
			c.failed(f, h, err)
		}
	}
}

// Failed is called by the stream.
func (h *handle) Failed(typeURL string, err error) {
	c := h.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.feeds[feedKey{h.source, typeURL}]; f != nil && !h.closed {
		c.failed(f, h, err)
	}
}

// failed counts a failure to fetch for each subscription of a feed.
func (c *Client) failed(f *feed, h *handle, err error) {
	f.state.Failures++
	if c.cfg.Observe == nil {
		return
	}
	e := Event{Kind: Failed, TypeURL: f.url, Source: f.source, Details: err.Error()}
	if f.all {
		c.event(e)
	}
	for name := range f.names {
		if h.name == "" || h.name == name {
			e.Name = name
			c.event(e)
		}
	}
}

var _ Sink = (*handle)(nil)
