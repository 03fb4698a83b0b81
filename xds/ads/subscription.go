package ads

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/xds"
)

// subscription is one type on a stream. It is guarded by the stream's mu.
type subscription struct {
	url   string
	all   bool
	names map[string]struct{}
	// version and nonce are of state of the world: of the last accepted response, which outlives the
	// stream, and of the last one on this stream.
	version, nonce string
	// The rest is delta's. versions are of the accepted resources; add and drop is what the server does
	// not know yet; asked tells that this stream has had the first request.
	versions  map[string]string
	add, drop map[string]struct{}
	asked     bool
	ttl       map[string]*time.Timer // of resources that live for a time only
}

// request is one to be sent: a change of subscription, or an answer to a response.
type request struct {
	t              *subscription
	ack            bool
	nonce, version string
	details        string // of a NACK
}

// Subscribe changes what is asked for.
func (s *Stream) Subscribe(url string, add, remove []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.types[url]
	if t == nil {
		t = &subscription{
			url: url, all: len(add)+len(remove) == 0, names: map[string]struct{}{},
			versions: map[string]string{}, add: map[string]struct{}{}, drop: map[string]struct{}{},
		}
		s.types[url] = t
		s.order = append(s.order, url)
	}
	for _, name := range remove {
		delete(t.names, name)
		delete(t.add, name)
		delete(t.versions, name)
		t.drop[name] = struct{}{}
		if timer := t.ttl[name]; timer != nil {
			timer.Stop()
			delete(t.ttl, name)
		}
	}
	for _, name := range add {
		// A name that was dropped and is wanted again is asked for again, whether or not the server has
		// heard of the former: what it sent is gone.
		t.names[name] = struct{}{}
		t.add[name] = struct{}{}
		delete(t.drop, name)
	}
	if s.live {
		s.ask(t)
	}
}

// ask queues a change of subscription, unless one is queued already. It is called with mu held.
func (s *Stream) ask(t *subscription) {
	for _, r := range s.queue {
		if r.t == t && !r.ack {
			return
		}
	}
	s.push(request{t: t})
}

func (s *Stream) push(r request) {
	s.queue = append(s.queue, r)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// unqueue takes back a queued change of subscription.
func (s *Stream) unqueue(url string) {
	s.queue = slices.DeleteFunc(s.queue, func(r request) bool { return !r.ack && r.t.url == url })
}

// restart asks for everything on a new stream, whose server knows nothing.
func (s *Stream) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.queue = true, nil
	for _, url := range s.order {
		t := s.types[url]
		t.nonce, t.asked = "", false
		t.add, t.drop = maps.Clone(t.names), map[string]struct{}{}
		if t.all || len(t.names) > 0 {
			s.push(request{t: t})
		}
	}
}

// next is the next request to send, or nil.
func (s *Stream) next(node bool) proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		r := s.queue[0]
		s.queue = s.queue[1:]
		if s.delta {
			if m := s.deltaRequest(r, node); m != nil {
				return m
			}
			continue
		}
		return s.sotwRequest(r, node)
	}
	s.queue = nil
	return nil
}

// took notes what was accepted.
func (t *subscription) took(r *xds.Response, v xds.Verdict) {
	if v.Details == "" {
		t.version = r.Version
	}
	if v.Whole || !r.Delta {
		return
	}
	for i := range r.Resources {
		if in := &r.Resources[i]; t.wants(in.Name) && !contains(v.Rejected, in.Name) {
			t.versions[in.Name] = in.Version
		}
	}
	for _, name := range r.Removed {
		delete(t.versions, name)
	}
}

func (t *subscription) wants(name string) bool {
	_, named := t.names[name]
	return t.all || named
}

func contains(names []string, name string) bool { return slices.Contains(names, name) }

func sorted(names map[string]struct{}) []string {
	if len(names) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(names))
}
