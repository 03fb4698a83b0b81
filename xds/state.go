package xds

import (
	"cmp"
	"slices"
	"time"
)

// Subscription is how one type stands at one source, for the admin interface.
type Subscription struct {
	TypeURL, Source string
	// All tells that everything is asked for (LDS, CDS). Answered is whether that had a first answer.
	All, Answered bool
	// Names are asked for; of those, Missing have not come and are waited for still.
	Names, Missing []string
	// Connected tells whether the stream is up: each of them, where each name has its own.
	Connected bool
	// Version and Updated are those of the last response that was accepted as a whole, Details those of
	// the last rejection.
	Version, Details string
	Updated          time.Time
	// Successes, Rejections and Failures count responses.
	Successes, Rejections, Failures uint64
}

// Subscriptions tells how each type stands at each source, in the order of types and sources.
func (c *Client) Subscriptions() []Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snapshot.Load()
	var out []Subscription
	for _, f := range c.feeds {
		if !f.all && len(f.names) == 0 {
			continue
		}
		st := f.state
		st.TypeURL, st.Source, st.All = f.url, f.source, f.all
		if f.all {
			st.Answered = s.Answered(f.url)
		}
		for name, w := range f.names {
			st.Names = append(st.Names, name)
			if s.Resource(f.url, name) == nil && !slices.ContainsFunc(w.refs, func(r counted) bool { return s.Waited(f.ref(name, r.timeout)) }) {
				st.Missing = append(st.Missing, name)
			}
		}
		slices.Sort(st.Names)
		slices.Sort(st.Missing)
		st.Connected = c.connected(f)
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b Subscription) int {
		return cmp.Or(cmp.Compare(a.TypeURL, b.TypeURL), cmp.Compare(a.Source, b.Source))
	})
	return out
}

func (c *Client) connected(f *feed) bool {
	if f.source == SchemeADS {
		return c.ads != nil && c.ads.up
	}
	if c.parsed[f.source].Scheme == SchemePath {
		return true
	}
	for _, h := range f.streams {
		if !h.up {
			return false
		}
	}
	return len(f.streams) > 0
}
