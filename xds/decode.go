package xds

import (
	"bytes"
	"fmt"
	"runtime/debug"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
)

// judged is one resource of a response after decoding.
type judged struct {
	*Received
	name  string    // "": it could not be named
	same  *Resource // what is accepted already, byte for byte
	value any
	refs  []Ref
	err   error
	skip  bool // nobody asked for it
}

// judge decodes what is new in a response. It is pure, and so runs without the client's lock. A resource
// whose bytes are those of the accepted one is not decoded again.
func (c *Client) judge(s *Snapshot, f *feed, r *Response, skip []bool) []judged {
	out := make([]judged, len(r.Resources))
	for i := range r.Resources {
		in := &r.Resources[i]
		j := &out[i]
		j.Received = in
		if skip != nil && skip[i] {
			j.skip = true
			continue
		}
		if in.Any.GetTypeUrl() != r.TypeURL {
			j.name, j.err = in.Name, mismatch(in.Any.GetTypeUrl(), r)
			continue
		}
		name := in.nameFor(r.TypeURL)
		if now := s.Resource(r.TypeURL, name); name != "" && now != nil && !now.Static && now.Source == f.source && bytes.Equal(now.Any.Value, in.Any.Value) {
			j.name, j.same = name, now
			continue
		}
		j.name, j.value, j.refs, j.err = c.decode(f.decoder, in.Any)
	}
	return out
}

// decode asks the type's decoder. A panic in it is the decoder's fault and the resource's end, not the
// proxy's.
func (c *Client) decode(d *Decoder, a *anypb.Any) (name string, value any, refs []Ref, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.cfg.Log.Error("decoder panicked", "type", d.URL, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return d.Decode(a)
}

func mismatch(url string, r *Response) error {
	if r.Delta {
		return fmt.Errorf("type URL %s embedded in an individual Any does not match the message-wide type URL %s in DeltaDiscoveryResponse", url, r.TypeURL)
	}
	return fmt.Errorf("%s does not match the message-wide type URL %s in DiscoveryResponse", url, r.TypeURL)
}

// nameFor is the name of a resource that is not decoded: what delta says, or else the first field, which
// is the name in all of Envoy's own types. It may be empty.
func (in *Received) nameFor(url string) string {
	if in.Name != "" {
		return in.Name
	}
	switch url {
	case ListenerURL, RouteURL, ClusterURL, EndpointURL, SecretURL, ExtensionURL, ScopedURL, VHostURL, RuntimeURL:
		return firstField(in.Any.GetValue())
	}
	return ""
}

// firstField is the string in field 1 of an encoded message, the last one if there are several.
func firstField(b []byte) (s string) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return ""
		}
		b = b[size:]
		if n == 1 && kind == protowire.BytesType {
			v, size := protowire.ConsumeBytes(b)
			if size < 0 {
				return ""
			}
			s, b = string(v), b[size:]
			continue
		}
		if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
			return ""
		}
		b = b[size:]
	}
	return s
}
