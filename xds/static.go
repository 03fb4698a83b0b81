package xds

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/anypb"
)

// StaticError is why a resource of the bootstrap cannot be: the proxy does not start. Its text is the
// bare reason, as Envoy's is.
type StaticError struct {
	TypeURL, Name string
	Err           error
}

func (e *StaticError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *StaticError) Unwrap() error { return e.Err }

// Static makes the first snapshot of the bootstrap's resources, in their order: secrets, clusters, then
// listeners, as Envoy. It is called before Start. The first bad one ends it with a *StaticError.
func (c *Client) Static(resources []*anypb.Any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := newDraft(c.snapshot.Load())
	now := time.Now()
	for _, a := range resources {
		dec := c.decoders[a.TypeUrl]
		if dec == nil {
			return &StaticError{TypeURL: a.TypeUrl, Err: fmt.Errorf("static resources of type %s are not supported", a.TypeUrl)}
		}
		name, value, refs, err := c.decode(dec, a)
		if err == nil {
			err = twice(d.next, a.TypeUrl, name)
		}
		if err == nil && dec.Check != nil {
			err = dec.Check(d.next, name, value)
		}
		if err != nil {
			return &StaticError{TypeURL: a.TypeUrl, Name: name, Err: err}
		}
		if name == "" && a.TypeUrl == ListenerURL {
			name = uuid() // Envoy names a listener that has no name
		}
		d.put(a.TypeUrl, &Resource{Name: name, Any: a, Value: value, Refs: refs, Updated: now, Static: true})
	}
	for url, t := range d.next.types {
		for _, r := range t.resources.all() {
			if err := c.backed(d.next, r.Refs); err != nil {
				return &StaticError{TypeURL: url, Name: r.Name, Err: err}
			}
		}
	}
	c.snapshot.Store(d.next)
	return nil
}

// twice refuses a second resource of a name. Of two listeners Envoy takes the later.
func twice(s *Snapshot, url, name string) error {
	if s.Resource(url, name) == nil {
		return nil
	}
	switch url {
	case ClusterURL:
		return fmt.Errorf("cluster manager: duplicate cluster '%s'", name)
	case SecretURL:
		return fmt.Errorf("Duplicate static secret name %s", name)
	}
	return nil
}

func uuid() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
