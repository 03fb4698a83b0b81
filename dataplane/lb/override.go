package lb

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// StatusSet is the health statuses in which an override host is taken.
type StatusSet uint8

// DefaultStatuses are those of an absent override_host_status.
const DefaultStatuses = StatusSet(1<<endpoint.Unknown | 1<<endpoint.Healthy | 1<<endpoint.Degraded)

// Has tells whether s is in the set.
func (set StatusSet) Has(s endpoint.Status) bool { return set&(1<<s) != 0 }

// Override returns the host that a filter has chosen for the request, if its health is in statuses; and
// whether nothing else may be picked where there is none.
func Override(set *endpoint.HostSet, statuses StatusSet, c *Context) (h *endpoint.Host, strict bool) {
	if c.OverrideHost == "" || statuses == 0 {
		return nil, false
	}
	if h = set.Find(c.OverrideHost); h != nil && statuses.Has(h.Status()) {
		return h, true
	}
	return nil, c.OverrideStrict
}

// override is the policy override_host: the addresses that the request's headers or metadata list come
// first, one an attempt, then the fallback policy.
type override struct {
	config *Config
	set    *endpoint.HostSet
	child  LoadBalancer
}

func newOverride(c *Config, e *Env, set *endpoint.HostSet, old LoadBalancer) *override {
	var before LoadBalancer
	if o, ok := old.(*override); ok {
		before = o.child
	}
	return &override{config: c, set: set, child: c.Child.New(e, set, before)}
}

// Pick implements LoadBalancer.
func (o *override) Pick(c *Context) *endpoint.Host {
	h := o.listed(c)
	if h == nil {
		h = o.child.Pick(c)
	}
	if h != nil && o.config.SelectedKey != nil && c.Info != nil {
		o.config.SelectedKey.set(c, h.Address.String())
	}
	return h
}

// listed returns the next address of the request's lists that is a host.
func (o *override) listed(c *Context) *endpoint.Host {
	seen := 0
	for i := range o.config.Sources {
		list := o.config.Sources[i].find(c)
		for list != "" {
			var address string
			address, list, _ = strings.Cut(list, ",")
			if address = strings.TrimSpace(address); address == "" {
				continue
			}
			if seen++; seen <= c.attempted {
				continue
			}
			c.attempted = seen
			if h := o.set.Find(address); h != nil {
				return h
			}
		}
	}
	return nil
}

func (s *Source) find(c *Context) string {
	if s.Metadata != nil {
		if c.Info == nil {
			return ""
		}
		return s.Metadata.Find(c.Info.Metadata[s.Metadata.Namespace]).GetStringValue()
	}
	if c.Headers == nil {
		return ""
	}
	v, _ := c.Headers.Get(s.Header)
	return v
}

// Find returns the value in a namespace's struct; nil if there is none.
func (k *MetadataKey) Find(s *structpb.Struct) *structpb.Value {
	var v *structpb.Value
	for i, name := range k.Path {
		if i > 0 {
			s = v.GetStructValue()
		}
		if v = s.GetFields()[name]; v == nil {
			return nil
		}
	}
	return v
}

// set writes a string into the stream's dynamic metadata.
func (k *MetadataKey) set(c *Context, text string) {
	v := structpb.NewStringValue(text)
	for i := len(k.Path) - 1; i > 0; i-- {
		v = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{k.Path[i]: v}})
	}
	if len(k.Path) > 0 {
		c.Info.SetMetadata(k.Namespace, k.Path[0], v)
	}
}
